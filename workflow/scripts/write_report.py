#!/usr/bin/env python
"""Writes the report from the Parquet tables and the figures: one self-contained HTML page, and Markdown."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import pyarrow.parquet as pq
from kvsweep.files import write_text
from kvsweep.program import run_program, say
from kvsweep.provenance import CONFIG_FILES, kvsweep_version, repository, snakemake_version
from kvsweep.report import read_drawings, render_html, render_markdown
from kvsweep.report_view import Provenance, view_of
from kvsweep.schemas import TABLES


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", type=Path, required=True, help="directory of the Parquet tables")
    parser.add_argument("--figures", type=Path, required=True, help="directory of the figures")
    parser.add_argument("--html", type=Path, required=True, help="page to write")
    parser.add_argument("--markdown", type=Path, required=True, help="Markdown file to write")
    parser.add_argument(
        "--configfile", default=os.environ.get(CONFIG_FILES), help="configuration that was measured"
    )
    arguments = parser.parse_args()
    base = Path(__file__).parents[2]
    provenance = Provenance(
        kvsweep_version=kvsweep_version(base),
        snakemake_version=snakemake_version(),
        repository=repository(base),
        configfile=arguments.configfile,
    )
    tables = {name: pq.read_table(arguments.tables / f"{name}.parquet") for name in TABLES}
    view = view_of(tables, provenance)
    figures = Path(os.path.relpath(arguments.figures, arguments.markdown.parent)).as_posix()
    write_text(arguments.html, render_html(view, read_drawings(arguments.figures)))
    write_text(arguments.markdown, render_markdown(view, figures))
    say(f"report: {view.summary} Kinds of warnings: {len(view.warnings)}.")


if __name__ == "__main__":
    run_program(main)
