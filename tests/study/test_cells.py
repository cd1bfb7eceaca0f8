"""The cells of a study, and where their files lie."""

import dataclasses

import pytest
from kvsweep.study import cells
from kvsweep.study.config import parse_study
from kvsweep.study.pairs import Pair
from kvsweep.tables.raw_cells import identity

STUDY = parse_study(
    {
        "engines": {
            "fork": {"source": {"path": "a"}},
            "mainline": {"source": {"path": "b"}, "pairs": ["q4_0"]},
        },
        "models": {"tiny": {"path": "t.gguf"}},
        "corpora": {"text": {"path": "t.txt"}},
        "pairs": ["f16", "q8_0/turbo4"],
        "quality": {"contexts": [512, "4K"], "chunks": 4},
        "throughput": {"depths": ["8K", 0]},
    }
)


def test_a_throughput_cell() -> None:
    cell = cells.ThroughputCell("fork", "tiny", 8192, Pair("q8_0", "turbo4"))
    assert str(cell.directory) == "throughput/fork/tiny/d8192/k-q8_0/v-turbo4"
    assert str(cell) == "throughput q8_0/turbo4 at depth 8K (fork, tiny)"


def test_a_later_round_of_it_lies_beside() -> None:
    cell = cells.ThroughputCell("fork", "tiny", 8192, Pair("q8_0", "turbo4"), 2)
    assert str(cell.directory) == "throughput/fork/tiny/round-2/d8192/k-q8_0/v-turbo4"
    assert str(cell) == "throughput q8_0/turbo4 at depth 8K, round 2 (fork, tiny)"


def in_rounds(pairs: list[str], skip: bool = True, **asked: int) -> list[cells.ThroughputCell]:
    study = parse_study(
        {
            "engines": {"e": {"source": {"path": "a"}}},
            "models": {"m": {"path": "m"}},
            "pairs": pairs,
            "throughput": {"depths": [0, "8K", "64K"], **asked},
            "limits": {"skip": skip},
        }
    )
    return cells.in_order(study)


PAIRS = ["f16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0"]


def test_whole_rounds_one_after_the_other_with_f16_in_each() -> None:
    order = in_rounds(PAIRS, rounds=3)
    assert [cell.round for cell in order] == [1] * 18 + [2] * 18 + [3] * 18
    baselines = {(cell.round, cell.depth) for cell in order if cell.pair == Pair("f16", "f16")}
    assert len(baselines) == 9


def test_shallow_before_deep_only_where_it_predicts() -> None:
    depths = [
        [cell.depth for cell in order] for order in (in_rounds(PAIRS, rounds=2), in_rounds(PAIRS, skip=False))
    ]
    assert depths[0][:18] == sorted(depths[0][:18])
    assert depths[0][18:] != sorted(depths[0][18:])
    assert depths[1] != sorted(depths[1])


def test_the_order_is_another_in_each_round_and_for_each_seed_and_else_the_same() -> None:
    def pairs_of(order: list[cells.ThroughputCell], round_: int) -> list[str]:
        return [str(cell.pair) for cell in order if (cell.round, cell.depth) == (round_, 0)]

    order = in_rounds(PAIRS, rounds=2)
    assert order == in_rounds(PAIRS, rounds=2)
    assert pairs_of(order, 1) != pairs_of(order, 2)
    assert pairs_of(order, 1) != pairs_of(in_rounds(PAIRS, seed=2), 1)
    # Rounds and pairs that are added leave the others where they were.
    assert [cell for cell in in_rounds([*PAIRS, "iq4_nl"], rounds=5) if cell in order] == order


def test_a_quality_cell_and_its_baseline() -> None:
    cell = cells.QualityCell("fork", "tiny", "text", 4096, Pair("f16", "f16"))
    assert str(cell.directory) == "quality/fork/tiny/text/c4096/k-f16/v-f16"
    assert str(cell) == "quality f16 at context 4K (fork, tiny, text)"
    assert str(cell.baseline.directory) == "baseline/fork/tiny/text/c4096"
    assert str(cell.baseline) == "baseline at context 4K (fork, tiny, text)"


def test_shallow_depths_come_first() -> None:
    assert [str(cell.directory) for cell in cells.throughput_cells(STUDY)] == [
        "throughput/fork/tiny/d0/k-f16/v-f16",
        "throughput/fork/tiny/d0/k-q8_0/v-turbo4",
        "throughput/fork/tiny/d8192/k-f16/v-f16",
        "throughput/fork/tiny/d8192/k-q8_0/v-turbo4",
        "throughput/mainline/tiny/d0/k-q4_0/v-q4_0",
        "throughput/mainline/tiny/d8192/k-q4_0/v-q4_0",
    ]


def test_the_control_is_always_among_the_quality_cells() -> None:
    assert [str(cell.directory) for cell in cells.quality_cells(STUDY) if cell.n_ctx == 512] == [
        "quality/fork/tiny/text/c512/k-f16/v-f16",
        "quality/fork/tiny/text/c512/k-q8_0/v-turbo4",
        "quality/mainline/tiny/text/c512/k-f16/v-f16",
        "quality/mainline/tiny/text/c512/k-q4_0/v-q4_0",
    ]


def test_one_baseline_for_each_engine_and_context() -> None:
    assert [str(run.directory) for run in cells.baseline_runs(STUDY)] == [
        "baseline/fork/tiny/text/c512",
        "baseline/fork/tiny/text/c4096",
        "baseline/mainline/tiny/text/c512",
        "baseline/mainline/tiny/text/c4096",
    ]


def test_one_f16_for_several_engines() -> None:
    assert STUDY.quality is not None
    study = dataclasses.replace(STUDY, quality=dataclasses.replace(STUDY.quality, reference="mainline"))
    found = [cell for cell in cells.quality_cells(study) if cell.n_ctx == 512]
    assert [str(cell.directory) for cell in found] == [
        "quality/fork/tiny/text/c512/against-mainline/k-f16/v-f16",
        "quality/fork/tiny/text/c512/against-mainline/k-q8_0/v-turbo4",
        # What was measured against its own f16 lies where it lay.
        "quality/mainline/tiny/text/c512/k-f16/v-f16",
        "quality/mainline/tiny/text/c512/k-q4_0/v-q4_0",
    ]
    assert str(found[1]) == "quality q8_0/turbo4 at context 512 against mainline's f16 (fork, tiny, text)"
    assert [identity(str(cell.directory)) for cell in found] == found
    assert {run.engine for run in cells.baseline_runs(study)} == {"mainline"}


@pytest.mark.parametrize("section", ["quality", "throughput"])
def test_no_section_no_cells(section: str) -> None:
    study = parse_study(
        {"engines": {"e": {"source": {"path": "a"}}}, "models": {"m": {"path": "m"}}, "pairs": ["f16"]}
    )
    assert getattr(cells, f"{section}_cells")(study) == []
