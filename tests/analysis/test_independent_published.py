"""Every claim once more on what was published, from the printed digits of its files, and on the recorded study."""

from __future__ import annotations

import csv
import math
from itertools import pairwise
from typing import NamedTuple

import pytest
import recorded_study
from claims_again import FAILS, HOLDS, NO_DATA, about, decided, order
from recomputed import Tables
from support import ROOT

STUDY = "m5max-part2"
K = 1024
PHASES = {"prefill": "512", "decode": "128"}  # tokens that were timed
# Of a sum: its value and by how much it may be off; None where a number is missing.
Found = tuple[float, float] | None


class Printed(NamedTuple):
    """A number, and half a unit of its last digit."""

    value: float
    half: float


def printed(text: str) -> Printed | None:
    return Printed(float(text), 0.5 / 10 ** len(text.partition(".")[2])) if text else None


def rows_of(file: str) -> list[dict[str, str]]:
    with (ROOT / "resources" / "published" / file).open(encoding="utf-8", newline="") as lines:
        return [row for row in csv.DictReader(lines) if row["source"] == STUDY]


def pair_of(row: dict[str, str]) -> str:
    return row["ctk"] if row["ctk"] == row["ctv"] else f"{row['ctk']}/{row['ctv']}"


QUALITY = {pair_of(row): row for row in rows_of("quality.csv") if row["n_ctx"] == "4096"}
SPEED = {
    (pair_of(row), int(row["depth"]), row["phase"]): row
    for row in rows_of("throughput.csv")
    if row["n_tokens"] == PHASES[row["phase"]]
}


def apart(a: str, b: str, column: str) -> Found:
    ours, theirs = (printed(QUALITY[pair][column]) if pair in QUALITY else None for pair in (a, b))
    return None if ours is None or theirs is None else (ours.value - theirs.value, ours.half + theirs.half)


def ratio(ours: Printed | None, theirs: Printed | None, less: float = 0.0) -> Found:
    """Relative errors add up."""
    if ours is None or theirs is None:
        return None
    found = ours.value / theirs.value
    return found - less, found * (ours.half / ours.value + theirs.half / theirs.value)


def faster(a: str, b: str, depth: int, phase: str, less: float = 1.0) -> Found:
    ours, theirs = (SPEED.get((pair, depth, phase), {}).get("tokens_per_second", "") for pair in (a, b))
    return ratio(printed(ours), printed(theirs), less)


def near(found: Found, expected: float, margin: float) -> str:
    return NO_DATA if found is None else about(*found, expected, margin)


def ordered(found: Found, sign: int) -> str:
    return NO_DATA if found is None else order(*found, sign)


def not_below(found: Found) -> str:
    return NO_DATA if found is None else FAILS if found[0] < -found[1] else HOLDS


def fits(pair: str, depth: int, expected: bool) -> str:
    ended = {SPEED[key]["status"] for phase in PHASES if (key := (pair, depth, phase)) in SPEED}
    if not ended & {"measured", "oom"}:
        return NO_DATA
    return HOLDS if ("oom" not in ended) is expected else FAILS


def fallback() -> str:
    stated = [near(faster("f16", "f16/turbo4", at * K, "prefill", 0.0), times, 0.5)
              for at, times in ((8, 34), (128, 78))]  # fmt: skip
    between = near(faster("f16", "f16/turbo4", 64 * K, "prefill", 0.0), 56, 22)
    # That a depth lies between two that are not known decides nothing.
    return decided(*stated, between if between == FAILS or NO_DATA not in stated else NO_DATA)


def verdicts() -> dict[int, str]:
    ppl, kld, top1 = "ppl", "kld_mean", "top1_agreement"
    f16 = printed(QUALITY["f16"]["ppl_stderr"])
    assert f16 is not None
    worse, base = (printed(QUALITY[pair][ppl]) for pair in ("turbo3", "f16"))
    dear, cheap = (printed(QUALITY[pair][kld]) for pair in ("turbo3", "q8_0"))
    mixed = ("q8_0/turbo4", "q8_0/turbo3")
    depths = (0, 8, 32, 64, 128, 256, 512)
    decodes = {at: faster("q8_0/turbo3", "q8_0/turbo4", at * K, "decode") for at in depths}
    others = ("f16", "q8_0", "turbo4", *mixed)
    return {
        1: near(apart("q8_0", "f16", ppl), 0.0, f16.value + f16.half),
        2: decided(near(ratio(worse, base, less=1.0), 0.01, 0.005), near(apart("q8_0", "turbo3", top1), 0.05, 0.005)),
        3: near(ratio(dear, cheap), 12, 0.5),
        4: decided(*(
            ordered(apart(*pairs, column), 1)
            for good, bad in pairwise(("q8_0", "turbo4", "turbo3"))
            for pairs, column in (((bad, good), ppl), ((bad, good), kld), ((good, bad), top1))
        )),
        5: decided(*(near(faster("q8_0/turbo4", "q8_0", 256 * K, phase), 0.0, 0.02) for phase in PHASES)),
        6: decided(fits("q8_0/turbo4", 512 * K, True), fits("q8_0", 512 * K, False)),
        7: decided(*(not_below(one) if at == 8 else ordered(one, -1) for at, one in decodes.items())),
        8: fallback(),
        9: near(faster("turbo3", "q8_0", 64 * K, "prefill"), 0.0, 0.02),
        10: decided(*(
            ordered(faster("turbo3", "q8_0", at * K, "prefill"), sign) for at, sign in ((128, 1), (64, -1))
        )),
        11: decided(*(near(faster(pair, "q8_0", 64 * K, "prefill"), 0.0, 0.02) for pair in mixed)),
        12: decided(
            near(faster("turbo3", "turbo4", 256 * K, "prefill"), 0.27, 0.005),
            near(faster("turbo4", "turbo3", 256 * K, "decode"), 0.11, 0.005),
        ),
        13: decided(fits("turbo3", 1024 * K, True), *(fits(pair, 1024 * K, False) for pair in others)),
    }  # fmt: skip


def test_every_claim_on_the_published_numbers() -> None:
    rows = recorded_study.read(recorded_study.PUBLISHED)["claims"]
    found = {row["claim"]: row for row in rows if row["subject"] == f"published:{STUDY}"}
    assert {number: row["verdict"] for number, row in found.items()} == verdicts()
    dear, cheap = (printed(QUALITY[pair]["kld_mean"]) for pair in ("turbo3", "q8_0"))
    times = ratio(dear, cheap)
    assert times is not None and math.isclose(found[3]["value"], times[0])
    assert found[3]["tolerance"] == pytest.approx(0.5 + times[1])
    behind = faster("turbo3", "q8_0", 64 * K, "prefill")
    assert behind is not None and found[9]["value"] == pytest.approx(behind[0])
    assert found[9]["tolerance"] == pytest.approx(0.02 + behind[1])


def test_no_claim_is_decided_by_cells_that_it_is_not_about(tables: Tables) -> None:
    """The recorded study has none of the turbo types, and no cell at 4K."""
    assert (
        not [pair for pair in recorded_study.PAIRS if "turbo" in pair] and 4096 not in recorded_study.CONTEXTS
    )
    assert [row["claim"] for row in tables["claims"]] == list(range(1, 14))
    for row in tables["claims"]:
        assert row["verdict"] == NO_DATA and "value" not in row and not row["cells"]
