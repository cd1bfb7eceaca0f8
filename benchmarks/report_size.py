#!/usr/bin/env python
"""Measures the report at many cells: time and memory to make it, its size, and how a browser copes with it.

    python benchmarks/report_size.py --cells 100 1000 10000

The tables are made up (tests/synthetic_tables.py): set-ups of 14 pairs, 8 depths and 3 contexts. Answers, figures and
report come from the workflow's own programs; the page is opened in the system's chromium, if there is one.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

ROOT = Path(__file__).parents[1]
SCRIPTS = ROOT / "workflow" / "scripts"
sys.path[:0] = [str(ROOT / "tests"), str(SCRIPTS)]

from kvsweep.tables.schemas import TABLES  # noqa: E402
from synthetic_tables import WIDE_PAIRS, engine_row, model_row, study, table_of  # noqa: E402

CONTEXTS = (4096, 16384, 32768)
COLUMNS = (
    *(
        "cells",
        "set-ups",
        "answers, s (CPU)",
        "figures, s (CPU)",
        "report, s (CPU)",
        "report's memory, MB",
        "page, MB",
        "post, KB",
    ),
    *("load, s", "filter, s", "open a cell, s", "scroll to the end, s"),
)
MODELS = 5  # set-ups are engines x models


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells", type=int, nargs="+", default=[100, 1000, 10_000])
    parser.add_argument("--keep", type=Path, help="directory for tables, figures and reports")
    arguments = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}\n")
    print(f"| {' | '.join(COLUMNS)} |\n{'|--:' * len(COLUMNS)}|")
    for n_cells in arguments.cells:
        with tempfile.TemporaryDirectory() as scratch:
            folder = (arguments.keep or Path(scratch)) / str(n_cells)
            print("| " + " | ".join(measured(folder, n_cells)) + " |", flush=True)


def measured(folder: Path, n_cells: int) -> list[str]:
    cells, set_ups = write_tables(folder / "tables", n_cells)
    answers = run("make_answers.py", "--tables", folder / "tables")
    (folder / "figures").mkdir(exist_ok=True)
    shared = ("--tables", folder / "tables")
    figures = run("draw_figures.py", *shared, "--out", folder / "figures", "--processes", os.cpu_count() or 1)
    html, post = folder / "report.html", folder / "report.md"
    report = run(
        "write_report.py", *shared, "--figures", folder / "figures", "--html", html, "--markdown", post
    )
    sizes = (f"{html.stat().st_size / 1e6:.1f}", f"{post.stat().st_size / 1e3:.0f}")
    times = (
        *(f"{spent.wall:.1f} ({spent.cpu:.1f})" for spent in (answers, figures, report)),
        f"{report.peak_bytes / 1e6:.0f}",
    )
    return [f"{cells:,}", str(set_ups), *times, *sizes, *(f"{spent:.2f}" for spent in in_browser(html))]


def write_tables(folder: Path, n_cells: int) -> tuple[int, int]:
    """Tables of at least so many cells; returns how many they are, and of how many set-ups."""
    one = {name: table.to_pylist() for name, table in study(WIDE_PAIRS).items()}
    quality = [{**row, "n_ctx": n_ctx} for row in one["quality"] for n_ctx in CONTEXTS]
    in_one = len(one["throughput"]) // 2 + len(quality)
    set_ups = -(-n_cells // in_one)
    named: list[dict[str, Any]] = [
        {"engine": f"engine-{n // MODELS}", "model": f"model-{n % MODELS}-Q8_0"} for n in range(set_ups)
    ]
    rows = {
        "throughput": [{**row, **names} for names in named for row in one["throughput"]],
        "quality": [{**row, **names} for names in named for row in quality],
        "engines": [engine_row(name) for name in dict.fromkeys(names["engine"] for names in named)],
        "models": [model_row(name) for name in dict.fromkeys(names["model"] for names in named)],
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name in TABLES:
        table: pa.Table = table_of(name, rows.get(name, []))
        pq.write_table(table, folder / f"{name}.parquet")
    return set_ups * in_one, set_ups


class Spent(NamedTuple):
    """What a program took, its own processes included: seconds, processor seconds, and memory at its peak."""

    wall: float
    cpu: float
    peak_bytes: int


def run(program: str, *arguments: object) -> Spent:
    """One of the workflow's programs."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, SCRIPTS / program, *map(str, arguments)], stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{program} failed:\n{said}")
    unit = 1 if sys.platform == "darwin" else 1024
    cpu = usage.ru_utime + usage.ru_stime
    return Spent(time.perf_counter() - start, cpu, usage.ru_maxrss * unit)


def in_browser(page: Path) -> list[float]:
    """Seconds until the page is loaded, a filter has been applied, a cell is open, the end is in sight."""
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        return []
    from playwright.sync_api import sync_playwright

    def timed(action: Any) -> float:
        start = time.perf_counter()
        action()
        return time.perf_counter() - start

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 1400, "height": 900})
        tab.set_default_timeout(120_000)

        def apply_filter() -> None:
            tab.locator("#cells .filter input").fill("turbo4 oom")
            tab.locator("#cells .filter output", has_text="rows").wait_for()

        def open_cell() -> None:
            tab.locator("#cells .set-up:not([hidden]) tr:not([hidden]) td.un button").first.click()
            tab.locator("dialog[open]").wait_for()

        def scroll() -> None:
            tab.keyboard.press("Escape")
            tab.evaluate(
                "new Promise(done => { scrollTo(0, document.body.scrollHeight);"
                " requestAnimationFrame(() => requestAnimationFrame(done)); })"
            )

        times = [timed(lambda: tab.goto(page.as_uri())), *map(timed, (apply_filter, open_cell, scroll))]
        browser.close()
    return times


if __name__ == "__main__":
    main()
