"""Results directories in which something is missing, equal, broken or of two kinds (``odd_raw``): the whole chain runs,
and what it says is recomputed from the raw files with numpy and scipy, without kvsweep's functions."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import odd_raw
import pyarrow.compute as pc
import pytest
import recorded_study
from kvsweep.analysis.schemas import EVERY_TABLE
from kvsweep.figures.catalogue import FIGURES
from kvsweep.figures.draw import draw
from kvsweep.figures.layout import one_figure
from kvsweep.report.html import render_html
from kvsweep.report.markdown import render_markdown
from kvsweep.report.view import View, view_of
from kvsweep.tables.storage import read_table
from recomputed import ROUNDING, error_of_mean, half_of_interval
from scipy import stats

Row = dict[str, Any]
TOLD = ("faster", "slower")


class Run(NamedTuple):
    """One odd run: its raw files, its tables without what was published, its report as data, and both as text."""

    results: Path
    tables: dict[str, list[Row]]
    view: View
    page: str
    post: str

    def rows(self, table: str, **where: Any) -> list[Row]:
        return [
            row for row in self.tables[table] if all(row.get(key) == value for key, value in where.items())
        ]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    return {name: made(name, tmp_path_factory.mktemp("odd")) for name in odd_raw.ODD}


def made(name: str, place: Path) -> Run:
    results = odd_raw.copied(place)
    odd_raw.ODD[name](results)
    recorded_study.tables_of(results, recorded_study.WORKLOADS)
    tables = {name: read_table(results / "tables", name) for name in EVERY_TABLE}
    for table, found in tables.items():
        if "source" in found.column_names:
            published = pc.starts_with(pc.fill_null(found["source"], ""), "published:")
            tables[table] = found.filter(pc.invert(published))
    view = view_of(tables)
    page = re.sub(r"<(script|style).*?</\1>", "", render_html(view, []), flags=re.DOTALL)
    rows = {table: found.to_pylist() for table, found in tables.items()}
    return Run(results, rows, view, page, render_markdown(view))


@pytest.fixture(scope="module", params=list(odd_raw.ODD))
def run(request: pytest.FixtureRequest, runs: dict[str, Run]) -> Run:
    return runs[request.param]


# --- everywhere ---------------------------------------------------------------------------------------------------


def numbers_in(value: Any) -> Iterator[float]:
    if isinstance(value, float):
        yield value
    elif isinstance(value, list):
        for one in value:
            yield from numbers_in(one)
    elif isinstance(value, dict):
        yield from numbers_in(list(value.values()))


def test_no_number_is_nan_or_infinite(run: Run) -> None:
    for table, rows in run.tables.items():
        for row in rows:
            wrong = [
                column for column, value in row.items() if not all(map(math.isfinite, numbers_in(value)))
            ]
            assert not wrong, (table, wrong, row)


def test_both_reports_are_made_of_words_and_numbers(run: Run) -> None:
    said = (
        (run.page + run.post).replace("\\", "").replace("samples_ns is [inf", "")
    )  # what one engine printed
    assert not re.search(r"\b(nan|NaN|inf|None)\b", said)


def test_every_figure_is_drawn(run: Run) -> None:
    for name, figure in FIGURES.items():
        drawing = draw(name, run.tables[figure.table])
        for point in drawing.points:
            assert all(map(math.isfinite, numbers_in(list(point.values())))), (name, point)
        if drawing.panels:
            one_figure(drawing)
        plt.close("all")


def test_nothing_wins_without_an_interval(run: Run) -> None:
    for row in run.tables["speed"]:
        if row["verdict"] in TOLD:
            assert len(row["ratio_rounds"]) > 1 and row["q_value"] <= 0.05
            assert (row["ratio_low"] > 1) if row["verdict"] == "faster" else (row["ratio_high"] < 1)
    for row in run.tables["head_to_head"]:
        if row["winner"] is not None and row["quantity"] != "kv_bytes_per_token":
            assert row["q_value"] <= 0.05 and row["difference_low"] * row["difference_high"] > 0
    for row in run.tables["crossovers"]:
        assert row["verdict"] != "crosses" or row["depth_low"] < row["depth"] < row["depth_high"]
    for row in run.tables["advice"]:
        ranked = [one for one in run.rows("advice", workload=row["workload"]) if one["rank"] is not None]
        if row["verdict"] == "pick" and len(ranked) > 1 and row["goal"] == "seconds":
            assert row["rounds"] > 1 and row["request_seconds_low"] is not None


def test_every_interval_holds_its_value_and_has_a_width(run: Run) -> None:
    for table, rows in run.tables.items():
        for row, low in ((one, column) for one in rows for column in one if column.endswith("_low")):
            name = low.removesuffix("_low")
            if row[low] is None or row.get(name) is None or row.get(f"{name}_high") is None:
                continue
            exact = table in ("head_to_head", "comparisons") and row.get("quantity") == "kv_bytes_per_token"
            # f16 against itself, and what f16 in the place of K or V does: nothing, by definition.
            same = row[name] == row[low] == row[f"{name}_high"] == 0
            assert exact or same or row[low] <= row[name] <= row[f"{name}_high"], (table, name, row)
            assert exact or same or row[low] < row[f"{name}_high"], (table, name, row)


# --- counts -------------------------------------------------------------------------------------------------------


def failed_cells(results: Path) -> set[Path]:
    """Those whose engine was killed, or that printed what is no number where one has to be."""
    needed = re.compile(r'_ts": nan|Infinity|KLD: +(nan|inf)')
    found = set()
    for cell in (*odd_raw.speed_cells(results), *odd_raw.quality_cells(results)):
        stream = next(path for path in (cell / "bench.jsonl", cell / "stdout.log") if path.exists())
        text = stream.read_text()
        if not text or needed.search(text):
            found.add(cell)
    return found


def test_every_cell_is_counted_once(run: Run) -> None:
    pairs = json.loads((run.results / "config.json").read_text())["pairs"]
    failed = failed_cells(run.results)
    speed = [cell for cell in odd_raw.speed_cells(run.results) if pair_of(cell) in pairs]
    quality = [cell for cell in odd_raw.quality_cells(run.results) if pair_of(cell) in {*pairs, "f16"}]
    bad = failed.intersection([*speed, *quality])
    assert len(run.tables["throughput"]) == 2 * len(speed) and len(run.tables["quality"]) == len(quality)
    assert sum(row["status"] == "measured" for row in run.tables["quality"]) == len({*quality} - failed)
    everything = len(speed) + len(quality)
    assert run.view.summary.startswith(f"{everything} cells, {everything - len(bad)} of them measured")


def pair_of(cell: Path) -> str:
    k, v = (part[2:] for part in cell.parts[-2:])
    return k if k == v else f"{k}/{v}"


def name_of(row: Row) -> str:
    return str(row["ctk"]) if row["ctk"] == row["ctv"] else f"{row['ctk']}/{row['ctv']}"


# --- speed --------------------------------------------------------------------------------------------------------


def seconds_of(run: Run, machine: str) -> dict[tuple[str, int, str], dict[int, float]]:
    """Mean time of a token by phase, depth and pair, in each round that was measured on a machine."""
    dropped = {
        (row["phase"], row["depth"])
        for row in run.rows("repetitions", machine=machine, first_dropped=True)
        if row["depth"] is not None
    }
    failed = failed_cells(run.results)
    found: dict[tuple[str, int, str], dict[int, float]] = {}
    pairs = json.loads((run.results / "config.json").read_text())["pairs"]
    for cell in odd_raw.speed_cells(run.results):
        record = json.loads((cell / "run.json").read_text())
        if cell in failed or record["machine"]["name"] != machine or pair_of(cell) not in pairs:
            continue
        for test in map(json.loads, (cell / "bench.jsonl").read_text().splitlines()):
            phase, depth = ("decode" if test["n_gen"] else "prefill"), test["n_depth"]
            times = np.array(test["samples_ns"][(phase, depth) in dropped :]) / 1e9
            seconds = float(times.mean()) / (test["n_gen"] or test["n_prompt"])
            found.setdefault((phase, depth, pair_of(cell)), {})[record.get("round", 1)] = seconds
    return found


def over_rounds(logs: np.ndarray) -> tuple[float, float, float] | None:
    """Middle and ends of the 95 % interval of a mean of logarithms, as factors; None of one, or of equal ones."""
    if len(logs) < 2 or stats.sem(logs) < 1e-9:
        return None
    half = stats.t.ppf(0.975, len(logs) - 1) * stats.sem(logs)
    return tuple(np.exp([logs.mean(), logs.mean() - half, logs.mean() + half]))


def machines(run: Run) -> set[str]:
    return {row["machine"] for row in run.tables["speed"]}


def test_every_rate_over_the_rounds_that_were_measured(run: Run) -> None:
    for machine in machines(run):
        times = seconds_of(run, machine)
        for row in run.rows("speed", machine=machine):
            own = times.get((row["phase"], row["depth"], name_of(row)))
            ends = [row[f"tokens_per_second{end}"] for end in ("", "_low", "_high")]
            if own is None:
                assert ends == [None] * 3 and row["status"] != "measured"
                continue
            logs = -np.log(list(own.values()))
            assert row["rounds"] == sorted(own) and ends[0] == pytest.approx(np.exp(logs.mean()))
            expected = over_rounds(logs)
            assert ends[1:] == ([None] * 2 if expected is None else pytest.approx(list(expected[1:])))


def test_every_ratio_within_the_rounds_that_both_have(run: Run) -> None:
    for machine, phase in product(machines(run), ("prefill", "decode")):
        times, told = seconds_of(run, machine), []
        for row in run.rows("speed", machine=machine, phase=phase):
            own, f16 = (times.get((phase, row["depth"], pair), {}) for pair in (name_of(row), "f16"))
            common = sorted(own.keys() & f16.keys())
            if not common or name_of(row) == "f16":
                assert row["ratio"] is row["verdict"] is row["ratio_low"] is None
                continue
            logs = np.log([f16[one] / own[one] for one in common])
            expected = over_rounds(logs)
            assert row["ratio"] == pytest.approx(np.exp(logs.mean())) and row["ratio_rounds"] == common
            if expected is None:
                assert row["ratio_low"] is None
                assert row["verdict"] == ("one round" if len(common) == 1 else "error unknown")
                continue
            assert [row["ratio_low"], row["ratio_high"]] == pytest.approx(list(expected[1:]))
            told.append((row, 2 * stats.t.sf(abs(logs.mean()) / stats.sem(logs), len(common) - 1)))
        q = stats.false_discovery_control([p for _, p in told]) if told else []
        assert [row["q_value"] for row, _ in told] == pytest.approx(list(q), rel=1e-6)


# --- quality ------------------------------------------------------------------------------------------------------


def printed(run: Run, machine: str, n_ctx: int) -> dict[str, tuple[np.ndarray, float]]:
    """Window values of the divergence, and the closing one, of every pair that has one on a machine."""
    found, failed = {}, failed_cells(run.results)
    for cell in odd_raw.quality_cells(run.results):
        record = json.loads((cell / "run.json").read_text())
        if cell not in failed and record["machine"]["name"] == machine and record["n_ctx"] == n_ctx:
            text = (cell / "stdout.log").read_text()
            closing = re.search(r"Mean    KLD: +(-?[\d.]+)", text)
            assert closing
            found[pair_of(cell)] = odd_raw.windows_of(cell)[2], float(closing[1])
    return found


def difference(a: np.ndarray, b: np.ndarray) -> float | None:
    """Half of the interval of the difference of two means: paired where the windows are as many."""
    if min(len(a), len(b)) < 2:
        return None
    if len(a) == len(b):
        return half_of_interval(a - b, ROUNDING[len(a)] * np.sqrt(2), 1e-6)
    errors = [error_of_mean(one, ROUNDING[len(one)]) for one in (a, b)]
    total = sum(stderr**2 for stderr, _ in errors)
    freedom = total**2 / sum(stderr**4 / own for stderr, own in errors)
    return float(stats.t.ppf(0.975, freedom) * np.sqrt(total) + 1e-6)


@pytest.mark.parametrize("n_ctx", recorded_study.CONTEXTS)
def test_every_duel_of_divergences(run: Run, n_ctx: int) -> None:
    for row in run.rows("head_to_head", quantity="kld_mean", n_ctx=n_ctx):
        (a, mean_a), (b, mean_b) = (
            printed(run, row["machine"], n_ctx)[row[side]] for side in ("pair_a", "pair_b")
        )
        assert row["difference"] == pytest.approx(mean_a - mean_b, abs=1e-12)
        if len(a) == len(b) and (a == b).all():
            assert row["winner"] is None
            continue
        half = difference(a, b)
        if half is None:
            assert row["difference_low"] is row["winner"] is None and row["verdict"] == "error unknown"
            continue
        ends = [mean_a - mean_b - half, mean_a - mean_b + half]
        assert [row["difference_low"], row["difference_high"]] == pytest.approx(ends, rel=1e-5, abs=1e-10)


def half_of_one(run: Run, row: Row) -> float | None:
    """Half of the interval of a divergence by itself: wider where its windows are far apart."""
    windows, mean = printed(run, row["machine"], row["n_ctx"])[name_of(row)]
    n = len(windows)
    if n < 2:
        return None
    stderr, freedom = error_of_mean(windows, ROUNDING[n])
    t = stats.t.ppf(0.975, freedom)
    if stderr * np.sqrt(n) > mean / 4 > 0 and ROUNDING[n] ** 2 <= stderr**2 / 10:
        skewness = stats.skew(windows)
        t_whole = stats.t.ppf(0.975, n - 1)
        y = -t_whole / np.sqrt(n) - skewness / (6 * n)
        hall = -stderr * np.sqrt(n) * 3 / skewness * (np.cbrt(1 + skewness * y) - 1)
        log = mean * (np.exp(min(t_whole * stderr / mean, np.log(100))) - 1)
        return float(max(t * stderr, log, hall if skewness > 0 else 0) + 5e-7)
    return float(t * stderr + 5e-7)


def test_a_divergence_has_one_interval_wherever_it_stands(run: Run) -> None:
    """On the front, among parts of K and V, and in advice."""
    for table in ("pareto", "k_or_v", "advice"):
        for row in run.tables[table]:
            if row["kld_mean"] is None or (name_of(row) == "f16" and row["kld_mean"] == 0):
                continue
            half = half_of_one(run, row)
            if half is None:
                assert row["kld_mean_low"] is row["kld_mean_high"] is None
                continue
            ends = [max(row["kld_mean"] - half, min(row["kld_mean"], 0)), row["kld_mean"] + half]
            assert [row["kld_mean_low"], row["kld_mean_high"]] == pytest.approx(ends, rel=1e-4, abs=1e-9), (
                table
            )


# --- the first screen ---------------------------------------------------------------------------------------------


def test_what_is_said_of_speed_is_true_of_all_that_it_is_said_of(run: Run) -> None:
    """`every quantized cache that was timed` is every one; and none is counted that was not compared."""
    for answers in run.view.answers:
        for sentence in (one for one in answers.sentences if one.startswith("On ")):
            machine = next(one for one in machines(run) if one in sentence)
            depth = re.search(r"decode at (\w+)", sentence)
            if depth is None:
                assert "no speed" in sentence or "no quantized" in sentence
                continue
            at = {"0": 0, "512": 512, "1K": 1024}[depth[1]]
            timed = {pair for phase, own, pair in seconds_of(run, machine) if (phase, own) == ("decode", at)}
            rows = run.rows("speed", machine=machine, phase="decode", depth=at)
            verdicts = {name_of(row): row["verdict"] for row in rows if row["ratio"] is not None}
            assert ("that was timed" in sentence) <= (verdicts.keys() == timed - {"f16"})
            once = list(verdicts.values()).count("one round")
            said_once = f"{once} not told from it in the one round that both have" in sentence
            assert said_once == (0 < once < len(verdicts)), sentence
            if "every quantized cache" in sentence:
                assert len(set(verdicts.values())) == 1
            if "one round that was measured" in sentence:
                assert {row.get("round", 1) for row in run.rows("throughput", machine=machine)} == {1}


def test_measured_numbers_are_not_called_published(run: Run) -> None:
    for row in run.tables["advice"]:
        assert "published" not in (row["why"] or "") + (row["decides"] or "")


def test_a_divergence_without_an_error_is_said_to_have_none(runs: dict[str, Run]) -> None:
    (answers,) = runs["one window"].view.answers
    (memory,) = (one for one in answers.sentences if one.startswith("Memory"))
    assert memory.count("its error is not known") == memory.count("mean KL divergence of")
    for work in answers.workloads:
        assert "mean KLD" not in work.figures or "its error is not known" in work.figures


def test_f16_is_the_reference_where_its_control_failed_too(runs: dict[str, Run]) -> None:
    for workload in ("long-chat", "short-answers"):
        (row,) = runs["no control"].rows("advice", workload=workload, verdict="pick")
        assert name_of(row) == "f16" and row["kld_mean"] == 0
    for row in runs["no control"].tables["pareto"]:
        assert name_of(row) != "f16" or (row["kld_mean"], row["on_front"]) == (0, True)


def test_notes_explain_what_stands_in_their_table(run: Run) -> None:
    """Half of an interval is explained where one stands, and nowhere else."""
    for answers in run.view.throughput:
        for grid in answers.grids:
            half = any(
                re.search(r"± [\d.,]+$|95 %", entry.text + entry.note) for line in grid.rows for entry in line
            )
            assert half == any("half of the 95 % interval over rounds" in note for note in grid.notes), grid


def test_pairs_of_other_windows_are_named_below_their_table(runs: dict[str, Run]) -> None:
    """In both reports: their perplexities are of other text."""
    for name, run in runs.items():
        notes = [note for section in run.view.quality for grid in section.grids for note in grid.notes]
        named = [note for note in notes if note.startswith("Not all were scored on as many windows")]
        assert len(named) == 2 * (name == "other windows")
        assert all(note.replace("_", "\\_") in run.post for note in named)
    said = " ".join(note for section in runs["other windows"].view.quality for note in section.grids[0].notes)
    for one in ("q8_0 10", "q4_0 5", "q4_1 1", "f16/q4_0 2", "the others 16)", "(f16 32, the others 64)"):
        assert one in said


def test_a_single_window_is_said_to_have_no_interval(runs: dict[str, Run]) -> None:
    for text in (runs["one window"].post, runs["one window"].page):
        assert "± –" in text and "a single window has n" in text


def test_a_window_that_bears_most_is_said_in_both_reports(runs: dict[str, Run]) -> None:
    for name, run in runs.items():
        marked = [row for row in run.rows("quality", status="measured") if is_carried(run, row)]
        assert {name_of(row) for row in marked} == ({"q8_0"} if name == "one window bears most" else set())
        for text in (run.post, run.page):
            assert ("‡ Few windows, one of which bears more than half" in text) == bool(marked)


def is_carried(run: Run, row: Row) -> bool:
    """Whether one of four windows or more has more than all others, beyond what printing rounds off."""
    windows, _ = printed(run, row["machine"], row["n_ctx"])[name_of(row)]
    known = len(windows) > 3 and ROUNDING[len(windows)] ** 2 <= stats.sem(windows) ** 2 / 10
    return bool(known and windows.max() > windows.sum() / 2 > 0)
