"""Which pair for which work."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from kvsweep.analysis.advice import advice
from kvsweep.analysis.best import interval_of, told_quicker, what_decides
from kvsweep.analysis.curves import Curve, Duration
from kvsweep.analysis.estimates import ROUNDED, Value, of_rounds
from kvsweep.analysis.kld_at_depth import kld_at_depth, klds_at_depth
from kvsweep.analysis.recall_at_depth import recall_at_depth
from kvsweep.analysis.schemas import ADVICE
from kvsweep.analysis.speed import over_rounds
from kvsweep.statistics import along, wilson
from kvsweep.study.config import Workload, parse_workloads
from kvsweep.study.pairs import Pair
from kvsweep.tables.columns import as_table
from kvsweep.tables.published import read_published
from kvsweep.tables.row import SET_UP
from scipy import stats
from support import ROOT
from synthetic_tables import in_rounds, model_row, quality_row, rounds_at, study, throughput_row, unmeasured

Row = dict[str, Any]
K, GIB = 1024, 2**30
PUBLISHED = read_published(ROOT / "resources" / "published")

CODING = Workload("coding", "coding", "seconds", 8 * K, K, 2 * K, None, None)
LONGEST = Workload("longest", "longest", "context", 0, 512, 128, None, None)


def changed(workload: Workload = CODING, **values: Any) -> Workload:
    return Workload(**{**vars(workload), **values})


def advised(throughput: Iterable[Row], quality: Iterable[Row], workload: Workload = CODING) -> list[Row]:
    rows = advice(over_rounds(throughput), quality, [model_row()], [workload])
    table: list[Row] = as_table(rows, ADVICE).to_pylist()
    return table


def pair_of(row: Row) -> str:
    return row["ctk"] if row["ctk"] == row["ctv"] else f"{row['ctk']}/{row['ctv']}"


def speeds(
    pair: str, prefill: float, decode: float, depths: Iterable[int] = (0, 8 * K, 64 * K), **more: Any
) -> list[Row]:
    """Equally fast at every depth."""
    ctk, ctv = pair.partition("/")[0], pair.rpartition("/")[2]
    return in_rounds(
        throughput_row(ctk, ctv, depth, phase, rate, spread=0, **more)
        for depth in depths
        for phase, rate in (("prefill", prefill), ("decode", decode))
    )


THREE = [*speeds("f16", 1000, 60), *speeds("q8_0", 900, 55), *speeds("q4_0", 1200, 50)]
DAMAGE = [
    quality_row("f16", "f16", 0.0),
    quality_row("q8_0", "q8_0", 0.0016),
    quality_row("q4_0", "q4_0", 0.009),
]


# --- curves -------------------------------------------------------------------------------------------------


def test_time_per_token_is_linear_between_depths() -> None:
    def cell(depth: int, rate: float) -> Row:
        return throughput_row("f16", "f16", depth, "prefill", tokens_per_second=rate, samples=[rate, rate])

    curve = Curve(over_rounds([cell(0, 100.0), cell(1000, 50.0)]))  # 10 and 20 ms a token
    assert curve.duration(0, 1000).seconds == pytest.approx(15)
    assert curve.duration(500, 1000).seconds == pytest.approx(500 * 0.0175)
    # The last cell timed 512 tokens of its own; no further.
    assert curve.duration(1000, 1512).seconds == pytest.approx(512 * 0.02)
    assert curve.gap(1000, 1513) == "1513, beyond the deepest that was measured"
    with pytest.raises(ValueError, match="not measured"):
        curve.duration(0, 1513)
    assert Curve(over_rounds([cell(8, 1.0)])).gap(0, 8) == "0, below the shallowest that was measured"
    assert Curve([]).gap(0, 1) == "any depth"


def test_lines_beyond_the_points_never_fall() -> None:
    assert along(5, {0: 1.0, 10: 2.0}) == 1.5
    assert along(20, {0: 1.0, 10: 2.0}) == 3.0
    assert along(20, {0: 2.0, 10: 1.0}) == 1.0
    assert along(7, {3: 4.0}) == 4.0


# --- one workload -------------------------------------------------------------------------------------------


def test_no_time_of_a_request_begins_below_0() -> None:
    # Two rounds of which one took twice as long: Student's interval of the times themselves would.
    cells = over_rounds(
        rounds_at("f16", "f16", [50.0, 25.0], 0) + rounds_at("f16", "f16", [50.0, 25.0], 4096)
    )
    request = Curve(cells).duration(0, 1024)
    assert request.half is not None and request.half > request.seconds
    low, high = interval_of(request)
    assert low is not None and high is not None and 0 < low < request.seconds < high
    assert low * high == pytest.approx(request.seconds**2)


def test_the_quickest_feasible_pair() -> None:
    rows = advised(THREE, DAMAGE)
    assert [(pair_of(row), row["rank"], row["verdict"]) for row in rows] == [
        ("f16", 1, "pick"),
        ("q8_0", 2, "feasible"),
        ("q4_0", 3, "feasible"),
    ]
    pick = rows[0]
    assert pick["request_seconds"] == pytest.approx(K / 1000 + 2 * K / 60, rel=0.002)
    assert pick["prefill_seconds"] + pick["decode_seconds"] == pytest.approx(pick["request_seconds"])
    assert pick["request_seconds_low"] < pick["request_seconds"] < pick["request_seconds_high"]
    # Of the other's time in either direction: 35.16 s are 8.4 % less than 38.37 s, which are 9.2 % more than 35.16 s.
    ends = r" \[[\d.]+, [\d.]+\]"
    share = re.fullmatch(
        rf"quickest: 35\.\d+{ends} s a request, ([\d.]+){ends} % less than q8_0", pick["why"]
    )
    assert share and float(share[1]) == pytest.approx(100 * (1 - 35.157 / 38.374), abs=0.3)
    share = re.fullmatch(rf"38\.\d+{ends} s a request, ([\d.]+){ends} % more than f16", rows[1]["why"])
    assert share and float(share[1]) == pytest.approx(100 * (38.374 / 35.157 - 1), abs=0.3)
    assert rows[1]["would_change"] is None


def by_position(*parts: tuple[float, float]) -> list[Row]:
    """(tokens in the cache, mean KL divergence), each with an interval of 10 % to both sides."""
    return [
        {
            "depth_tokens": depth,
            "kld_mean": kld,
            "kld_mean_low": 0.9 * kld,
            "kld_mean_high": 1.1 * kld,
            "error_by": "windows",
        }
        for depth, kld in parts
    ]


def test_the_divergence_is_that_at_the_depth_of_the_work() -> None:
    """q4_0 suits a shallow cache and not a deep one, whatever the whole window says."""
    growing = by_position((2 * K, 0.004), (16 * K, 0.02))
    damage = [*DAMAGE[:2], quality_row("q4_0", "q4_0", 0.009, by_position=growing)]
    shallow, deep = (
        {pair_of(row): row for row in advised(THREE, damage, changed(highest_kld=0.01, depth=depth))}["q4_0"]
        for depth in (2 * K, 12 * K)
    )
    # Behind a prompt of 1K: at 3K and at 13K.
    assert (shallow["verdict"], shallow["kld_depth"]) == ("feasible", 3 * K)
    assert shallow["kld_mean"] == pytest.approx(0.004 + 0.016 / 14)
    assert (deep["verdict"], deep["kld_depth"]) == ("not feasible", 13 * K)
    # Beyond what was scored nothing is known but the mean of whole windows.
    beyond = {pair_of(row): row for row in advised(THREE, damage, changed(highest_kld=0.01, depth=40 * K))}[
        "q4_0"
    ]
    assert (beyond["kld_mean"], beyond["kld_depth"]) == (0.009, None)


def test_a_pair_is_judged_by_depth_where_another_one_is() -> None:
    """q8_0 was scored by llama-perplexity only: of the depth of the work nothing is known of it."""
    scored = by_position((2 * K, 0.004), (16 * K, 0.004))
    damage = [*DAMAGE[:2], quality_row("q4_0", "q4_0", 0.009, by_position=scored)]
    rows = {pair_of(row): row for row in advised(THREE, damage, changed(highest_kld=0.01, depth=2 * K))}
    assert rows["q8_0"]["missing"] == ["its KL divergence with 3K in the cache"]
    assert (rows["q8_0"]["verdict"], rows["q8_0"]["kld_mean"], rows["q8_0"]["kld_depth"]) == (
        "no data",
        None,
        None,
    )
    # f16 is 0 from itself at any depth.
    assert {rows[pair]["verdict"] for pair in ("f16", "q4_0")} <= {
        "pick",
        "feasible",
        "not told from the best",
    }
    assert rows["f16"]["kld_mean"] == 0.0


def test_divergences_at_a_depth_are_of_windows_of_one_context() -> None:
    def cell(n_ctx: int, kld: float) -> Row:
        return quality_row("q4_0", "q4_0", kld, n_ctx=n_ctx, by_position=by_position((K, kld), (4 * K, kld)))

    both, long_only = [cell(8 * K, 0.01), cell(32 * K, 0.02)], [cell(32 * K, 0.03)]
    q8_0, q4_0, q5_1 = (Pair.parse(name) for name in ("q8_0", "q4_0", "q5_1"))

    def values(cells: dict[Pair, list[Row]]) -> dict[Pair, float]:
        return {pair: round(found.value, 9) for pair, found in klds_at_depth(cells, 2 * K).items()}

    assert values({q8_0: both, q4_0: both}) == {q8_0: 0.01, q4_0: 0.01}
    assert values({q8_0: both, q4_0: long_only}) == {q8_0: 0.02, q4_0: 0.03}
    assert values({q8_0: both, q4_0: both, q5_1: [quality_row("q5_1", "q5_1", 0.1)]}) == {
        q8_0: 0.01,
        q4_0: 0.01,
    }
    assert values({}) == {}


def test_between_parts_the_error_is_no_smaller_than_theirs() -> None:
    cell = quality_row("q4_0", "q4_0", 0.009, by_position=by_position((1024.0, 0.01), (3072.0, 0.03)))
    found = kld_at_depth(cell, 2048)
    assert found is not None and found.half is not None
    assert found.value == pytest.approx(0.02) and found.half == pytest.approx(0.002)
    assert kld_at_depth(cell, 1023) is None and kld_at_depth(cell, 3073) is None
    assert kld_at_depth(quality_row("q4_0", "q4_0", 0.009), 2048) is None
    unknown = [
        part | {"kld_mean_low": None, "kld_mean_high": None}
        for part in by_position((1024, 0.01), (3072, 0.03))
    ]
    assert kld_at_depth(quality_row("q4_0", "q4_0", 0.009, by_position=unknown), 2048) is None


def test_a_divergence_that_is_too_high_is_not_feasible_and_what_would_change_it_is_said() -> None:
    quick = [*THREE, *speeds("turbo3", 1500, 80)]
    rows = advised(quick, [*DAMAGE, quality_row("turbo3", "turbo3", 0.02)], changed(highest_kld=0.01))
    by_pair = {pair_of(row): row for row in rows}
    assert by_pair["turbo3"]["verdict"] == "not feasible"
    assert by_pair["turbo3"]["why"] == "its KL divergence, 0.02000 ± 0.00079, is above 0.01"
    assert by_pair["f16"]["rank"] == 1
    assert "if a KL divergence of 0.02 is acceptable: turbo3" in by_pair["f16"]["would_change"]


@pytest.mark.parametrize(
    ("mark", "said"),
    [
        ({"fallback": True}, "work left the device"),
        ({"effective_ctk": "q8_0"}, "ran as q8_0/turbo3"),
    ],
)
def test_what_was_not_measured_is_never_recommended(mark: Row, said: str) -> None:
    rows = advised(
        [*THREE, *speeds("turbo3", 9000, 900, **mark)], [*DAMAGE, quality_row("turbo3", "turbo3", 1e-5)]
    )
    (turbo3,) = [row for row in rows if row["ctk"] == "turbo3"]
    assert (turbo3["verdict"], turbo3["rank"], turbo3["request_seconds"]) == ("no data", None, None)
    assert said in turbo3["why"]


def test_no_curve_is_stretched_beyond_its_depths() -> None:
    short = speeds("turbo3", 9000, 900, depths=(0, 8 * K))
    (row,) = [row for row in advised([*THREE, *short], DAMAGE) if row["ctk"] == "turbo3"]
    assert row["verdict"] == "no data"
    assert row["missing"] == [
        "prefill at 9K, beyond the deepest that was measured",
        "decode at 11K, beyond the deepest that was measured",
    ]


def test_an_unknown_divergence_matters_only_where_there_is_a_limit() -> None:
    quick = [*THREE, *speeds("turbo3", 1500, 80)]
    assert pair_of(advised(quick, DAMAGE)[0]) == "turbo3"
    rows = advised(quick, DAMAGE, changed(highest_kld=0.02))
    assert pair_of(rows[0]) == "f16"
    assert (
        "if turbo3's KL divergence, not measured, is not above 0.02: it (26.28 [26.16, 26.41] s)"
        in rows[0]["would_change"]
    )
    (turbo3,) = [row for row in rows if row["ctk"] == "turbo3"]
    assert (turbo3["verdict"], turbo3["missing"]) == ("no data", ["its KL divergence"])
    # Of the baseline none is needed.
    assert [row["verdict"] for row in advised(speeds("f16", 10, 10), [], changed(highest_kld=0.02))] == [
        "pick"
    ]


def test_a_pair_that_ran_out_of_memory_on_the_way() -> None:
    lost = [unmeasured(row, "oom", "no memory") for row in speeds("f16", 1, 1, depths=(10 * K,))]
    (f16,) = [row for row in advised([*THREE, *lost], DAMAGE) if row["ctk"] == "f16"]
    assert (f16["verdict"], f16["why"]) == ("not feasible", "ran out of memory at 10K")


@pytest.mark.parametrize(
    ("limit", "verdict"),
    [(0.0008, "not feasible"), (0.0015, "undecided"), (0.0017, "undecided"), (0.003, "pick")],
)
def test_a_limit_within_the_error_of_a_divergence_decides_nothing(limit: float, verdict: str) -> None:
    """0.0016 +- 0.0004: neither is what lies a little above it acceptable, nor what lies a little below it refused."""
    windows = [0.0016 * (1 + 0.2 * (-1) ** n) for n in range(8)]
    kld = quality_row("q8_0", "q8_0", 0.0016, method="scorer", kld_windows=windows, kld_window_rounding=0.0)
    (q8_0,) = advised(speeds("q8_0", 900, 55), [kld], changed(highest_kld=limit))
    assert q8_0["verdict"] == verdict
    if verdict == "undecided":
        assert q8_0["why"].startswith("its KL divergence, 0.0016") and "is not told from" in q8_0["why"]


def test_memory_that_is_given_counts() -> None:
    small = changed(memory_bytes=36_903_138_080 + 11 * K * 15_000)  # between q8_0's and f16's bytes a token
    rows = {pair_of(row): row for row in advised(THREE, DAMAGE, small)}
    assert rows["f16"]["verdict"] == "not feasible"
    assert rows["f16"]["why"].startswith("needs ")
    assert rows["q8_0"]["rank"] == 1
    large = advised(THREE, DAMAGE)[0]
    assert "with less than" in large["would_change"] and "of memory: q8_0" in large["would_change"]


@pytest.mark.parametrize(("size_bytes", "is_said"), [(3 << 30, True), (1 << 30, False)])
def test_less_memory_than_any_machine_has_changes_nothing(size_bytes: int, is_said: bool) -> None:
    models = [model_row(file_bytes=size_bytes)]
    (pick, *_) = as_table(advice(over_rounds(THREE), DAMAGE, models, [CODING]), ADVICE).to_pylist()
    assert pick["verdict"] == "pick" and pick["needed_bytes"] < size_bytes + (1 << 30)
    assert ("with less than" in (pick["would_change"] or "")) is is_said


def test_nothing_is_recommended_beyond_what_the_model_was_trained_for() -> None:
    depths = (0, 8 * K, 256 * K, 512 * K)
    rows = [*speeds("f16", 1000, 60, depths), *speeds("q8_0", 900, 55, depths)]
    deep = advised(rows, DAMAGE, changed(depth=300 * K))
    assert {row["verdict"] for row in deep} == {"not feasible"}
    assert "beyond the 256K tokens that the model was trained for" in deep[0]["why"]
    longest = advised(rows, DAMAGE, LONGEST)
    assert [(pair_of(row), row["verdict"]) for row in longest if row["rank"]] == [
        ("f16", "pick"),
        ("q8_0", "feasible"),
    ]
    assert longest[0]["why"] == "measured to 256K, as with 1 other pair, of which none diverges less"


def test_what_depth_and_mix_would_change() -> None:
    """q8_0 decodes slower until 64K and faster there; q4_0 is quicker with the prompt."""
    f16 = [*speeds("f16", 1000, 60, depths=(0, 8 * K)), *speeds("f16", 400, 20, depths=(64 * K, 128 * K))]
    q8_0 = [*speeds("q8_0", 900, 55, depths=(0, 8 * K)), *speeds("q8_0", 500, 40, depths=(64 * K, 128 * K))]
    q4_0 = speeds("q4_0", 3000, 15, depths=(0, 8 * K, 64 * K, 128 * K))
    (pick, *_) = advised([*f16, *q8_0, *q4_0], DAMAGE)
    assert pair_of(pick) == "f16"
    assert "from depth 64K: q8_0" in pick["would_change"]
    assert "with below about 1" in pick["would_change"] and "generated tokens: q4_0" in pick["would_change"]


def test_what_is_not_told_apart_is_no_other_pick() -> None:
    """From 64K on q8_0 and q5_1 are equally fast; up to there f16 is quicker."""
    shallow, deep = (0, 8 * K), (64 * K, 128 * K)
    f16 = [*speeds("f16", 1000, 60, depths=shallow), *speeds("f16", 400, 20, depths=deep)]
    others = [
        row
        for pair, rate in (("q8_0", 40.0), ("q5_1", 40.001))
        for row in (*speeds(pair, 900, 50, depths=shallow), *speeds(pair, 500, rate, depths=deep))
    ]
    (pick, *_) = advised([*f16, *others], [*DAMAGE, quality_row("q5_1", "q5_1", 0.002)])
    assert pair_of(pick) == "f16" and pick["verdict"] == "pick"
    assert re.search(r"from depth 64K: (q8_0 or q5_1|q5_1 or q8_0), not told apart", pick["would_change"])


def test_no_difference_is_not_sold_as_one() -> None:
    rows = advised([*speeds("f16", 1000, 60), *speeds("q8_0", 1000, 60.0001)], DAMAGE)
    assert all("no difference shown" in row["why"] for row in rows[:2])


def test_the_longest_context_is_the_deepest_that_was_measured() -> None:
    deep = [*THREE, *speeds("q8_0", 100, 10, depths=(128 * K,)), *speeds("q4_0", 100, 12, depths=(128 * K,))]
    rows = advised(deep, DAMAGE, LONGEST)
    assert [(pair_of(row), row["rank"]) for row in rows] == [("q8_0", 1), ("q4_0", 2), ("f16", 3)]
    assert rows[0]["why"] == "measured to 128K"


def test_a_context_that_was_not_reached_is_no_answer() -> None:
    rows = advised(THREE, DAMAGE, changed(LONGEST, depth=128 * K))
    assert [(row["verdict"], row["why"]) for row in rows] == [
        ("not feasible", "was measured to 64K only")
    ] * 3


def test_of_many_other_pairs_the_first_are_named() -> None:
    """From 64K on nine pairs are equally fast; up to there f16 is quicker."""
    shallow, deep = (0, 8 * K), (64 * K, 128 * K)
    names = ["q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl", "q8_0/q4_0", "q8_0/q5_0", "q8_0/q5_1"]
    cells = [*speeds("f16", 1000, 60, depths=shallow), *speeds("f16", 400, 20, depths=deep)]
    for index, pair in enumerate(names):
        cells += speeds(pair, 900, 50, depths=shallow)
        cells += speeds(pair, 500, 40 + index / 1000, depths=deep)
    pick = next(row for row in advised(cells, DAMAGE) if pair_of(row) == "f16")
    assert re.search(r"from depth 64K: q8_0/q5_1 or .* or 6 others, not told apart", pick["would_change"])


def test_where_speeds_were_published_repetitions_over_runs_would_decide() -> None:
    published = [
        Duration(seconds, ((1.0, Value(seconds, bound=0.01, kind=ROUNDED)),)) for seconds in (10.0, 10.01)
    ]
    assert what_decides(published, 1, None) == "repetitions over several runs, which were not published"


def deepest(pairs: Iterable[str], quality: Iterable[Row]) -> dict[str, Row]:
    """What is said of pairs that all ran as deep as the model was trained for."""
    trained = 128 * K
    cells = [row for pair in pairs for row in speeds(pair, 100, 10, depths=(0, trained - 640))]
    rows = advice(over_rounds(cells), quality, [model_row(n_ctx_train=trained)], [LONGEST])
    return {pair_of(row): row for row in as_table(rows, ADVICE).to_pylist()}


def test_of_pairs_that_reach_what_the_model_was_trained_for_the_one_that_diverges_least() -> None:
    rows = deepest(["f16", "q8_0", "q4_0", "turbo4"], DAMAGE)  # of turbo4 no divergence is known
    assert {pair: row["verdict"] for pair, row in rows.items()} == {
        "f16": "pick", "q8_0": "feasible", "q4_0": "feasible", "turbo4": "feasible"
    }  # fmt: skip
    assert rows["f16"]["why"] == "measured to 130432, as with 3 other pairs, of which none diverges less"


def test_without_f16_the_ones_that_are_not_told_to_diverge_more_than_another() -> None:
    rows = deepest(["q8_0", "q5_1", "q4_0"], [*DAMAGE, quality_row("q5_1", "q5_1", 0.0016000001)])
    assert {pair: row["verdict"] for pair, row in rows.items()} == {
        "q8_0": "not told from the best", "q5_1": "not told from the best", "q4_0": "feasible", "f16": "no data"
    }  # fmt: skip
    assert rows["q8_0"]["decides"].startswith("their KL divergences on more text")


@pytest.mark.parametrize("column", ["machine", "engine", "model", "source"])
def test_each_set_up_by_itself(column: str) -> None:
    rows = advised([*THREE, *[row | {column: "another"} for row in speeds("q4_0", 9000, 900)]], DAMAGE)
    assert {row[column] for row in rows} == {THREE[0][column], "another"}
    assert pair_of(rows[0]) == "f16"


# --- answers ------------------------------------------------------------------------------------------------


def recalled(pair: str, right: dict[int, int], items: int = 100, **more: Any) -> list[Row]:
    """Of the table task_shares: how many of ``items`` answers are right at each context."""
    of = {name: THREE[0][name] for name in SET_UP} | {"ctk": pair, "ctv": pair}
    return [
        of
        | {"task": "recall", "kind": "recall", "question": "one", "context": context, "items": items}
        | {"right": n}
        | more
        for context, n in right.items()
    ]


def advised_with(shares: list[Row], tasks: Iterable[Row] = (), **asked: Any) -> dict[str, Row]:
    work = changed(least_recall=0.9, **asked)
    rows = advice(over_rounds(THREE), DAMAGE, [model_row()], [work], shares, tasks)
    return {pair_of(row): row for row in as_table(rows, ADVICE).to_pylist()}


def test_a_pair_recalls_enough_too_little_or_nobody_knows() -> None:
    rows = advised_with(
        [*recalled("f16", {9 * K: 100}), *recalled("q8_0", {9 * K: 92}), *recalled("q4_0", {9 * K: 60})]
    )
    assert {pair: row["verdict"] for pair, row in rows.items()} == {
        "f16": "pick",
        "q8_0": "undecided",
        "q4_0": "not feasible",
    }
    assert rows["q8_0"]["why"] == "its recall at 9K, 92.0 % [85.0, 95.9], is not told from 90 %"
    assert rows["q4_0"]["why"] == "its recall at 9K, 60.0 % [50.2, 69.1], is below 90 %"
    assert (rows["q8_0"]["rank"], rows["q8_0"]["missing"]) == (None, [])
    assert (rows["f16"]["recall"], rows["f16"]["least_recall"]) == (1.0, 0.9)
    assert rows["f16"]["recall_low"] == pytest.approx(0.963, abs=0.001)


@pytest.mark.parametrize("contexts", [(512,), (512, 8 * K), (10 * K, 16 * K)])
def test_recall_that_was_not_asked_at_the_depth_of_the_work_is_not_known(contexts: tuple[int, ...]) -> None:
    """8K in the cache and a prompt of 1K: neither longer contexts alone nor shorter ones say anything."""
    rows = advised_with(recalled("f16", dict.fromkeys(contexts, 100)))
    shown = {512: "512", 8 * K: "8K", 10 * K: "10K", 16 * K: "16K"}
    asked = ", ".join(shown[context] for context in contexts)
    assert rows["f16"]["verdict"] == "no data"
    assert rows["f16"]["why"] == f"not known: its recall at 9K (asked at {asked})"
    assert rows["q8_0"]["why"] == "not known: its recall at 9K"
    assert rows["f16"]["recall"] is None


def test_between_two_contexts_the_interval_is_no_narrower_than_theirs() -> None:
    found = recall_at_depth(recalled("f16", {8 * K: 100, 10 * K: 80}), 9 * K)
    of_all, of_most = (wilson(right, 100) for right in (100, 80))
    assert found is not None and found.answers == 100
    assert found[:3] == pytest.approx([(a + b) / 2 for a, b in zip(of_all, of_most, strict=True)])


def test_questions_of_a_task_count_together_and_the_worst_of_several_tasks() -> None:
    both = [*recalled("f16", {K: 50}, 50), *recalled("f16", {K: 20}, 50, question="count")]
    assert recall_at_depth(both, K) == (*wilson(70, 100), 100)
    worse = recalled("f16", {512: 10, 4 * K: 10}, task="another")
    found = recall_at_depth([*both, *worse, *recalled("f16", {K: 0}, kind="tool-call", task="third")], K)
    assert found is not None and found.value == pytest.approx(0.1)
    # A trajectory is neither right nor wrong.
    assert (
        recall_at_depth(recalled("f16", {K: 0}) and [recalled("f16", {K: 0})[0] | {"right": None}], K) is None
    )


def test_why_there_is_no_recall() -> None:
    (lost,) = recalled("q8_0", {9 * K: 0}, status="oom", reason="no memory")
    lost = unmeasured(THREE[0], "oom", "no memory") | lost
    row = advised_with(recalled("f16", {9 * K: 100}), [lost])["q8_0"]
    assert row["why"] == "not known: its recall at 9K (oom)"


def test_what_recall_would_change() -> None:
    """q4_0 is the quickest where 4 answers of 5 are enough; q8_0, if the data left that open, would not be quicker."""
    shares = [*recalled("f16", {9 * K: 100}), *recalled("q8_0", {9 * K: 92})]
    assert (
        advised_with(shares)["f16"]["would_change"] is None
        or "recall" not in advised_with(shares)["f16"]["would_change"]
    )
    work: dict[str, Any] = {"prompt_tokens": 2 * K, "generated_tokens": 64}
    answers = [*recalled("f16", {10 * K: 100}), *recalled("q4_0", {10 * K: 80})]
    said = advised_with(answers, **work)["f16"]["would_change"]
    assert "if a recall of 80 % is acceptable: q4_0" in said
    answers = [*recalled("f16", {10 * K: 100}), *recalled("q4_0", {10 * K: 92})]
    said = advised_with(answers, **work)["f16"]["would_change"]
    assert "if q4_0's recall is not below 90 %: it (" in said
    said = advised_with(answers[:1], **work)["f16"]["would_change"]
    assert "if q4_0's recall, not measured, is not below 90 %: it (" in said


def test_the_largest_context_that_was_scored_counts() -> None:
    deeper = [quality_row("q8_0", "q8_0", 0.05, n_ctx=16 * K), quality_row("f16", "f16", 0.0, n_ctx=16 * K)]
    rows = {pair_of(row): row for row in advised(THREE, [*DAMAGE, *deeper], changed(highest_kld=0.02))}
    assert (rows["q8_0"]["kld_mean"], rows["q8_0"]["n_ctx"], rows["q8_0"]["verdict"]) == (
        0.05,
        16 * K,
        "not feasible",
    )
    assert rows["q4_0"]["verdict"] == "no data"  # scored at 4K only


# --- what ships ---------------------------------------------------------------------------------------------


def test_the_shipped_workloads_on_the_published_numbers() -> None:
    workloads = parse_workloads(None)
    rows = as_table(
        advice(over_rounds(PUBLISHED.throughput), PUBLISHED.quality, PUBLISHED.models, workloads.values()),
        ADVICE,
    ).to_pylist()
    # The last digit of a published divergence is rounded, and nobody knows its interval.
    assert {row["kld_mean_low"] for row in rows} == {None, 0}
    study_rows = [row for row in rows if row["source"] == "published:m5max-part2"]
    picks = {row["workload"]: pair_of(row) for row in study_rows if row["verdict"] == "pick"}
    # Its own pick for the coding agent has no published KL divergence; for the other two no speeds were published.
    assert picks == {"coding-agent": "q8_0"}
    deepest = [row for row in study_rows if row["verdict"] == "not told from the best"]
    assert {pair_of(row) for row in deepest} == {"q8_0/turbo3", "q8_0/turbo4"}
    (own,) = [
        row for row in study_rows if row["workload"] == "coding-agent" and pair_of(row) == "q8_0/turbo4"
    ]
    assert (own["verdict"], own["missing"]) == ("no data", ["its KL divergence"])
    assert own["request_seconds"] == pytest.approx(41.7, abs=0.05)
    for workload in ("rag", "short-interactive"):
        assert {row["verdict"] for row in study_rows if row["workload"] == workload} <= {
            "no data",
            "not feasible",
        }


def test_a_whole_study_gets_an_answer_to_every_workload() -> None:
    tables = {name: table.to_pylist() for name, table in study().items()}
    rows = list(
        advice(
            over_rounds(tables["throughput"]),
            tables["quality"],
            tables["models"],
            parse_workloads(None).values(),
        )
    )
    answered = {row["workload"] for row in rows if row["verdict"] in ("pick", "not told from the best")}
    assert answered == set(parse_workloads(None))
    # The upgraded pair and the one whose work left the device are in none of the ranks.
    in_ranks = {pair_of(row) for row in rows if row.get("rank") and row["goal"] == "seconds"}
    assert in_ranks and not in_ranks & {"turbo3", "f16/turbo4"}


def test_what_decides_is_asked_as_strictly_as_it_will_be_judged() -> None:
    """The rounds that are named tell the pairs apart if they go on as before, whatever the number of other pairs."""

    def request(*seconds: float) -> Duration:
        value = of_rounds(dict(enumerate(seconds, start=1)))
        return Duration(value.value, ((1.0, value),))

    apart = (0.0, 0.12, 0.0)  # seconds by which the second one takes longer, round by round
    for others in (1, 3, 7, 11):
        pairs = [request(*(1.0 for _ in apart)), request(*(1.06 + one for one in apart))]
        said = what_decides(pairs, others, 60.0)
        more = int(said.split()[1])
        repeated = [[1.06 + apart[n % 3] for n in range(3 + k)] for k in range(more + 1)]
        half = [
            stats.t.ppf(1 - 0.05 / others, len(own) - 1) * np.std(apart, ddof=1) / np.sqrt(len(own))
            for own in repeated
        ]
        gap = pairs[1].seconds - 1.0
        assert half[more] < gap and all(one >= gap for one in half[1:more])
        assert not told_quicker(pairs[0], pairs[1], others) and "min" in said
