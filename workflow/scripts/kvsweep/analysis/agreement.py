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

from collections.abc import Iterable
from typing import Any

import numpy as np

from kvsweep.analysis.frames import frame_of, rows_of
from kvsweep.analysis.schemas import AGREEMENT
from kvsweep.tables.quality_schemas import QUALITY
from kvsweep.tables.row import SCORED, SET_UP, Row, problem_with

AGREES, DISAGREES, NOT_COMPARABLE = "agrees", "disagrees", "not comparable"

_HALF_PRINTED_DIGIT = 5e-7
_STEP = 16 / 65535
_LEFT_OUT = 0.003
_ELSE = "; left out below e^-16: 0.3 % of the divergence; half a printed digit"
_BY_CONTROL = "rounding: the divergence of f16 from its own file" + _ELSE
_INDEPENDENT = "rounding: three standard errors of so many independent ones" + _ELSE
_CONTEXT = [*SET_UP, *SCORED]
_CELL = [*_CONTEXT, "ctk", "ctv"]
_COMPARED = ("kld_mean", "chunks", "positions", "reference", "scored_tokens")


def agreement(quality: Iterable[Row]) -> list[dict[str, Any]]:
    """Rows of the table ``agreement``: ``quality`` has the rows of both methods."""
    sound = (row for row in quality if problem_with(row, fallback=True) is None)
    cells = frame_of(sound, QUALITY, *_CELL, "method", *_COMPARED).rename(columns={"kld_mean": "kld"})
    cells = cells.drop_duplicates([*_CELL, "method"], keep="last")
    printed, scored = (cells[cells.method == method] for method in ("perplexity", "scorer"))
    controls = printed[(printed.ctk == "f16") & (printed.ctv == "f16")].rename(columns={"kld": "control"})
    both = printed.merge(scored, on=_CELL, suffixes=("_perplexity", "_scorer"))
    both = both.merge(controls[[*_CONTEXT, "control"]], on=_CONTEXT, how="left")

    both["difference"] = both.kld_perplexity - both.kld_scorer
    both["relative"] = (both.difference / both.kld_scorer).where(both.kld_scorer != 0)
    rounding = both.control.abs() + _HALF_PRINTED_DIGIT
    independent = 3 * _STEP / (12 * both.scored_tokens_scorer.astype(float)) ** 0.5
    allowed = rounding.fillna(independent) + _LEFT_OUT * both.kld_scorer + _HALF_PRINTED_DIGIT
    both["expected_low"], both["expected_high"] = -allowed, allowed
    both["basis"] = np.where(rounding.notna(), _BY_CONTROL, _INDEPENDENT)
    both["verdict"] = np.where(both.difference.abs() <= allowed, AGREES, DISAGREES)
    both["why"] = [_not_comparable(row) for row in rows_of(both)]
    without = ["expected_low", "expected_high", "basis", "verdict"]
    both.loc[both.why.notna(), without] = [np.nan, np.nan, None, NOT_COMPARABLE]
    return rows_of(both.filter(AGREEMENT.names))


def _not_comparable(row: Row) -> str | None:
    reference = row["reference_perplexity"]
    if reference not in (None, row["engine"]):
        return f"llama-perplexity compared with the f16 of {reference}, the scorer with the engine's own"
    if row["chunks_perplexity"] != row["chunks_scorer"]:
        return f"{row['chunks_perplexity']} windows by llama-perplexity, {row['chunks_scorer']} by the scorer"
    if row["positions_scorer"] != "half":
        return f"the scorer scored {row['positions_scorer']}, llama-perplexity the second half"
    return None
