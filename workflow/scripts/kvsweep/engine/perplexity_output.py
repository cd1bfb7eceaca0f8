"""llama-perplexity's results: those of a KL run (``--kl-divergence``), and how far any run is.

Format: ``tools/perplexity/perplexity.cpp`` in llama.cpp, ``perplexity`` and ``kl_divergence``. Results and
log may be on either stream, depending on the build, so both are searched. Newer builds put a time stamp and a
level before log lines, and the ETA is printed without an end of line, so that any log line can follow on the
same line.

An exit status of 0 says nothing here: what counts is that the closing statistics are printed and agree with
the running means before them. Numbers are read at their printed width, so that one that lost a digit does not
match.
"""

from __future__ import annotations

import itertools
import math
import re
from dataclasses import dataclass
from functools import cached_property

from kvsweep.engine.baseline_file import scored_tokens
from kvsweep.engine.messages import plain
from kvsweep.engine.perplexity_log import announcement, raise_complaint
from kvsweep.engine.perplexity_results import ClosingStatisticsMissing, KlStatistics, KlWindow
from kvsweep.errors import UnparsableOutput

_STATISTICS_NEED_TOKENS = 100
# Until 2024-04-30 (llama.cpp pull request 6936): neither the perplexity nor any probability stands in the statistics,
# and the table has other columns. V could not be quantized then.
_OF_EARLY_2024 = re.compile(r"^===== KL-divergence statistics$|KL-Divergence +Same top$", re.M)


def parse_kl(stdout: str, stderr: str) -> KlStatistics:
    """The result of a KL run; both streams of the process, decoded as UTF-8.

    Raises ClosingStatisticsMissing if the closing statistics are not all there and the log does not say why,
    UnparsableOutput if it does, if a mean or a percentile is nan or infinite, if something is printed twice,
    or if the table, the statistics and the announced number of windows contradict each other.
    """
    text = plain(f"{stdout}\n{stderr}")
    raise_complaint(text)
    if _OF_EARLY_2024.search(text):
        raise UnparsableOutput(
            "this llama-perplexity prints its statistics in the form of early 2024, without the cell's perplexity; "
            "take a build of May 2024 or later"
        )
    announced = announcement(text)
    windows, closing, p99_twice = _kl_results(text)
    left_out = _left_out_by_older_builds(closing, p99_twice)
    missing = [form.label for name, form in _CLOSING.items() if name not in {*closing, *left_out}]
    if missing:
        tokens = (
            announced.n_chunks * scored_tokens(announced.n_ctx) if announced and announced.n_ctx else None
        )
        if tokens is not None and tokens < _STATISTICS_NEED_TOKENS:
            raise UnparsableOutput(
                f"only {tokens} tokens were scored, and the engine prints statistics from 100 up"
            )
        raise ClosingStatisticsMissing(
            f"the KL run's closing statistics lack {missing[0]!r}"
            f" ({len(windows)} of {announced.n_chunks if announced else 'an unknown number of'} windows were printed)"
        )
    values: dict[str, float | None] = dict.fromkeys(left_out)
    for name, (value, stderr_value) in closing.items():
        values[name] = value
        if _CLOSING[name].stderr_width:
            values[f"{name}_stderr"] = stderr_value
        if value is None and name != "ppl_correlation":
            raise UnparsableOutput(f"{_CLOSING[name].label!r} is not a finite number")
    return KlStatistics(
        n_chunks=announced.n_chunks if announced else len(windows),
        n_ctx=announced.n_ctx if announced else None,
        windows=windows,
        **values,  # type: ignore[arg-type]
    )


# --- numbers as they are printed ------------------------------------------------------------------

_NAN = r"-?(?:nan(?:\([a-z]+\))?|inf)"


def _number(decimals: int) -> str:
    return rf"( *-?\d+\.\d{{{decimals}}}| *{_NAN})"


def _value(printed: str, width: int, percent: bool) -> float | None:
    """The number, None for nan and infinity. Raises if the printed form is not ``width`` characters wide."""
    if len(printed) < width or (len(printed) > width and printed.startswith(" ")):
        raise UnparsableOutput(f"{printed!r} is not as wide as the engine prints it")
    number = float(printed.partition("(")[0])
    if not math.isfinite(number):
        return None
    return round(number / 100, 9) if percent else number  # 75.57 % is 0.7557, not 0.7556999999999999


@dataclass(frozen=True)
class _Form:
    """How a closing line prints its value, and after it a standard error if that has a width."""

    label: str
    width: int = 10
    decimals: int = 6
    stderr_width: int = 0
    percent: bool = False

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        stderr = f" ± {_number(self.decimals)}" if self.stderr_width else "()"
        return re.compile(_number(self.decimals) + stderr + (" ?%" if self.percent else ""))


_CLOSING = {
    "ppl": _Form("Mean PPL(Q)", stderr_width=10),
    "ppl_base": _Form("Mean PPL(base)", stderr_width=10),
    "ppl_correlation": _Form("Cor(ln(PPL(Q)), ln(PPL(base)))", 6, 2, percent=True),
    "ln_ppl_ratio": _Form("Mean ln(PPL(Q)/PPL(base))", stderr_width=10),
    "ppl_ratio": _Form("Mean PPL(Q)/PPL(base)", stderr_width=10),
    "ppl_difference": _Form("Mean PPL(Q)-PPL(base)", stderr_width=10),
    "kld_mean": _Form("Mean KLD", stderr_width=10),
    "kld_max": _Form("Maximum KLD"),
    "kld_p999": _Form("99.9% KLD"),
    "kld_p99": _Form("99.0% KLD"),
    "kld_p95": _Form("95.0% KLD"),
    "kld_p90": _Form("90.0% KLD"),
    "kld_median": _Form("Median KLD"),
    "kld_p10": _Form("10.0% KLD"),
    "kld_p5": _Form("5.0% KLD"),
    "kld_p1": _Form("1.0% KLD"),
    "kld_p01": _Form("0.1% KLD"),
    "kld_min": _Form("Minimum KLD"),
    "delta_p_mean": _Form("Mean Δp", 6, 3, stderr_width=5, percent=True),
    "delta_p_rms": _Form("RMS Δp", 6, 3, stderr_width=5, percent=True),
    "top1_agreement": _Form("Same top p", 6, 3, stderr_width=5, percent=True),
}
_CLOSING_NAMES = {form.label: name for name, form in _CLOSING.items()}

# Width and decimals of the running table's columns: means and standard errors alternate.
_COLUMNS = ((9, 4), (9, 4), (10, 5), (10, 5), (10, 5), (10, 5), (6, 3), (6, 3), (6, 3), (6, 3))


def _row_pattern() -> re.Pattern[str]:
    numbers = [_number(decimals) for _, decimals in _COLUMNS]
    columns = [f"{value} ± {error}" for value, error in zip(numbers[::2], numbers[1::2], strict=True)]
    columns[3] += " %"
    columns[4] += " %"
    return re.compile(r"( *\d+)    " + "    ".join(columns))


_ROW = _row_pattern()

_Closing = dict[str, tuple[float | None, float | None]]


def _left_out_by_older_builds(closing: _Closing, p99_twice: bool) -> tuple[str, ...]:
    """Percentiles of the KLD that this build does not print.

    Until 2025-09-15 (ik_llama.cpp: 2025-10) the 99th stands twice, the second time in the place of the 90th; the 95th
    and the 0.1st came on 2025-09-28 (llama.cpp pull requests 15999 and 16321).
    """
    has = [name for name in ("kld_p95", "kld_p90", "kld_p01") if name in closing]
    if p99_twice and has:
        raise _printed_twice("kld_p99")
    if p99_twice:
        return ("kld_p95", "kld_p90", "kld_p01")
    return ("kld_p95", "kld_p01") if has == ["kld_p90"] else ()


def _printed_twice(name: str) -> ClosingStatisticsMissing:
    """The log thread of llama.cpp may print a line twice as it exits; what follows is lost then."""
    return ClosingStatisticsMissing(f"the KL run printed {_CLOSING[name].label!r} more than once")


def _kl_results(text: str) -> tuple[tuple[KlWindow, ...], _Closing, bool]:
    """The running table's rows, value and standard error of every closing line that is there, by name, and whether the
    99th percentile stands there twice."""
    windows: list[KlWindow] = []
    closing: _Closing = {}
    p99_twice = False
    for line in text.split("\n"):
        label, colon, rest = line.partition(": ")
        name = _CLOSING_NAMES.get(" ".join(label.split())) if colon else None
        if name is not None:
            form = _CLOSING[name]
            printed = form.pattern.fullmatch(rest)
            again = name in closing
            if again and (name != "kld_p99" or p99_twice):
                raise _printed_twice(name)
            if printed:
                value = _value(printed[1], form.width, form.percent)
                stderr = _value(printed[2], form.stderr_width, form.percent) if form.stderr_width else None
                if closing.setdefault(name, (value, stderr)) != (value, stderr):
                    raise _printed_twice(name)
                p99_twice = p99_twice or again
        elif " ± " in line:
            row = _ROW.fullmatch(line)
            if row:
                windows.append(_window(row))
    return tuple(windows), closing, p99_twice


def _window(row: re.Match[str]) -> KlWindow:
    chunk, *fields = row.groups()
    if len(chunk) < 4:
        raise UnparsableOutput(f"the window's number {chunk!r} is not as wide as the engine prints it")
    values = [
        _value(field, width, percent=decimals == 3)
        for field, (width, decimals) in zip(fields, _COLUMNS, strict=True)
    ]
    means = [value for value in values[::2] if value is not None]
    if len(means) < 5:
        raise UnparsableOutput(
            f"window {int(chunk)} has a mean that is not a finite number: {row[0].strip()!r}"
        )
    return KlWindow(int(chunk), *itertools.chain(*zip(means, values[1::2], strict=True)))  # type: ignore[arg-type]


def chunks_done(text_tail: str) -> int:
    """How many chunks are done, by any part of llama-perplexity's output, either stream or both. Never raises."""
    done = [int(chunk) for chunk in re.findall(r"\[(\d{1,9})\]\d+\.\d{4},", text_tail)]
    done += [int(row[1]) for line in text_tail.split("\n") if (row := _ROW.fullmatch(line))]
    return max(done, default=0)
