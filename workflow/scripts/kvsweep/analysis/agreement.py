"""Whether llama-perplexity and the scorer agree, where both measured the same cell.

llama-perplexity compares with a file of f16's log-probabilities (tools/perplexity/perplexity.cpp, ``log_softmax``).
They are kept as 16-bit steps of a 65,535th of the distance to a token's largest, at most 16; those below e^-16 are left
out of the sum. So two errors are its own:

- rounding: each log-probability is off by up to half a step, 0.00012. Over many tokens that averages out. f16 against
  its own file shows what is left of it; without that control it is taken as three standard errors of a mean of
  independent roundings.
- what is left out below e^-16: it has no size that is known in advance. Seen were 0.05 to 0.17 % of the divergence;
  allowed are 0.3 %.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

from kvsweep.analysis.reference import reference_engine
from kvsweep.tables.row import SCORED, SET_UP, Row, problem_with

AGREES, DISAGREES, NOT_COMPARABLE = "agrees", "disagrees", "not comparable"

_HALF_PRINTED_DIGIT = 5e-7
_STEP = 16 / 65535
_LEFT_OUT = 0.003
_CONTEXT = (*SET_UP, *SCORED)
_CELL = (*_CONTEXT, "ctk", "ctv")


def agreement(quality: Iterable[Row]) -> Iterator[dict[str, Any]]:
    """Rows of the table ``agreement``: ``quality`` has the rows of both methods."""
    by_method: dict[str, dict[tuple[Any, ...], Row]] = {"perplexity": {}, "scorer": {}}
    for row in quality:
        if row.get("method") in by_method and problem_with(row, fallback=True) is None:
            by_method[row["method"]][tuple(row[name] for name in _CELL)] = row
    printed, scored = by_method["perplexity"], by_method["scorer"]
    for cell, row in printed.items():
        if cell in scored:
            yield _compared(row, scored[cell], printed.get((*cell[:-2], "f16", "f16")))


def _compared(printed: Row, scored: Row, control: Row | None) -> dict[str, Any]:
    difference = printed["kld_mean"] - scored["kld_mean"]
    row = {name: scored[name] for name in _CELL} | {
        "kld_perplexity": printed["kld_mean"],
        "kld_scorer": scored["kld_mean"],
        "difference": difference,
        "relative": difference / scored["kld_mean"] if scored["kld_mean"] else None,
    }
    why = _not_comparable(printed, scored)
    if why is not None:
        return row | {"verdict": NOT_COMPARABLE, "why": why}
    if control is None:
        rounding = 3 * _STEP / math.sqrt(12 * scored["scored_tokens"])
        basis = "rounding: three standard errors of so many independent ones"
    else:
        rounding = abs(control["kld_mean"]) + _HALF_PRINTED_DIGIT
        basis = "rounding: the divergence of f16 from its own file"
    allowed = rounding + _LEFT_OUT * scored["kld_mean"] + _HALF_PRINTED_DIGIT
    return row | {
        "expected_low": -allowed,
        "expected_high": allowed,
        "basis": f"{basis}; left out below e^-16: 0.3 % of the divergence; half a printed digit",
        "verdict": AGREES if abs(difference) <= allowed else DISAGREES,
    }


def _not_comparable(printed: Row, scored: Row) -> str | None:
    if (other := reference_engine(printed)) is not None:
        return f"llama-perplexity compared with the f16 of {other}, the scorer with the engine's own"
    if printed["chunks"] != scored["chunks"]:
        return f"{printed['chunks']} windows by llama-perplexity, {scored['chunks']} by the scorer"
    if scored["positions"] != "half":
        return f"the scorer scored {scored['positions']}, llama-perplexity the second half"
    return None
