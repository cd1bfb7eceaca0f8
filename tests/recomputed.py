"""What llama-perplexity printed in the recorded study, and intervals of it, with numpy and scipy alone."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import recorded_study
from scipy import optimize, stats

SUBJECT = Path("mainline", "kvsweep-demo")
ROUNDING = 1e-5 * np.sqrt(np.arange(200) + 1) / np.sqrt(18)  # of a mean over n windows, by n: five decimals
Tables = dict[str, list[dict[str, Any]]]


def printed(pair: str, n_ctx: int) -> tuple[np.ndarray, np.ndarray, float, float]:
    """Window values of the divergence and of the agreement, and the closing divergence with its standard error."""
    text, rows = _output(pair, n_ctx)
    number = np.arange(1, len(rows) + 1)
    kld = np.diff(number * np.array([float(row[7]) for row in rows]), prepend=0)
    share = np.array([float(row[14]) for row in rows]) / 100
    tokens = n_ctx - 1 - n_ctx // 2
    agreement = np.diff(np.round(share * number * tokens), prepend=0) / tokens
    closing = re.search(r"Mean\s+KLD:\s+(-?[\d.]+) ±\s+(-?[\d.]+)", text)
    assert closing
    return kld, agreement, float(closing[1]), float(closing[2])


def ln_ppl_ratios(pair: str, n_ctx: int) -> tuple[np.ndarray, float, float]:
    """Window values of ln PPL(pair)/PPL(f16), and the closing one with its standard error."""
    text, rows = _output(pair, n_ctx)
    ratio = np.diff(np.arange(1, len(rows) + 1) * np.array([float(row[4]) for row in rows]), prepend=0)
    closing = re.search(r"Mean\s+ln\(PPL\(Q\)/PPL\(base\)\)\s*:\s+(-?[\d.]+) ±\s+(-?[\d.]+)", text)
    assert closing
    return ratio, float(closing[1]), float(closing[2])


def _output(pair: str, n_ctx: int) -> tuple[str, list[list[str]]]:
    """What was printed, and the words of each window's line."""
    ctk, _, ctv = pair.partition("/")
    cell = Path("quality", SUBJECT, "demo-text", f"c{n_ctx}", f"k-{ctk}", f"v-{ctv or ctk}")
    text = (recorded_study.RESULTS / cell / "stdout.log").read_text()
    return text, [line.split() for line in text.splitlines() if re.match(r"\s+\d+\s+\d+\.\d{4} ±", line)]


def half_of_interval(windows: np.ndarray, rounding: float, half_digits: float) -> float:
    stderr, freedom = error_of_mean(windows, rounding)
    return float(stats.t.ppf(0.975, freedom) * stderr + half_digits)


def error_of_mean(windows: np.ndarray, rounding: float) -> tuple[float, float]:
    """Standard error and degrees of freedom, by as many of the first windows as rounding is at most half of the
    variance in, which it is taken out of; else by four with it. ``rounding`` is that of the mean over all."""
    n = len(windows)
    variance = {m: windows[:m].var(ddof=1) for m in range(2, n + 1)}
    added = {m: rounding**2 * m * (m + 1) / (n + 1) for m in variance}
    m = next((m for m in range(n, 1, -1) if added[m] <= variance[m] / 2), 0)
    freedom = (m - 1) * (1 - added[m] / variance[m]) ** 2 if m else 0.0
    left = variance[m] - added[m] if m else 0.0
    if freedom < 1:
        m = min(n, 4)
        freedom, left = m - 1, max(variance[m], added[m])
    return float(np.sqrt(left / n)), float(freedom)


def ends_of_part(means: np.ndarray) -> tuple[float, float]:
    """Of the mean of windows that are above 0: by its logarithm, by the mean that their logarithms have, and by Hall's
    transformation, whichever reaches farthest."""
    n, value, logs = len(means), means.mean(), np.log(means)
    t = float(stats.t.ppf(0.975, n - 1))
    factor = min(np.exp(t * stats.sem(means) / value), 100)
    middle = logs.mean() + logs.var(ddof=1) / 2
    half = t * np.sqrt(logs.var(ddof=1) / n + logs.var(ddof=1) ** 2 / (2 * (n - 1)))
    half = min(half, np.log(100))
    low, high = _of_hall(means, t, value / 100, value * 100)
    return min(value / factor, np.exp(middle - half), low), max(value * factor, np.exp(middle + half), high)


def _of_hall(values: np.ndarray, t: float, least: float, most: float) -> tuple[float, float]:
    """Ends by Hall's transformation, solved for the mean; nowhere where the values are not skewed upwards."""
    n, skewness = len(values), stats.skew(values)
    if n < 3 or skewness <= 0:
        return np.inf, -np.inf

    def beyond(mean: float, z: float) -> float:
        w = (values.mean() - mean) / values.std(ddof=1)
        return float(w + skewness * w**2 / 3 + skewness**2 * w**3 / 27 + skewness / (6 * n) - z / np.sqrt(n))

    far = 1e6 * values.mean()
    low, high = (optimize.brentq(beyond, -far, far, args=(z,)) for z in (t, -t))
    return max(low, least), min(high, most)
