#!/usr/bin/env python
"""Writes the report from the Parquet tables and the figures: one self-contained HTML page, and a post in Markdown."""

from __future__ import annotations

import argparse
from pathlib import Path

from kvsweep.analysis.schemas import EVERY_TABLE
from kvsweep.files import CHECKOUT, write_text
from kvsweep.program import run_program, say
from kvsweep.report.figures import read_figures
from kvsweep.report.html import render_html
from kvsweep.report.markdown import render_markdown
from kvsweep.report.provenance import kvsweep_version, repository, snakemake_version
from kvsweep.report.view import Provenance, view_of
from kvsweep.tables.storage import read_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", type=Path, required=True, help="directory of the Parquet tables")
    parser.add_argument("--figures", type=Path, required=True, help="directory of the figures")
    parser.add_argument("--html", type=Path, required=True, help="page to write")
    parser.add_argument("--markdown", type=Path, required=True, help="Markdown file to write")
    parser.add_argument("--configfile", help="configuration that was measured, as it is to be typed")
    arguments = parser.parse_args()
    provenance = Provenance(
        kvsweep_version=kvsweep_version(CHECKOUT),
        snakemake_version=snakemake_version(),
        repository=repository(CHECKOUT),
        configfile=arguments.configfile,
    )
    tables = {name: read_table(arguments.tables, name) for name in EVERY_TABLE}
    view = view_of(tables, provenance)
    write_text(arguments.html, render_html(view, read_figures(arguments.figures)))
    write_text(arguments.markdown, render_markdown(view))
    say(f"report: {view.summary} Kinds of warnings: {len(view.warnings)}.")


if __name__ == "__main__":
    run_program(main)
