"""What the report says of answers."""

from __future__ import annotations

from typing import Any

from kvsweep.figures.draw import draw
from kvsweep.figures.layout import one_figure
from kvsweep.report.answers import task_sections
from synthetic_analysis import answer, answers, answers_of

ASKED: dict[str, Any] = {"task": "recall", "kind": "recall", "question": "one", "items": 100, "context": 4096}


def test_a_pair_that_is_not_told_from_f16_says_what_could_have_been_seen() -> None:
    beside = {"compared": 100, "difference": -0.02, "q_value": 0.6, "detectable": 0.08}
    rows = [
        answer("task_shares", **ASKED, right=90, share=0.9, share_low=0.83, share_high=0.94, ctk="f16", ctv="f16"),
        answer(
            "task_shares", **ASKED, **beside, right=88, share=0.88, share_low=0.80, share_high=0.93, ctk="q8_0",
            ctv="q4_0", difference_low=-0.07, difference_high=0.03, verdict="no difference shown",
        ),
    ]  # fmt: skip
    (section,) = task_sections(answers_of("task_shares", rows).to_pylist())
    f16, other = section.grids[0].rows
    assert [entry.text for entry in f16] == ["f16", "recall, one", "4K", "90", "83 to 94", "100", *"––––"]
    assert [entry.text for entry in other][6:] == ["−2", "−7 to 3", "0.6", "no difference shown"]
    assert other[-1].note == "one of 8 points would have shown in 4 of 5 runs"


def test_trajectories_have_a_table_of_their_own() -> None:
    asked = ASKED | {"kind": "trajectory", "task": "follow", "question": "trajectory"}
    row = answer(
        "task_shares", **asked, ctk="q4_0", ctv="q4_0", same_tokens=0.31, median_first_difference=17.0,
        never_left=2, compared=20,
    )  # fmt: skip
    (section,) = task_sections(answers_of("task_shares", [row]).to_pylist())
    (grid,) = section.grids
    assert [entry.text for entry in grid.rows[0]] == ["q4_0", "follow", "4K", "31", "17", "2", "20"]


def test_the_figure_has_a_line_a_pair_and_the_tables_numbers() -> None:
    rows = answers()["task_shares"].to_pylist()
    drawing = draw("right_by_context", rows)
    (panel,) = one_figure(drawing).axes
    assert {container.get_label() for container in panel.containers} == {"f16", "q8_0", "q4_0"}
    assert [point["right, %"] for point in drawing.points] == [100 * row["share"] for row in rows]
    assert draw("right_by_context", [row | {"share": None} for row in rows]).panels == ()


def test_of_a_single_context_each_pair_is_on_the_axis_beside_its_name() -> None:
    kept = [row for row in answers()["task_shares"].to_pylist() if row["share"] is not None]
    context = kept[0]["context"]
    (panel,) = one_figure(draw("right_by_context", [row for row in kept if row["context"] == context])).axes
    low, high = panel.get_xlim()
    places = [lines[0].get_xdata()[0] for lines in panel.containers]
    assert all(low < place < high for place in places) and len(set(places)) == len(places) == 3
    assert [note.xy[0] for note in panel.texts if hasattr(note, "xy")] == places


def test_too_few_answers_to_show_anything_are_called_so() -> None:
    row = answer(
        "task_shares", **ASKED, right=6, share=1.0, compared=6, difference=0.0, q_value=1.0, detectable=1.0,
        ctk="q8_0", ctv="q8_0", verdict="no difference shown",
    )  # fmt: skip
    (section,) = task_sections(answers_of("task_shares", [row]).to_pylist())
    assert section.grids[0].rows[0][-1].note == "too few answers to show any difference in 4 of 5 runs"
