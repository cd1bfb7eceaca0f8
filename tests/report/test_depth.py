"""What the report says of depth, and of the two methods."""

from __future__ import annotations

from kvsweep.report.depth import MOST_DEPTHS, agreement_sections, depth_sections
from synthetic_analysis import SCORED, SET_UP, answer, answers, answers_of


def test_a_row_for_each_pair_and_a_column_for_each_depth() -> None:
    rows = answers()["depth"].to_pylist()
    (section,) = depth_sections(rows)
    (grid,) = section.grids
    assert len(grid.columns) == 1 + len({row["depth_tokens"] for row in rows})
    assert {line[0].text for line in grid.rows} == {row["ctk"] for row in rows}
    first = min(rows, key=lambda row: float(row["depth_tokens"]))
    assert first["kld_mean"] in [line[1].value for line in grid.rows]


def test_f16_is_the_baseline_at_every_depth() -> None:
    part = {"ctk": "f16", "ctv": "f16", "kld_mean": 0.0, "kld_mean_low": 0.0, "kld_mean_high": 0.0}
    rows = answers_of("depth", [answer("depth", **SET_UP | SCORED | part, depth_tokens=1024.0)])
    (section,) = depth_sections(rows.to_pylist())
    assert [entry.text for entry in section.grids[0].rows[0]] == ["f16", "baseline"]


def test_an_interval_that_reaches_farther_up_has_both_its_ends() -> None:
    part = {
        "ctk": "q4_0",
        "ctv": "q4_0",
        "kld_mean": 0.016,
        "kld_mean_low": 0.01442,
        "kld_mean_high": 0.01773,
    }
    rows = answers_of("depth", [answer("depth", **SET_UP | SCORED | part, depth_tokens=1024.0)])
    (section,) = depth_sections(rows.to_pylist())
    assert section.grids[0].rows[0][1].text == "0.0160 [0.0144, 0.0177]"


def test_of_many_depths_a_few_are_shown_the_first_and_the_last_among_them() -> None:
    part = {"ctk": "q4_0", "ctv": "q4_0", "kld_mean": 0.02}
    rows = answers_of(
        "depth", [answer("depth", **SET_UP | SCORED | part, depth_tokens=1024.0 * n) for n in range(1, 17)]
    )
    (section,) = depth_sections(rows.to_pylist())
    assert section.grids[0].columns[1 :: MOST_DEPTHS - 1] == ("1K", "16K")
    assert [entry.text for entry in section.grids[0].rows[0][1:]] == ["0.02 ± –"] * MOST_DEPTHS


def test_both_methods_stand_side_by_side_with_the_verdict() -> None:
    rows = answers()["agreement"].to_pylist()
    (section,) = agreement_sections(rows)
    assert [line[-1].text for line in section.grids[0].rows] == [row["verdict"] for row in rows]
