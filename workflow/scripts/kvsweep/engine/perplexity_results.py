"""What llama-perplexity measures, and that it agrees with itself: a baseline's estimate, a KL run's statistics.

A result is what these classes accept: a number that was damaged on its way contradicts others.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from kvsweep.engine.baseline_file import scored_tokens
from kvsweep.errors import UnparsableOutput

# How far below zero a KLD may lie: base log-probabilities have 16 bits and end 16 below the largest.
_LOWEST_KLD = -0.05


class ClosingStatisticsMissing(UnparsableOutput):
    """The run ended without its closing statistics, or with a part of them, and without saying why.

    Newer builds log from another thread, which can lose the last lines at exit, or print one twice and lose the rest:
    run such a cell again.
    """


@dataclass(frozen=True)
class KlWindow:
    """One row of the running table: means over the windows 1 to ``chunk`` with their standard errors.

    Shares are fractions 0 to 1. A standard error is None where the engine prints nan: the variances of almost
    equal runs cancel to a negative number.
    """

    chunk: int
    ppl: float
    ppl_stderr: float | None
    ln_ppl_ratio: float
    ln_ppl_ratio_stderr: float | None
    kld_mean: float
    kld_mean_stderr: float | None
    delta_p_rms: float
    delta_p_rms_stderr: float | None
    top1_agreement: float
    top1_agreement_stderr: float | None

    def __post_init__(self) -> None:
        _check_positive(f"the PPL of window {self.chunk}", self.ppl)


@dataclass(frozen=True)
class KlStatistics:
    """The closing statistics of a KL run, and the running table above them.

    ``ppl`` is the cell's, ``ppl_base`` the baseline's; KLD in nats; correlation, agreement and differences of
    token probabilities (``delta_p``, cell minus base) as fractions. A standard error is None where the engine
    prints nan, and so are percentiles that older builds do not print. Percentiles of the KLD can lie just below zero,
    because the baseline is rounded to 16 bits. ``n_ctx`` is None if the log does not tell it consistently. Raises
    UnparsableOutput where the values contradict each other.
    """

    n_chunks: int
    n_ctx: int | None
    ppl: float
    ppl_stderr: float | None
    ppl_base: float
    ppl_base_stderr: float | None
    ppl_correlation: float | None
    ln_ppl_ratio: float
    ln_ppl_ratio_stderr: float | None
    ppl_ratio: float
    ppl_ratio_stderr: float | None
    ppl_difference: float
    ppl_difference_stderr: float | None
    kld_mean: float
    kld_mean_stderr: float | None
    kld_max: float
    kld_p999: float
    kld_p99: float
    kld_p95: float | None
    kld_p90: float | None
    kld_median: float
    kld_p10: float
    kld_p5: float
    kld_p1: float
    kld_p01: float | None
    kld_min: float
    delta_p_mean: float
    delta_p_mean_stderr: float | None
    delta_p_rms: float
    delta_p_rms_stderr: float | None
    top1_agreement: float
    top1_agreement_stderr: float | None
    windows: tuple[KlWindow, ...]

    def __post_init__(self) -> None:
        if not self.windows or [w.chunk for w in self.windows] != list(range(1, self.n_chunks + 1)):
            raise ClosingStatisticsMissing(
                f"the running table must have the windows 1 to {self.n_chunks}, but has"
                f" {_shortened([window.chunk for window in self.windows])}"
            )
        _check_positive("PPL(Q)", self.ppl)
        _check_positive("PPL(base)", self.ppl_base)
        self._check_running_table()
        self._check_ratios()
        self._check_error_propagation()
        self._check_kld()
        self._check_shares()

    def _check_running_table(self) -> None:
        last = self.windows[-1]
        for names, decimals, row_decimals in (
            (("ppl",), 6, 4),
            (("ln_ppl_ratio", "kld_mean"), 6, 5),
            (("delta_p_rms", "top1_agreement"), 5, 5),  # percent with three decimals
        ):
            for name in (*names, *(f"{name}_stderr" for name in names)):
                closing, row = getattr(self, name), getattr(last, name)
                _check_agrees(name, closing, decimals, row, row_decimals)

        for before, after in itertools.pairwise(self.windows):
            # What a window must have had for the means to move so: a share, and a likelihood of at most one.
            chunks = before.chunk + after.chunk
            share = after.chunk * after.top1_agreement - before.chunk * before.top1_agreement
            nll = after.chunk * math.log(after.ppl) - before.chunk * math.log(before.ppl)
            if not -1e-5 * chunks <= share <= 1 + 1e-5 * chunks or nll < -1e-4 * chunks:
                raise UnparsableOutput(f"no window leads from the running means {before} to {after}")

    def _check_ratios(self) -> None:
        ratio = self.ppl / self.ppl_base
        unit = 1e-6 * (1 / self.ppl + 1 / self.ppl_base)
        _check_close("ln(PPL(Q)/PPL(base))", self.ln_ppl_ratio, math.log(ratio), 1e-6 + unit)
        _check_close("PPL(Q)/PPL(base)", self.ppl_ratio, ratio, 1e-6 + unit * ratio)
        _check_close(
            "PPL(Q)-PPL(base)", self.ppl_difference, self.ppl - self.ppl_base, 2e-6 + 1e-12 * self.ppl
        )

    def _check_error_propagation(self) -> None:
        """PPL(base)'s and the difference's standard errors stand once, but follow roughly from the others."""
        errors = (self.ppl_stderr, self.ppl_base_stderr, self.ln_ppl_ratio_stderr, self.ppl_difference_stderr)
        if any(error is None or error < 1e-4 for error in errors):
            return  # too small, as printed, to compute with
        error, base_error, ln_ratio_error, difference_error = (error or 0.0 for error in errors)
        ratio = self.ppl / self.ppl_base
        variance = (
            error**2 * (1 - 1 / ratio)
            + base_error**2 * (1 - ratio)
            + self.ppl * self.ppl_base * ln_ratio_error**2
        )
        _check_close(
            "the variance of PPL(Q)-PPL(base)", difference_error**2, variance, 0.1 * difference_error**2
        )
        if self.ppl_correlation is not None:
            relative, base_relative = error / self.ppl, base_error / self.ppl_base
            correlation = (relative**2 + base_relative**2 - ln_ratio_error**2) / (
                2 * relative * base_relative
            )
            _check_close("the correlation of the perplexities", self.ppl_correlation, correlation, 0.01)

    def _check_kld(self) -> None:
        percentiles = (
            self.kld_min, self.kld_p01, self.kld_p1, self.kld_p5, self.kld_p10, self.kld_median,
            self.kld_p90, self.kld_p95, self.kld_p99, self.kld_p999, self.kld_max,
        )  # fmt: skip
        rising = [value for value in percentiles if value is not None]
        for lower, upper in itertools.pairwise(rising):
            if lower > upper + 1e-6 + 1e-6 * abs(upper):  # interpolated in single precision
                raise UnparsableOutput(f"the KLD's percentiles do not rise: {lower} stands below {upper}")
        if not self.kld_min - 1e-6 <= self.kld_mean <= self.kld_max + 1e-6:
            raise UnparsableOutput(
                f"the mean KLD {self.kld_mean} is not between {self.kld_min} and {self.kld_max}"
            )
        if self.kld_min < _LOWEST_KLD:
            raise UnparsableOutput(f"a KLD of {self.kld_min} is further below zero than rounding explains")

    def _check_shares(self) -> None:
        if not 0 <= self.top1_agreement <= 1 or not 0 <= self.delta_p_rms <= 1 or abs(self.delta_p_mean) > 1:
            raise UnparsableOutput("the token probability statistics have shares above 100 %")
        if abs(self.delta_p_mean) > self.delta_p_rms + 1e-5:
            raise UnparsableOutput(
                f"the mean of Δp, {self.delta_p_mean}, exceeds its RMS, {self.delta_p_rms}"
            )
        if self.n_ctx is None or self.top1_agreement_stderr is None or self.delta_p_mean_stderr is None:
            return
        # Both standard errors tell how many tokens were scored, and so does the log.
        freedom = max(self.n_chunks * scored_tokens(self.n_ctx) - 1, 1)
        half = 0.51e-5  # half the last digit of a percentage with three decimals
        top1, rms, mean = self.top1_agreement, self.delta_p_rms, abs(self.delta_p_mean)
        for what, error, variances in (
            ("same top p", self.top1_agreement_stderr, [p * (1 - p) for p in (top1 - half, top1 + half)]),
            ("mean Δp", self.delta_p_mean_stderr, [(rms + s) ** 2 - (mean - s) ** 2 for s in (-half, half)]),
        ):
            low, high = sorted(math.sqrt(max(variance, 0.0) / freedom) for variance in variances)
            if not low - half <= error <= high + half:
                raise UnparsableOutput(
                    f"{what}'s standard error {error} does not fit {freedom + 1} scored tokens"
                )


def _shortened(chunks: Sequence[int]) -> str:
    return "none" if not chunks else ", ".join(map(str, chunks[:20])) + (", ..." if len(chunks) > 20 else "")


def _check_positive(what: str, value: float) -> None:
    if not (math.isfinite(value) and value > 0):
        raise UnparsableOutput(f"{what} is {value}")


def _check_agrees(
    name: str, closing: float | None, decimals: int, row: float | None, row_decimals: int
) -> None:
    """Two printed forms of one number agree within their rounding."""
    if closing is None or row is None:
        agrees = closing is row
    else:
        rounding = 0.51 * (10**-decimals + 10**-row_decimals) if decimals != row_decimals else 0.0
        agrees = abs(closing - row) <= rounding + 1e-12 * abs(closing)
    if not agrees:
        raise UnparsableOutput(f"the closing {name} is {closing}, but the last running mean is {row}")


def _check_close(what: str, value: float, expected: float, tolerance: float) -> None:
    if not abs(value - expected) <= tolerance:
        raise UnparsableOutput(f"{what} is {value}, but follows as {expected:.6g} from the other values")
