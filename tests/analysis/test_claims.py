"""The study's statements: their verdicts on its own numbers, and on made-up measurements."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from kvsweep.analysis import claims
from kvsweep.analysis.claim_cells import Cells
from kvsweep.analysis.claim_parts import Estimate, about, above, below, not_below
from kvsweep.analysis.claims import STUDY, evaluate
from kvsweep.analysis.frames import rows_of
from kvsweep.analysis.schemas import CLAIMS
from kvsweep.analysis.speed import over_rounds
from kvsweep.analysis.statements import STATEMENTS
from kvsweep.tables.columns import as_table
from kvsweep.tables.published import name_of, read_published
from support import ROOT, of_source, run_in_this_process
from synthetic_tables import (
    frame_of,
    in_rounds,
    quality_row,
    table_of,
    throughput_row,
    unmeasured,
    write_tables,
)

K = 1024
Row = dict[str, Any]
EVERYTHING = read_published(ROOT / "resources" / "published")
PUBLISHED = of_source(EVERYTHING, STUDY)


def by_number(rows: Iterable[Row]) -> dict[int, Row]:
    rows = list(rows)
    numbers = [row["claim"] for row in rows]
    assert len(set(numbers)) == len(numbers)
    return dict(zip(numbers, rows, strict=True))


ON_PUBLISHED = by_number(evaluate(over_rounds(PUBLISHED.throughput), PUBLISHED.quality))

# --- on the published numbers -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "verdict", "value", "expected", "tolerance"),
    [  # values and tolerances by hand, from the published digits
        (1, "holds", -0.0005, 0, 0.0365 + 0.0001),
        (2, "holds", 0.0471, 0.05, 0.005 + 0.0001),
        (3, "holds", 12.4375, 12, 0.5 + 12.4375 * (0.5 / 199 + 0.5 / 16)),
        (4, "holds", 6, 6, 0),
        (5, "fails", 128 / 124 - 1, 0, 0.02 + 128 / 124 * (0.5 / 128 + 0.5 / 124)),
        (6, "holds", 2, 2, 0),
        (7, "holds", 7, 7, 0),
        (8, "no data", 602 / 8.3, 56, 22 + 602 / 8.3 * (0.05 / 602 + 0.05 / 8.3)),
        (9, "holds", 469.8 / 479.2 - 1, 0, 0.02 + 469.8 / 479.2 * (0.05 / 469.8 + 0.05 / 479.2)),
        (10, "holds", 253 / 245 - 1, 0, 253 / 245 * (0.5 / 253 + 0.5 / 245)),
        (11, "fails", 465.6 / 479.2 - 1, 0, 0.02 + 465.6 / 479.2 * (0.05 / 465.6 + 0.05 / 479.2)),
        (12, "no data", None, None, None),
        (13, "no data", None, 6, 0),
    ],
)
def test_each_statement_on_its_own_numbers(
    number: int, verdict: str, value: float | None, expected: float | None, tolerance: float | None
) -> None:
    row = ON_PUBLISHED[number]
    assert row["verdict"] == verdict
    assert row["subject"] == f"published:{STUDY}"
    for column, by_hand in (("value", value), ("expected", expected), ("tolerance", tolerance)):
        found = row.get(column)
        assert found is None if by_hand is None else found == pytest.approx(by_hand, rel=1e-9)


def test_which_cells_were_used() -> None:
    assert ON_PUBLISHED[5]["cells"] == [
        "throughput q8_0/turbo4 d262144 prefill",
        "throughput q8_0 d262144 prefill",
        "throughput q8_0/turbo4 d262144 decode",
        "throughput q8_0 d262144 decode",
    ]
    assert ON_PUBLISHED[3]["cells"] == ["quality turbo3 c4096", "quality q8_0 c4096"]
    assert ON_PUBLISHED[12]["cells"] == ON_PUBLISHED[13]["cells"] == []


def test_what_decides_and_what_is_missing_is_said() -> None:
    assert (
        "prefill: 3.23 % ± 0.819 %, about 0 % ± 2 %: fails, would hold within 2.41 %; decode: 1.88 %"
        in ON_PUBLISHED[5]["note"]
    )
    assert (
        "q8_0/turbo4: −2.3 % ± 0.0206 %, about 0 % ± 2 %: fails, would hold within 2.27 %"
        in ON_PUBLISHED[11]["note"]
    )
    assert "no row: throughput f16 d8192 prefill" in ON_PUBLISHED[8]["note"]
    assert "throughput f16 d131072 prefill" in ON_PUBLISHED[8]["note"]
    assert ON_PUBLISHED[8]["verdict"] == "no data"
    assert ON_PUBLISHED[8]["basis"].startswith("not decided; 64K agrees; on the printed digits")
    assert ON_PUBLISHED[5]["basis"] == "on the printed digits; the error from run to run is not known"
    assert "no row: throughput turbo3 d262144 prefill" in ON_PUBLISHED[12]["note"]
    assert "8K: 0.265 % ± 0.133 %, not below 0 %: holds" in ON_PUBLISHED[7]["note"]


def test_every_tolerance_has_its_reason() -> None:
    for row in ON_PUBLISHED.values():
        assert bool(row.get("tolerance_reason")) == (row.get("tolerance") is not None)
    assert ON_PUBLISHED[3]["tolerance_reason"] == (
        "0.5 (last digit of the stated 12) + 0.42 (rounding of the published digits)"
    )


# --- on measurements in which every statement holds ---------------------------------------------------------

# (pair, depth in K) -> prefill and decode in tokens/s; None is out of memory.
Speeds = dict[tuple[str, int], tuple[float, float] | None]
TRUE_SPEEDS: Speeds = {
    **{("q8_0/turbo4", depth): (400, 60) for depth in (0, 8, 32, 128, 512)},
    **{("q8_0/turbo3", depth): (400, 55) for depth in (0, 32, 128, 256, 512)},
    ("q8_0/turbo3", 8): (400, 60.5),
    ("q8_0/turbo3", 64): (475, 52),
    ("q8_0/turbo4", 64): (475, 55),
    ("q8_0/turbo4", 256): (124.5, 60),
    ("q8_0", 256): (124, 59.8),
    ("q8_0", 512): None,
    ("f16", 8): (1700, 80),
    ("f16", 64): (600, 60),
    ("f16", 128): (312, 40),
    ("f16/turbo4", 8): (50, 17),
    ("f16/turbo4", 64): (10, 5),
    ("f16/turbo4", 128): (4, 3),
    ("turbo3", 64): (472, 50),
    ("q8_0", 64): (479, 58),
    ("turbo3", 128): (253, 38),
    ("q8_0", 128): (245, 40),
    ("turbo3", 256): (127, 20),
    ("turbo4", 256): (100, 22.2),
    ("turbo3", 1024): (40, 8),
    **{(pair, 1024): None for pair in ("f16", "q8_0", "turbo4", "q8_0/turbo4", "q8_0/turbo3")},
}


def speeds(rates: Speeds, spread: float = 0.0005) -> list[Row]:
    rows = []
    for (pair, depth), both in rates.items():
        ctk, ctv = pair.partition("/")[0], pair.rpartition("/")[2]
        for phase, rate in zip(("prefill", "decode"), both or (1.0, 1.0), strict=True):
            row = throughput_row(ctk, ctv, depth * K, phase, rate, spread=0, fallback=pair == "f16/turbo4")
            rows.append(row if both else unmeasured(row, "oom", "no memory"))
    return in_rounds(rows, 3, between=spread)


def qualities(**replaced: float | None) -> list[Row]:
    """PPL costs 0, 1 % and 0.6 %, KL 12 times as large, five percentage points of top-1 agreement."""
    divergence = {"f16": 0.0, "q8_0": 0.0016, "turbo4": 0.013, "turbo3": 0.0192}
    cost = {"f16": 0.0, "q8_0": 0.0001, "turbo4": 0.006, "turbo3": 0.010}
    top1 = {"f16": 1.0, "q8_0": 0.986, "turbo4": 0.953, "turbo3": 0.936}
    return [
        quality_row(
            *(name, name, divergence[name]),
            ln_ppl_ratio=cost[name],
            ppl=5.7438 * (1 + cost[name]),
            ppl_difference=5.7438 * cost[name],
            top1_agreement=top1[name],
        )
        | {"kld_window_stderr": 0.01 * divergence[name]}
        | replaced
        for name in divergence
    ]


def measured(rows: Iterable[Row] | None = None, scored: Iterable[Row] | None = None) -> dict[int, Row]:
    return by_number(
        evaluate(
            over_rounds(speeds(TRUE_SPEEDS) if rows is None else rows),
            qualities() if scored is None else scored,
        )
    )


def changed(rows: Iterable[Row], cell: str, **values: Any) -> list[Row]:
    """The same rows, with other values in those cells whose name begins with `cell`."""
    rows = list(rows)
    assert any(name_of(row).startswith(cell) for row in rows), cell
    return [row | values if name_of(row).startswith(cell) else row for row in rows]


def test_every_statement_can_hold() -> None:
    found = measured()
    assert {number: row["verdict"] for number, row in found.items()} == dict.fromkeys(range(1, 14), "holds")
    assert {row["subject"] for row in found.values()} == {"measured"}
    assert found[7]["tolerance_reason"] == "each part allows for its own error (95 % interval over rounds)"
    assert found[3]["tolerance_reason"].endswith("(95 % interval, tokens taken as independent)")


def test_cells_without_a_common_round_are_not_compared() -> None:
    rows = [
        row | {"round": row["round"] + 10} if (row["ctk"], row["ctv"]) == ("turbo3", "turbo3") else row
        for row in speeds(TRUE_SPEEDS)
    ]
    found = measured(rows)
    assert {number for number, row in found.items() if row["verdict"] != "holds"} == {9, 10, 12}
    assert found[9]["verdict"] == found[10]["verdict"] == found[12]["verdict"] == "no data"


def test_the_rows_fit_the_table() -> None:
    table = as_table(measured().values(), CLAIMS)
    assert table.num_rows == 13
    assert all(field.metadata[b"meaning"] for field in table.schema)


def test_frames_are_as_good_as_rows() -> None:
    frames = frame_of("throughput", speeds(TRUE_SPEEDS)), frame_of("quality", qualities())
    assert all(isinstance(frame, pd.DataFrame) for frame in frames)
    throughput, quality = map(rows_of, frames)
    assert by_number(evaluate(over_rounds(throughput), quality)) == measured()


@pytest.mark.parametrize(
    ("number", "pair", "depth", "rates"),
    [
        (5, "q8_0/turbo4", 256, (128, 60)),
        (5, "q8_0/turbo4", 256, (124, 57)),
        (6, "q8_0/turbo4", 512, None),
        (6, "q8_0", 512, (50, 10)),
        (7, "q8_0/turbo3", 32, (400, 62)),
        (7, "q8_0/turbo3", 8, (400, 55)),  # the exception is part of the statement
        (8, "f16/turbo4", 8, (100, 17)),
        (8, "f16/turbo4", 64, (100, 17)),
        (8, "f16/turbo4", 128, (2, 17)),
        (9, "turbo3", 64, (460, 50)),
        (9, "turbo3", 64, (500, 50)),
        (10, "turbo3", 64, (482, 50)),
        (10, "turbo3", 128, (240, 38)),
        (11, "q8_0/turbo4", 64, (500, 55)),
        (11, "q8_0/turbo3", 64, (450, 52)),
        (12, "turbo3", 256, (130, 20)),
        (12, "turbo3", 256, (127, 22)),
        (13, "turbo3", 1024, None),
        (13, "q8_0/turbo3", 1024, (40, 8)),
    ],
)
def test_statements_about_speed_can_fail(
    number: int, pair: str, depth: int, rates: tuple[float, float] | None
) -> None:
    row = measured(speeds(TRUE_SPEEDS | {(pair, depth): rates}))[number]
    assert row["verdict"] == "fails"
    assert row["value"] is not None


@pytest.mark.parametrize(
    ("number", "pair", "values"),
    [
        (1, "q8_0", {"ppl_difference": 0.05}),
        (1, "q8_0", {"ppl_difference": -0.05}),
        (2, "turbo3", {"ln_ppl_ratio": 0.02}),
        (2, "turbo3", {"top1_agreement": 0.96}),
        (3, "turbo3", {"kld_mean": 0.025}),
        (4, "turbo4", {"ln_ppl_ratio": 0.02}),
        (4, "turbo4", {"kld_mean": 0.001}),
        (4, "turbo4", {"top1_agreement": 0.93}),
    ],
)
def test_statements_about_quality_can_fail(number: int, pair: str, values: dict[str, float]) -> None:
    row = measured(scored=changed(qualities(), f"quality {pair} ", **values))[number]
    assert row["verdict"] == "fails"
    assert row["value"] is not None


# A cell that each statement cannot do without.
NEEDED = {
    1: "quality q8_0 c4096",
    2: "quality turbo3 c4096",
    3: "quality q8_0 c4096",
    4: "quality turbo4 c4096",
    5: "throughput q8_0 d262144 decode",
    6: "throughput q8_0/turbo4 d524288",
    7: "throughput q8_0/turbo3 d0 decode",
    8: "throughput f16/turbo4",
    9: "throughput turbo3 d65536 prefill",
    10: "throughput q8_0 d131072 prefill",
    11: "throughput q8_0/turbo3 d65536 prefill",
    12: "throughput turbo4 d262144 decode",
    13: "throughput turbo3 d1048576",
}


def on_needed(number: int, change: Callable[[list[Row], str], list[Row]]) -> Row:
    """The verdict on a statement after its cell was changed."""
    cell, rows, scored = NEEDED[number], speeds(TRUE_SPEEDS), qualities()
    if cell.startswith("quality"):
        scored = change(scored, cell)
    else:
        rows = change(rows, cell)
    return measured(rows, scored)[number]


@pytest.mark.parametrize("number", NEEDED)
def test_a_missing_cell_is_no_data(number: int) -> None:
    row = on_needed(number, lambda rows, cell: [row for row in rows if not name_of(row).startswith(cell)])
    assert (row["verdict"], row.get("value")) == ("no data", None)
    assert f"no row: {NEEDED[number]}" in row["note"]


@pytest.mark.parametrize("number", NEEDED)
@pytest.mark.parametrize("side", ["effective_ctk", "effective_ctv"])
def test_a_cell_that_ran_with_other_types_is_not_the_pairs_cell(number: int, side: str) -> None:
    row = on_needed(number, lambda rows, cell: changed(rows, cell, **{side: "q5_1"}))
    assert (row["verdict"], row.get("value")) == ("no data", None)
    assert "ran as " in row["note"]


@pytest.mark.parametrize("number", [number for number in NEEDED if number != 8])
def test_a_cell_whose_work_left_the_device_is_not_the_pairs_cell(number: int) -> None:
    row = on_needed(number, lambda rows, cell: changed(rows, cell, fallback=True))
    assert (row["verdict"], row.get("value")) == ("no data", None)
    assert "work left the device: " in row["note"]


@pytest.mark.parametrize("number", NEEDED)
@pytest.mark.parametrize("status", ["timeout", "crashed", "skipped", "unsupported"])
def test_a_cell_that_did_not_end_well_says_nothing(number: int, status: str) -> None:
    def failed(rows: list[Row], cell: str) -> list[Row]:
        return [unmeasured(r, status, "why") if name_of(r).startswith(cell) else r for r in rows]

    row = on_needed(number, failed)
    assert (row["verdict"], row.get("value")) == ("no data", None)
    assert f"{status}: {NEEDED[number]}" in row["note"]


@pytest.mark.parametrize("number", [number for number in NEEDED if number < 5])
def test_two_rows_of_a_cell_are_not_chosen_from(number: int) -> None:
    row = on_needed(number, lambda rows, cell: rows + [r for r in rows if name_of(r).startswith(cell)])
    assert row["verdict"] == "no data"
    assert "several rows: " in row["note"]


@pytest.mark.parametrize("number", [number for number in NEEDED if number > 4])
def test_a_cell_that_timed_other_numbers_of_tokens_is_another_cell(number: int) -> None:
    row = on_needed(number, lambda rows, cell: changed(rows, cell, n_tokens=64))
    assert row["verdict"] == "no data"
    assert "only with 64 tokens timed: " in row["note"]


def test_another_context_is_no_data() -> None:
    found = measured(scored=[row | {"n_ctx": 512} for row in qualities()])
    assert [found[number]["verdict"] for number in (1, 2, 3, 4)] == ["no data"] * 4


def test_nothing_measured_at_these_depths() -> None:
    found = measured([throughput_row("f16", "f16", 0), throughput_row("q8_0", "q8_0", 0)], [])
    assert {row["verdict"] for row in found.values()} == {"no data"}
    assert all(row["cells"] == [] and row.get("value") is None for row in found.values())


# --- the fallback -------------------------------------------------------------------------------------------


def test_slow_without_leaving_the_device_is_no_fallback() -> None:
    row = measured(changed(speeds(TRUE_SPEEDS), "throughput f16/turbo4 d131072 prefill", fallback=False))[8]
    assert row["verdict"] == "fails"
    assert "fallback at 128K: no work left the device" in row["note"]


def test_another_pair_that_stayed_on_the_device_says_nothing_of_the_fallback() -> None:
    rows = changed(speeds(TRUE_SPEEDS), "throughput f16/turbo4", effective_ctk="q8_0", fallback=False)
    row = measured(rows)[8]
    assert (row["verdict"], row["cells"]) == ("no data", [])
    assert "ran as q8_0/turbo4: throughput f16/turbo4 d8192 prefill" in row["note"]


def test_what_stayed_on_the_device_is_no_fallback_even_without_its_reference() -> None:
    rows = changed(speeds(TRUE_SPEEDS), "throughput f16/turbo4", fallback=False)
    row = measured([row for row in rows if not name_of(row).startswith("throughput f16 ")])[8]
    assert (row["verdict"], row.get("value")) == ("fails", None)
    assert row["cells"] == [f"throughput f16/turbo4 d{depth * K} prefill" for depth in (8, 64, 128)]


def test_a_fallback_need_not_be_proved_where_the_log_is_silent() -> None:
    assert (
        measured(changed(speeds(TRUE_SPEEDS), "throughput f16/turbo4", fallback=None))[8]["verdict"]
        == "holds"
    )


def test_the_fallbacks_reference_must_not_be_one() -> None:
    row = measured(changed(speeds(TRUE_SPEEDS), "throughput f16 ", fallback=True))[8]
    assert row["verdict"] == "no data"


@pytest.mark.parametrize(
    ("depths", "verdict"),
    [((8, 128), "holds"), ((64,), "no data"), ((8, 64), "no data"), ((8,), "no data"), ((128,), "no data")],
)
def test_depths_that_decide_on_the_fallback(depths: tuple[int, ...], verdict: str) -> None:
    rates = {key: both for key, both in TRUE_SPEEDS.items() if key[0] != "f16/turbo4" or key[1] in depths}
    assert measured(speeds(rates))[8]["verdict"] == verdict


# --- errors -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [5, 7, 8, 9, 10, 11, 12])
def test_noise_makes_no_statement_hold(number: int) -> None:
    row = measured(speeds(TRUE_SPEEDS, spread=0.3))[number]
    if number == 8:  # from 34 to 78 times is wide enough for some noise; the stated figures are not
        assert row["verdict"] != "holds" or "undecided" in row["note"]
    else:
        assert row["verdict"] == "no data"
        assert "undecided" in row["note"]


def test_large_standard_errors_make_no_statement_hold() -> None:
    found = measured(
        scored=qualities(
            ln_ppl_ratio_stderr=0.1,
            kld_mean_stderr=0.1,
            top1_agreement_stderr=0.1,
            ppl_difference_stderr=1.0,
            kld_windows=None,
        )
    )
    assert [found[number]["verdict"] for number in (1, 2, 3, 4)] == ["no data"] * 4


def test_free_by_the_standard_error_but_not_by_the_paired_one() -> None:
    scored = changed(qualities(), "quality q8_0 ", ppl_difference=0.02, ppl_difference_stderr=0.002)
    row = measured(scored=scored)[1]
    assert row["verdict"] == "holds"
    assert "yet not 0 by its own, paired error" in row["note"]


@pytest.mark.parametrize("number", [5, 7, 8, 9, 10, 11, 12])
def test_one_round_decides_nothing_about_speed(number: int) -> None:
    row = measured([row for row in speeds(TRUE_SPEEDS) if row["round"] == 1])[number]
    assert row["verdict"] == "no data"
    assert "one round: what changes from one process to the next is not known" in row["note"]


@pytest.mark.parametrize(
    ("value", "error", "verdicts"),
    [  # about 10 -+ 1; above 10 is above(value - 10)
        (10.0, 0.2, ("holds", "no data", "no data", "holds")),
        (11.1, 0.2, ("holds", "holds", "fails", "holds")),
        (11.3, 0.2, ("fails", "holds", "fails", "holds")),
        (8.7, 0.2, ("fails", "fails", "holds", "fails")),
        (10.0, 1.2, ("no data", "no data", "no data", "holds")),
        (12.0, 1.2, ("no data", "holds", "fails", "holds")),
        (10.0, 0.0, ("holds", "fails", "fails", "holds")),
    ],
)
def test_a_parts_verdict(value: float, error: float, verdicts: tuple[str, ...]) -> None:
    estimate, difference = Estimate(value, error, ""), Estimate(value - 10, error, "")
    parts = (
        about("", estimate, 10.0, 1.0, ""),
        above("", difference),
        below("", difference),
        not_below("", difference),
    )
    assert tuple(part.verdict for part in parts) == verdicts


# --- set-ups ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "column", ["engine", "engine_commit", "backend", "machine", "model", "model_sha256", "source"]
)
def test_set_ups_are_never_mixed(column: str) -> None:
    """turbo3 of one set-up, q8_0 of another: nothing to compare in either."""
    rows = changed(speeds(TRUE_SPEEDS), "throughput turbo3 ", **{column: "another"})
    found = [row for row in evaluate(over_rounds(rows), []) if row["claim"] == 9]
    assert [row["verdict"] for row in found] == ["no data", "no data"]
    own = "subject" if column == "source" else column
    assert found[0][own] != "another" and found[1][own] == "another"


def test_each_corpus_by_itself() -> None:
    other = changed([row | {"corpus": "another"} for row in qualities()], "quality turbo3 ", kld_mean=0.1)
    found = [row for row in evaluate([], [*qualities(), *other]) if row["claim"] == 3]
    assert [(row["corpus"], row["verdict"]) for row in found] == [
        ("wikitext-2-test", "holds"),
        ("another", "fails"),
    ]


def test_no_tables_no_rows() -> None:
    assert evaluate([], []) == []


def test_all_thirteen_statements() -> None:
    assert list(STATEMENTS) == list(range(1, 14))
    assert all(known.parts(Cells({})) for known in STATEMENTS.values())


# --- the program --------------------------------------------------------------------------------------------


def test_the_program_writes_the_table(tmp_path: Path) -> None:
    tables = tmp_path / "tables"
    write_tables(
        tables,
        {
            "throughput": table_of("throughput", [*EVERYTHING.throughput, *speeds(TRUE_SPEEDS)]),
            "quality": table_of("quality", [*EVERYTHING.quality, *qualities()]),
        },
    )
    done = run_in_this_process("make_answers", ["--tables", tables])
    assert done.returncode == 0
    assert "kvsweep: claims on measured: 13 holds" in done.stderr
    table = pq.read_table(tables / "claims.parquet")
    assert [(f.name, f.metadata) for f in table.schema] == [(f.name, f.metadata) for f in CLAIMS]
    rows = table.to_pylist()
    assert [row["subject"] for row in rows] == [f"published:{claims.STUDY}"] * 13 + ["measured"] * 13
    verdicts = {(row["subject"], row["claim"]): row["verdict"] for row in rows}
    assert verdicts[("measured", 12)] == "holds"
    assert verdicts[(f"published:{claims.STUDY}", 12)] == "no data"


def test_the_program_names_a_table_that_is_not_there(tmp_path: Path) -> None:
    done = run_in_this_process("make_answers", ["--tables", tmp_path])
    assert done.returncode == 1
    assert f"{tmp_path / 'throughput.parquet'}: cannot be read" in done.stderr
    assert not (tmp_path / "claims.parquet").exists()
