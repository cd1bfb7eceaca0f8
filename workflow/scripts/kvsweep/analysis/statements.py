"""The study's statements, each as the numbers that it consists of.

Statement 8 is about a fallback and takes a row whose work left the device.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from kvsweep.analysis.claim_cells import TOKENS, Cells, combined, difference_of, ratio_of, worse_ppl
from kvsweep.analysis.claim_parts import (
    AGREES,
    HOLDS,
    NO_DATA,
    Estimate,
    Part,
    about,
    about_printed,
    above,
    below,
    close,
    is_so,
    not_below,
)
from kvsweep.analysis.estimates import BY_TOKEN, Value
from kvsweep.analysis.row_values import quality_of
from kvsweep.tables.published import rounding_of
from kvsweep.units import format_count

K = 1024
_Parts = Callable[[Cells], list[Part]]
_AS_IN_9 = "the study's 'nearly' of statement 9, here for"


@dataclass(frozen=True)
class Statement:
    """One of the numbered statements, and the function that finds its parts in the cells."""

    number: int
    text: str
    parts: _Parts
    unit: str  # of the numbers of its parts
    of_quality: bool = False
    counted: bool = False  # the value is the number of parts that are as stated
    note: str = ""


STATEMENTS: dict[int, Statement] = {}


def statement(number: int, text: str, unit: str = "", **more: Any) -> Callable[[_Parts], _Parts]:
    """A decorator that enters the function below it into ``STATEMENTS`` under ``number``."""

    def register(parts: _Parts) -> _Parts:
        STATEMENTS[number] = Statement(number, text, parts, unit, **more)
        return parts

    return register


@statement(
    1, "q8_0 is free at 4K: its PPL differs from f16's by less than the standard error", of_quality=True
)
def _q8_0_is_free(cells: Cells) -> list[Part]:
    q8_0, f16 = cells.quality("q8_0"), cells.quality("f16")
    difference, remark = difference_of(q8_0, f16, "ppl"), ""
    if q8_0 is not None and q8_0.get("ppl_difference") is not None:
        paired, stderr = q8_0["ppl_difference"], q8_0.get("ppl_difference_stderr")
        # What both runs share is in either PPL's standard error, but not in that of their difference.
        difference = combined((1, Value(paired, stderr, kind=BY_TOKEN)))
        if abs(paired) > difference.error:
            remark = "yet not 0 by its own, paired error"
    if f16 is None or f16["ppl_stderr"] is None:
        return [Part("PPL", NO_DATA)]
    margin = f16["ppl_stderr"] + (rounding_of(f16, "ppl_stderr") or 0.0)
    return [about("PPL", difference, 0.0, margin, "standard error of f16's PPL, as stated", remark)]


@statement(2, "turbo3 costs about 1 % of PPL, and about 5 percentage points of top-1 agreement against q8_0",
           "fraction", of_quality=True)  # fmt: skip
def _cost_of_turbo3(cells: Cells) -> list[Part]:
    turbo3, q8_0 = cells.quality("turbo3"), cells.quality("q8_0")
    ln_ratio = None if turbo3 is None else quality_of(turbo3, "ln_ppl_ratio")
    if ln_ratio is not None:
        own = combined((1, ln_ratio))
        ppl: Estimate | None = Estimate(math.expm1(own.value), math.exp(own.value) * own.error, own.kind)
    else:
        ratio = ratio_of(turbo3, cells.quality("f16"), "ppl")
        ppl = ratio and ratio._replace(value=ratio.value - 1)
    return [
        about_printed("PPL against f16", ppl, "0.01"),
        about_printed("top-1 agreement", difference_of(q8_0, turbo3, "top1_agreement"), "0.05"),
    ]


@statement(3, "turbo3's KL divergence is about 12 times q8_0's", "times", of_quality=True)
def _kl_of_turbo3(cells: Cells) -> list[Part]:
    return [about_printed("KL", ratio_of(cells.quality("turbo3"), cells.quality("q8_0"), "kld_mean"), "12")]


@statement(4, "turbo4 lies between q8_0 and turbo3 in PPL, KL divergence and top-1 agreement",
           of_quality=True, counted=True)  # fmt: skip
def _turbo4_lies_between(cells: Cells) -> list[Part]:
    by_cost = [(pair, cells.quality(pair)) for pair in ("q8_0", "turbo4", "turbo3")]
    parts = []
    for (better, good), (worse, bad) in pairwise(by_cost):
        parts += [
            above(f"PPL {worse} - {better}", worse_ppl(bad, good)),
            above(f"KL {worse} - {better}", difference_of(bad, good, "kld_mean")),
            above(f"top-1 {better} - {worse}", difference_of(good, bad, "top1_agreement")),
        ]
    return parts


@statement(5, "at 256K q8_0/turbo4 matches q8_0 in prefill and decode", "fraction")
def _matches_q8_0(cells: Cells) -> list[Part]:
    return [
        close(phase, cells.relative_speed("q8_0/turbo4", "q8_0", 256 * K, phase), f"{_AS_IN_9} 'matches'")
        for phase in TOKENS
    ]


@statement(6, "q8_0/turbo4 fits 512K, q8_0 does not", counted=True)
def _fits_512k(cells: Cells) -> list[Part]:
    return [_fitting(cells, "q8_0/turbo4", 512 * K, True), _fitting(cells, "q8_0", 512 * K, False)]


def _fitting(cells: Cells, pair: str, depth: int, expected: bool) -> Part:
    found = cells.fits(pair, depth)
    remark = "not known" if found is None else "fits" if found else "out of memory"
    return is_so(f"{pair} at {format_count(depth)}", found, expected, remark)


@statement(7, "q8_0/turbo3 decodes slower than q8_0/turbo4 at every depth but 8K", "fraction", counted=True,
           note="at 8K the statement says that it is not slower")  # fmt: skip
def _tighter_v_is_slower(cells: Cells) -> list[Part]:
    parts = []
    for depth in (0, 8 * K, 32 * K, 64 * K, 128 * K, 256 * K, 512 * K):
        difference = cells.relative_speed("q8_0/turbo3", "q8_0/turbo4", depth, "decode")
        parts.append((not_below if depth == 8 * K else below)(format_count(depth), difference))
    return parts


@statement(8, "f16/turbo4 is a fallback: in prefill 34 times slower than f16 at 8K, 78 times at 128K", "times",
           note="64K decides only if its slowdown does not lie between the two that are stated")  # fmt: skip
def _is_a_fallback(cells: Cells) -> list[Part]:
    def slowdown(depth: int) -> Estimate | None:
        ratio = cells.relative_speed("f16", "f16/turbo4", depth, "prefill", fallback=True)
        return ratio and ratio._replace(value=ratio.value + 1)

    stated = [about_printed(f"{at}K", slowdown(at * K), times) for at, times in ((8, "34"), (128, "78"))]
    low, high = 34, 78  # a slowdown that grows with depth, as these two do, lies between them at 64K
    middle, half = (low + high) / 2, (high - low) / 2
    between = about("64K", slowdown(64 * K), middle, half, "between the slowdowns stated at 8K and 128K")
    if between.estimate is not None:
        # Where a stated figure is not known, that another depth agrees decides nothing; that it does not decides all.
        agrees = between.verdict == HOLDS and not all(part.estimate for part in stated)
        verdict, remark = (NO_DATA, AGREES) if agrees else (between.verdict, "")
        stated.insert(0, replace(between, verdict=verdict, remark=remark))
    # Slow for another reason is no fallback. Null, as in what was published, says nothing.
    return stated + [
        is_so(f"fallback at {at}K", False, True, "no work left the device")
        for at in (8, 64, 128)
        if cells.stayed_on_device("f16/turbo4", at * K, "prefill")
    ]


@statement(9, "at 64K prefill has nearly converged: turbo3 is within 2 % of q8_0", "fraction")
def _prefill_converges(cells: Cells) -> list[Part]:
    return [close("64K", cells.relative_speed("turbo3", "q8_0", 64 * K, "prefill"), "the stated 2 %")]


@statement(
    10, "turbo3's prefill crosses q8_0's between 64K and 128K: behind at 64K, ahead at 128K", "fraction"
)
def _prefill_crosses(cells: Cells) -> list[Part]:
    return [
        above("128K", cells.relative_speed("turbo3", "q8_0", 128 * K, "prefill")),
        below("64K", cells.relative_speed("turbo3", "q8_0", 64 * K, "prefill")),
    ]


@statement(11, "at 64K q8_0/turbo4 and q8_0/turbo3 track q8_0's prefill closely", "fraction")
def _pairs_track_q8_0(cells: Cells) -> list[Part]:
    return [
        close(pair, cells.relative_speed(pair, "q8_0", 64 * K, "prefill"), f"{_AS_IN_9} 'closely'")
        for pair in ("q8_0/turbo4", "q8_0/turbo3")
    ]


@statement(12, "at 256K turbo3 is about 27 % faster than turbo4 in prefill, turbo4 about 11 % faster in decode",
           "fraction")  # fmt: skip
def _each_has_its_phase(cells: Cells) -> list[Part]:
    return [
        about_printed("prefill", cells.relative_speed("turbo3", "turbo4", 256 * K, "prefill"), "0.27"),
        about_printed("decode", cells.relative_speed("turbo4", "turbo3", 256 * K, "decode"), "0.11"),
    ]


@statement(13, "of the study's pairs only turbo3 fits 1M", counted=True,
           note="f16/turbo4 is left out: the study did not run it beyond 128K")  # fmt: skip
def _only_turbo3_fits(cells: Cells) -> list[Part]:
    others = ("f16", "q8_0", "turbo4", "q8_0/turbo4", "q8_0/turbo3")
    return [
        _fitting(cells, "turbo3", 1024 * K, True),
        *(_fitting(cells, pair, 1024 * K, False) for pair in others),
    ]
