"""llama-bench's results (``-o jsonl``), which of them count, and its progress lines (``--progress``).

Format: ``tools/llama-bench/llama-bench.cpp`` in llama.cpp, ``jsonl_printer`` and ``test::get_values``. One
line is one finished test. Fields come and go between builds: they are read by name, and only the necessary
ones must exist.
"""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Collection, Mapping
from typing import Any, Literal, NamedTuple, TypeVar

from kvsweep.engine.failures import first_line
from kvsweep.engine.messages import plain
from kvsweep.engine.wordings import COMPUTATION
from kvsweep.errors import UnparsableOutput
from kvsweep.statistics import mean, variance

Phase = Literal["prefill", "decode"]

_Number = TypeVar("_Number", int, float)
_Scalar = TypeVar("_Scalar", int, float, str)

_CACHE_TYPE = re.compile(r"[A-Za-z]+\d\w*")  # f16, q8_0, iq4_nl, turbo4, q8_KV
# A line with one of these is meant as a test.
_OF_A_TEST = {"n_prompt", "n_gen", "samples_ns", "samples_ts"}
_PROCESS_FIELDS = ("build_commit", "build_number", "cpu_info", "gpu_info", "backends")


class BenchTest(NamedTuple):
    """One finished test of llama-bench: ``n_prompt`` tokens read or ``n_gen`` tokens written at ``n_depth``.

    Durations in nanoseconds, rates in tokens per second; what the build did not print is None. The rates are
    computed from ``samples_ns``, at full precision.
    """

    n_prompt: int
    n_gen: int
    n_depth: int
    type_k: str
    type_v: str
    samples_ns: tuple[int, ...]
    gpu_info: str | None = None

    @property
    def phase(self) -> Phase:
        """``prefill`` (prompt processing) or ``decode`` (text generation)."""
        return "decode" if self.n_gen else "prefill"

    @property
    def n_tokens(self) -> int:
        """Tokens processed in each repetition."""
        return self.n_prompt + self.n_gen

    @property
    def samples_tokens_per_second(self) -> tuple[float, ...]:
        """The rate of each repetition, tokens per second."""
        return tuple(1e9 * self.n_tokens / duration for duration in self.samples_ns)

    @property
    def tokens_per_second(self) -> float:
        """The mean of the repetitions' rates, as llama-bench reports it (not tokens over total time)."""
        return mean(self.samples_tokens_per_second)

    @property
    def tokens_per_second_stddev(self) -> float | None:
        """The repetitions' sample standard deviation (n - 1), tokens per second; None for one repetition."""
        rates = self.samples_tokens_per_second
        return math.sqrt(variance(rates)) if len(rates) > 1 else None


def parse_bench(text: str) -> tuple[BenchTest, ...]:
    """The finished tests in llama-bench's ``-o jsonl`` output, in the order in which they ran.

    Lines that are no test are left out: the last one may be cut, for llama-bench can die while it writes, and a
    library or a debugger may print among them. Each whole line stands for itself. Raises UnparsableOutput for a test
    that is not consistent, for one that appears twice, and for lines of different builds or machines in one output.
    The depth and the types stand only once: compare them with what was asked for.
    """
    lines = text.rstrip().split("\n") if text.strip() else []
    tests: list[BenchTest] = []
    seen: dict[tuple[object, ...], int] = {}
    process: dict[str, Any] | None = None
    for number, line in enumerate(lines, start=1):
        fields = _json_object(line)
        if fields is None or not fields.keys() & _OF_A_TEST:
            continue
        try:
            tests.append(_bench_test(fields))
        except UnparsableOutput as error:
            raise UnparsableOutput(f"line {number} of llama-bench's output: {error}") from None
        # Not by all that a line says of its test: a repeated line with garbage in a name would count as another test.
        identity = tuple(
            getattr(tests[-1], name) for name in ("n_prompt", "n_gen", "n_depth", "type_k", "type_v")
        )
        if identity in seen:
            raise UnparsableOutput(
                f"lines {seen[identity]} and {number} of llama-bench's output are the same test"
            )
        seen[identity] = number
        this_process = {name: fields.get(name) for name in _PROCESS_FIELDS} | {"fields": list(fields)}
        process = process or this_process
        if this_process != process:
            raise UnparsableOutput(
                f"line {number} of llama-bench's output comes from another build or machine"
            )
    return tuple(tests)


def _json_object(line: str) -> dict[str, Any] | None:
    """The fields of a line; None where it is no JSON object, or has a field twice: two lines run together."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        fields = dict(pairs)
        if len(fields) < len(pairs):
            raise ValueError("a field appears twice")
        return fields

    # Equal samples can make llama-bench's formula the root of a tiny negative number, and "-nan" is not JSON.
    line = re.sub(r'("stddev_ts": )-?nan\b', r"\1null", line)
    try:
        value = json.loads(line, object_pairs_hook=unique)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _bench_test(fields: Mapping[str, Any]) -> BenchTest:
    test = BenchTest(
        n_prompt=_field(fields, "n_prompt", int),
        n_gen=_field(fields, "n_gen", int),
        n_depth=_field(fields, "n_depth", int),
        type_k=_field(fields, "type_k", str),
        type_v=_field(fields, "type_v", str),
        samples_ns=tuple(_list(fields, "samples_ns", int)),
        gpu_info=None if fields.get("gpu_info") is None else _field(fields, "gpu_info", str) or None,
    )
    _check_possible(test)
    _check_against_printed(test, fields)
    return test


def _check_possible(test: BenchTest) -> None:
    if test.n_prompt < 0 or test.n_gen < 0 or (test.n_prompt > 0) == (test.n_gen > 0):
        raise UnparsableOutput(
            f"llama-bench reports a test of {test.n_prompt} prompt and {test.n_gen} generated tokens,"
            " which is neither prefill nor decode"
        )
    if test.n_depth < 0:
        raise UnparsableOutput(f"llama-bench reports a depth of {test.n_depth} tokens")
    for cache_type in (test.type_k, test.type_v):
        if not _CACHE_TYPE.fullmatch(cache_type):
            raise UnparsableOutput(f"llama-bench reports the cache type {cache_type!r}")
    if not test.samples_ns or min(test.samples_ns) <= 0:
        raise UnparsableOutput(f"llama-bench reports the durations {list(test.samples_ns)} ns")


def _check_against_printed(test: BenchTest, fields: Mapping[str, Any]) -> None:
    """Compare the samples with what llama-bench computed from them itself.

    ``stddev_ns`` is left alone: llama-bench squares nanoseconds in 64-bit integers, which overflow after
    seconds.
    """
    rates = test.samples_tokens_per_second
    printed_rates = _list(fields, "samples_ts", float)
    if len(printed_rates) != len(rates) or not all(
        math.isclose(printed, rate, rel_tol=1e-5)  # six significant digits
        for printed, rate in zip(printed_rates, rates, strict=True)
    ):
        raise UnparsableOutput(
            f"samples_ts {printed_rates} does not follow from samples_ns {list(test.samples_ns)}"
        )
    average = test.tokens_per_second
    printed_mean = _field(fields, "avg_ts", float)
    if not math.isclose(printed_mean, average, rel_tol=1e-9, abs_tol=1e-6):
        raise UnparsableOutput(f"avg_ts is {printed_mean}, but the mean of the samples is {average:.6f}")
    if sum(test.samples_ns) // len(test.samples_ns) != _field(fields, "avg_ns", int):
        raise UnparsableOutput(
            f"avg_ns {fields['avg_ns']} does not follow from samples_ns {list(test.samples_ns)}"
        )
    stddev = test.tokens_per_second_stddev or 0.0
    printed_stddev = 0.0 if fields.get("stddev_ts", "") is None else _field(fields, "stddev_ts", float)
    rounding = 1e-6 + 1e-6 * stddev + 1e-7 * average  # llama-bench subtracts two nearly equal squares
    if abs(printed_stddev - stddev) > rounding:
        raise UnparsableOutput(f"stddev_ts is {printed_stddev}, but the samples' is {stddev:.6f}")


_KINDS = {int: (int,), float: (int, float), str: (str,)}
_CALLED = {int: "a whole number", float: "a finite number", str: "a text"}


def _is_a(kind: type, value: object) -> bool:
    """A number only where it is finite; true is none."""
    return type(value) in _KINDS[kind] and (not isinstance(value, int | float) or math.isfinite(value))


def _given(fields: Mapping[str, Any], name: str) -> Any:
    if name not in fields:
        raise UnparsableOutput(f"the field {name} is missing")
    return fields[name]


def _field(fields: Mapping[str, Any], name: str, kind: type[_Scalar]) -> _Scalar:
    if not _is_a(kind, _given(fields, name)):
        raise UnparsableOutput(f"{name} is {fields[name]!r}, not {_CALLED[kind]}")
    return kind(fields[name])


def _list(fields: Mapping[str, Any], name: str, kind: type[_Number]) -> list[_Number]:
    values = _given(fields, name)
    if not isinstance(values, list) or not all(_is_a(kind, value) for value in values):
        raise UnparsableOutput(f"{name} is {values!r}, not a list of finite numbers")
    return [kind(value) for value in values]


# --- which results count: those in whose test nothing failed, by the log beside them -----------------

PHASES: tuple[Phase, Phase] = ("prefill", "decode")
# Where the second test begins: it is announced, and in logs without progress it makes the second context.
_SECOND_TEST = re.compile(r"^llama-bench: benchmark 2/", re.MULTILINE)
_CONTEXT = re.compile(r"\bllama_context: constructing llama_context$", re.MULTILINE)


def logs_of_phases(stderr: str) -> dict[Phase, str]:
    """The log of each of a cell's two tests. Where the log does not show the second one's start, both get all of it."""
    stderr = plain(stderr)
    second = _SECOND_TEST.search(stderr) or next(itertools.islice(_CONTEXT.finditer(stderr), 1, None), None)
    if second is None:
        return dict.fromkeys(PHASES, stderr)
    return {"prefill": stderr[: second.start()], "decode": stderr[second.start() :]}


def failed_computations(stdout: str, stderr: str) -> dict[Phase, str]:
    """The first line that says that a computation failed, in the log or among the results, by phase.

    What was printed for it is no result: Metal goes on after a failed command buffer, and llama-bench ends with 0.
    """
    said = logs_of_phases(stderr)
    for phase, among_results in zip(PHASES, _between_results(stdout), strict=True):
        said[phase] = f"{said[phase]}\n{among_results}"
    found = {phase: first_line(text, COMPUTATION) for phase, text in said.items()}
    return {phase: line for phase, line in found.items() if line is not None}


def _between_results(stdout: str) -> tuple[str, str]:
    """Foreign lines on stdout up to the first result, and behind it: a result is printed when its test is done."""
    parts: tuple[list[str], list[str]] = ([], [])
    behind = False
    for line in stdout.split("\n"):
        if line.startswith("{"):
            behind = True
        else:
            parts[behind].append(line)
    return "\n".join(parts[0]), "\n".join(parts[1])


def results(stdout: str, stderr: str, failed: Collection[Phase] | None = None) -> tuple[BenchTest, ...]:
    """The finished tests of a cell's process in which nothing failed. Raises as ``parse_bench`` does.

    ``failed``: the phases of ``failed_computations``, where they are known.
    """
    failed = failed_computations(stdout, stderr) if failed is None else failed
    return tuple(test for test in parse_bench(stdout) if test.phase not in failed)


# --- progress ---------------------------------------------------------------------------------------


_PROGRESS = re.compile(r"^llama-bench: benchmark (\d+)/(\d+): ([a-z ]+?)( \d+/\d+)?(?: \(cached\))?$", re.M)


def bench_progress(stderr_tail: str) -> str | None:
    """``test 2 of 4: depth run 1/3``, by the last progress line in (the end of) llama-bench's stderr; None without."""
    found = _PROGRESS.findall(stderr_tail)
    return "test {} of {}: {}{}".format(*found[-1]) if found else None


_FILLED = re.compile(r"^llama-bench: benchmark \d+/\d+: depth run \d+/\d+$", re.M)


def fills(stderr: str) -> int:
    """How often llama-bench filled the cache to the depth. Most builds do it once for all tests of a depth and
    restore it (``(cached)``); the TurboQuant fork of 2026-08 does it for each test."""
    return len(_FILLED.findall(stderr))
