"""What needs the tokens of a part of the positions, recomputed with numpy and scipy: quantiles with their intervals,
and the error of a single window by blocks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from kvsweep.analysis.depth import by_depth
from kvsweep.analysis.schemas import DEPTH
from kvsweep.engine.scorer_file import Window
from kvsweep.tables.columns import as_table
from kvsweep.tables.scored import columns, sums
from scipy import stats
from synthetic_tables import quality_row

Row = dict[str, Any]
TOKENS = 256  # of each of 16 parts
SCORE_TYPE = [("position", int), ("nll", float), ("nll_base", float), ("kld", float), ("delta_p", float),
              ("same_top", int)]  # fmt: skip


def scored(windows: int, alike: int = 8, spread: float = 0.2) -> np.ndarray:
    """Made-up tokens, a row a window, of which so many neighbours are ``alike``."""
    chance = np.random.default_rng(windows)
    own = chance.standard_normal(windows * 16 * TOKENS + alike - 1)
    noise = np.convolve(own, np.full(alike, alike**-0.5), "valid")
    by_window = chance.normal(0, spread, (windows, 1))
    scores = np.zeros((windows, 16 * TOKENS), SCORE_TYPE)
    scores["position"] = np.arange(4096, 4096 + 16 * TOKENS)
    scores["kld"] = 0.02 * np.exp(noise.reshape(windows, -1) + by_window)
    scores["nll"] = 3 + scores["kld"] + 0.1 * chance.standard_normal(scores.shape)
    scores["nll_base"] = 3
    scores["same_top"] = scores["kld"] < 0.1
    return scores


def parts_of(scores: np.ndarray) -> list[Row]:
    found = columns(sums(Window(at, own) for at, own in enumerate(scores)))
    cell = quality_row("q4_0", "q4_0", n_ctx=8192, method="scorer", positions="half", chunks=len(scores),
                       by_position=found["by_position"])  # fmt: skip
    rows: list[Row] = as_table(by_depth([cell]), DEPTH).to_pylist()
    assert len(rows) == 16
    return rows


def quantile(tokens: np.ndarray, share: float) -> float:
    """Between the two tokens that are next to it, in proportion."""
    ordered = np.sort(tokens, axis=None)
    return float(np.interp(share * (ordered.size - 1), np.arange(ordered.size), ordered))


@pytest.mark.parametrize(
    ("windows", "alike", "spread"),
    [(1, 8, 0.2), (3, 8, 0.2), (4, 8, 0.2), (16, 8, 0.2), (48, 8, 0.2), (12, 1, 0.0)],
)
def test_quantiles_by_the_share_of_tokens_beyond_them(windows: int, alike: int, spread: float) -> None:
    scores, some = scored(windows, alike, spread), 0
    for number, row in enumerate(parts_of(scores)):
        tokens = scores["kld"][:, TOKENS * number : TOKENS * (number + 1)]
        for name, share in (("kld_median", 0.5), ("kld_p90", 0.9), ("kld_p99", 0.99), ("kld_p999", 0.999)):
            value, low, high = (row[f"{name}{end}"] for end in ("", "_low", "_high"))
            if tokens.size * (1 - share) < 10:
                assert value is low is high is None
                continue
            middle = quantile(tokens, share)
            assert value == pytest.approx(middle)
            if windows < 4:
                assert low is high is None
                continue
            beyond = (tokens > middle).sum(axis=1) / TOKENS
            over_windows = stats.t.ppf(0.975, windows - 1) * stats.sem(beyond)
            of_tokens = stats.norm.ppf(0.975) * np.sqrt(share * (1 - share) / tokens.size)
            half = max(over_windows, of_tokens)
            if share < half or share + half > 1 - 1 / tokens.size:
                assert low is high is None  # an end is beyond all tokens
                continue
            assert (low, high) == pytest.approx(
                (quantile(tokens, share - half), quantile(tokens, share + half))
            )
            some += 1
    assert (some > 0) == (windows >= 4)


def test_the_error_of_a_single_window_by_all_blocks_of_neighbours() -> None:
    scores = scored(1)
    for number, row in enumerate(parts_of(scores)):
        own = scores[0, TOKENS * number : TOKENS * (number + 1)]
        for name, tokens in (
            ("kld_mean", own["kld"]),
            ("top1_agreement", own["same_top"]),
            ("ln_ppl_ratio", own["nll"] - own["nll_base"]),
        ):
            # 64 neighbours from every token on; after the last comes the first.
            blocks = [np.take(tokens, range(at, at + 64), mode="wrap").mean() for at in range(TOKENS)]
            assert row[name] == pytest.approx(tokens.mean())
            assert row[f"{name}_stderr"] == pytest.approx(np.std(blocks) / np.sqrt(TOKENS / 64 - 1))
            assert row[f"{name}_low"] is row[f"{name}_high"] is None
        assert row["error_by"] == "blocks"


def test_a_part_in_which_nothing_diverges_or_all_windows_are_alike() -> None:
    scores, chance = scored(8), np.random.default_rng(8)
    scores["kld"][:, :TOKENS] = 0.0
    for own in scores["kld"]:  # the same tokens in another order: their sums differ by what arithmetic leaves
        own[TOKENS : 2 * TOKENS] = chance.permutation(scores["kld"][0, TOKENS : 2 * TOKENS])
    nothing, alike, *_ = parts_of(scores)
    assert (nothing["kld_mean"], nothing["kld_mean_low"], nothing["kld_mean_high"]) == (0, 0, 0)
    assert alike["kld_mean"] == pytest.approx(scores["kld"][0, TOKENS : 2 * TOKENS].mean())
    assert alike["kld_mean_low"] is alike["kld_mean_high"] is None
