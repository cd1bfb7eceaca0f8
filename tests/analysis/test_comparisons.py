"""Our cells beside the published ones."""

from __future__ import annotations

import math
from typing import Any

import pytest
from kvsweep.analysis.comparisons import compare
from kvsweep.analysis.schemas import COMPARISONS
from kvsweep.analysis.speed import over_rounds
from kvsweep.tables.columns import as_table
from kvsweep.tables.published import QUALITIES, name_of, read_published
from support import ROOT, of_source
from synthetic_tables import quality_row, rounds_at, throughput_row, unmeasured

PUBLISHED = read_published(ROOT / "resources" / "published")
STUDY = of_source(PUBLISHED, "m5max-part2")
COMMIT = "11a241d0db78a68e0a5b99fe6f36de6683100f6a"


def cell(rows: tuple[dict[str, Any], ...], name: str) -> dict[str, Any]:
    (row,) = (row for row in rows if name_of(row) == name)
    return row


def compared(*rows: dict[str, Any]) -> list[dict[str, Any]]:
    """As they stand in the table."""
    cells = over_rounds(rows) if "phase" in rows[0] else rows
    found: list[dict[str, Any]] = as_table(compare(cells), COMPARISONS).to_pylist()
    return found


def test_our_cell_beside_the_published_one() -> None:
    ours = rounds_at("q8_0", "turbo4", [150.8 / 1.01, 150.8, 150.8 * 1.01], 8192)
    (found,) = compared(*ours, *STUDY.throughput)
    assert (found["ours"], found["theirs"]) == pytest.approx((150.8, 75.4))
    assert found["unit"] == "tokens/s"
    assert (found["depth"], found["phase"], found["ctk"], found["ctv"]) == (8192, "decode", "q8_0", "turbo4")
    assert (found["source"], found["published"]) == ("measured", "published:m5max-part2")
    assert found["ratio"] == pytest.approx(2)
    # t of 2 degrees of freedom x the logarithms' standard error, and half a printed digit
    in_log = 4.302653 * math.log(1.01) / 3**0.5 + 0.05 / 75.4
    assert found["ratio_low"] == pytest.approx(2 * math.exp(-in_log))
    assert found["ratio_high"] == pytest.approx(2 * math.exp(in_log))
    assert found["interval"] == "95 % interval over rounds and rounding of the published digits"
    assert (found["comparable"], found["prevents"]) == (None, [])  # the study says no model's hash
    assert found["unknown"] == [
        *("model", "effective pair", "engine commit", "rotation of K", "rotation of V"),
        *("work left the device", "batch and other options"),
    ]


@pytest.mark.parametrize(
    ("changed", "differs"),
    [
        ({"model": "another"}, "model: ours another, theirs Qwen3.6-35B-A3B-Q8_0"),
        ({"engine_commit": "69d8e4be4"}, f"engine commit: ours 69d8e4be4, theirs likely {COMMIT}"),
        ({"backend": "cuda"}, "back end: ours cuda, theirs metal"),
        ({"machine": "H200"}, "machine: ours H200, theirs Apple M5 Max 128GB"),
        ({"effective_ctk": "f16"}, "effective pair: ours f16/turbo4, theirs q8_0/turbo4"),
        ({"n_tokens": 64}, "tokens timed: ours 64, theirs 128"),
    ],
)
def test_what_sets_two_set_ups_apart(changed: dict[str, Any], differs: str) -> None:
    (found,) = compared(throughput_row("q8_0", "turbo4", 8192, "decode") | changed, *STUDY.throughput)
    assert found["differs"] == [differs]
    has_to_agree = differs.startswith(("model", "effective pair"))
    assert (found["comparable"], found["prevents"]) == ((False, [differs]) if has_to_agree else (None, []))


def test_the_likely_commit_proves_nothing() -> None:
    (found,) = compared(throughput_row("q8_0", "turbo4", 8192, engine_commit=COMMIT), *STUDY.throughput)
    assert "engine commit" in found["unknown"]


def test_another_file_of_the_same_name_is_another_model() -> None:
    theirs = cell(STUDY.throughput, "throughput q8_0/turbo4 d8192 decode") | {"model_sha256": "00" * 32}
    ours = throughput_row("q8_0", "turbo4", 8192)
    assert compared(ours, theirs)[0]["differs"] == [f"model: ours {'5b' * 32}, theirs {'00' * 32}"]
    renamed = ours | {"model": "another name", "model_sha256": "00" * 32}
    assert compared(renamed, theirs)[0]["differs"] == []


def test_quality_is_compared_by_each_published_quantity() -> None:
    ours = [quality_row("f16", "f16", 0.0), quality_row("q8_0", "q8_0", 0.0032)]
    found = compared(*ours, *STUDY.quality)
    assert [(row["ctk"], row["n_ctx"], row["quantity"]) for row in found] == [
        ("f16", 4096, "ppl"),
        *(("q8_0", 4096, quantity) for quantity in QUALITIES),
    ]
    kld = found[2]
    assert kld["ratio"] == pytest.approx(2)
    assert kld["ratio_low"] < 2 / (1 + 0.00005 / 0.0016) and kld["ratio_high"] > 2 * (1 + 0.00005 / 0.0016)
    assert kld["interval"].endswith("rounding of the published digits")
    assert kld["differs"] == ["text: ours wikitext-2-test, theirs wikitext-2-raw-test"]


def test_a_cell_that_failed_on_one_side_has_no_ratio() -> None:
    ours = [
        throughput_row("q8_0", "q8_0", 524_288, "decode"),
        unmeasured(throughput_row("q8_0", "q8_0", 262_144, "decode"), "oom", "no memory"),
    ]
    first, second = compared(*ours, *STUDY.throughput)
    assert (first["our_status"], first["their_status"], first["ratio"]) == ("measured", "oom", None)
    assert (second["our_status"], second["their_status"], second["ratio"]) == ("oom", "measured", None)


def test_cells_that_only_one_side_has_are_left_out() -> None:
    assert compared(throughput_row("q4_0", "q4_0", 8192), *STUDY.throughput) == []
    assert compared(quality_row("q8_0", "q8_0", n_ctx=8192), *STUDY.quality) == []
    assert compared(*STUDY.throughput) == []  # what was published is not compared with itself
    followup = of_source(PUBLISHED, "2x5060ti-followup").quality
    found = compared(quality_row("q8_0", "q8_0", n_ctx=8192), *followup)
    assert [text.partition(":")[0] for text in found[0]["differs"]] == ["model", "text", "machine"]
    assert "engine commit" in found[0]["unknown"]


def test_a_slice_is_compared_too() -> None:
    slice_row = throughput_row("q8_0", "turbo4", 8192) | {"source": "slice:attic", "samples": [75.4]}
    (found,) = compared(slice_row, *STUDY.throughput)
    assert (found["source"], found["ratio_low"]) == (
        "slice:attic",
        None,
    )  # one round says nothing of its error
