"""Damaged output never gives a wrong number: the result is right or a failure, whatever was done to it.

``KVSWEEP_PROPERTY_CASES`` sets the number of damaged outputs tried in all (200 unless set).
"""

import hashlib
import json
import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kvsweep.engine import bench_output, perplexity_output
from kvsweep.engine import log as engine_log
from kvsweep.engine.bench_output import BenchTest
from kvsweep.engine.failures import first_line
from kvsweep.engine.logged import EngineLog
from kvsweep.engine.perplexity_results import KlStatistics
from kvsweep.engine.wordings import COMPUTATION, MEMORY, WORDINGS, Wording
from kvsweep.errors import KvsweepError, UnparsableOutput
from kvsweep.measure.record import read_recorded
from support import RECORDED

PROPERTIES = 13
CASES = max(1, int(os.environ.get("KVSWEEP_PROPERTY_CASES", "200")) // PROPERTIES)

damaged = settings(max_examples=CASES, deadline=None, suppress_health_check=list(HealthCheck))

KL_RUNS = [
    "fork/kld-f16-f16-control",
    "fork/kld-q8_0-q8_0",
    "fork/kld-q8_0-turbo4",
    "fork/kld-turbo3-turbo3",
    "mainline/kld-q4_0-q4_0",
    "h200-gemma/mainline-kld-q4_0-q4_0",
    "h200-gemma/turboquant-kld-q4_0-q8_0",
]
LOGS = [
    "fork/bench-f16-f16-oom",
    "fork/bench-turbo2-turbo2-boundary",
    "fork/bench-turbo3-turbo3-gqa8-upgraded",
    "fork-cuda/bench-f16-f16-oom",
    "mainline/bench-f16-f16-oom",
    "h200-gemma/mainline-bench-q4_0-q4_0-d32768",
    "h200-gemma/turboquant-bench-turbo4-turbo4-d32768",
]
BENCHES = ["fork/bench-q8_0-turbo4", "fork-cuda/bench-f16-f16", "mainline/bench-q4_0-q4_0"]
BENCHES += ["h200-gemma/mainline-bench-q4_0-q4_0-d32768", "h200-gemma/turboquant-bench-q4_0-q8_0-d32768"]


def recorded(name: str, ending: str) -> str:
    return (RECORDED / f"{name}.{ending}").read_text(encoding="utf-8")


def one_depth(name: str) -> str:
    """The two lines that a throughput cell's process prints: prefill and decode at one depth."""
    return "".join(recorded(name, "jsonl").splitlines(keepends=True)[-2:])


def attempt(parse: Callable[..., Any], *texts: str) -> Any:
    """The result, or None for a failure. Any other exception than the promised one is a bug."""
    try:
        return parse(*texts)
    except UnparsableOutput:
        return None


@st.composite
def cut_short(draw: st.DrawFn, text: str) -> str:
    """The output ends anywhere."""
    return text[: draw(st.integers(0, len(text)))]


@st.composite
def with_a_hole(draw: st.DrawFn, text: str) -> str:
    """A span is missing, from within one line to within a later one."""
    start = draw(st.integers(0, len(text)))
    line_end = text.find("\n", start)
    if line_end < 0:
        return text[:start]
    return text[:start] + text[draw(st.integers(line_end, len(text))) :]


@st.composite
def with_lines_repeated(draw: st.DrawFn, text: str) -> str:
    """A block of lines appears again, at once or later."""
    lines = text.splitlines(keepends=True)
    start = draw(st.integers(0, len(lines)))
    end = draw(st.integers(start, len(lines)))
    at = draw(st.integers(end, len(lines)))
    return "".join(lines[:at] + lines[start:end] + lines[at:])


@st.composite
def mixed(draw: st.DrawFn, text: str, other: str) -> str:
    """Two outputs in one, line by line, each in its own order; they come in blocks of random length."""
    remaining = [text.splitlines(keepends=True), other.splitlines(keepends=True)]
    result: list[str] = []
    which = 0
    while remaining[0] and remaining[1]:
        count = draw(st.integers(1, len(remaining[which])))
        result += remaining[which][:count]
        del remaining[which][:count]
        which = 1 - which
    return "".join(result + remaining[0] + remaining[1])


# What garbage is made of: bytes that are no text, control characters, letters. Other digits in a line's place are no
# business of a parser: the raw file's sha256 shows them (test_changed_bytes_of_a_record).
GARBAGE = '\ufffd\0\x1b\n\tnaifXE+,:[]{}"%'


@st.composite
def corrupted(draw: st.DrawFn, text: str) -> str:
    """Garbage stands in the place of up to 40 characters."""
    start = draw(st.integers(0, len(text)))
    garbage = draw(st.text(GARBAGE, min_size=1, max_size=40))
    return text[:start] + garbage + text[start + len(garbage) :]


def any_damage(data: st.DataObject, text: str, other: str) -> str:
    kind = data.draw(st.sampled_from(["short", "hole", "repeated", "corrupted", "mixed", "two kinds"]))
    if kind == "two kinds":
        text = data.draw(with_lines_repeated(text))
        kind = data.draw(st.sampled_from(["short", "hole", "corrupted"]))
    strategies = {
        "short": cut_short,
        "hole": with_a_hole,
        "repeated": with_lines_repeated,
        "corrupted": corrupted,
    }
    return data.draw(mixed(text, other) if kind == "mixed" else strategies[kind](text))


def kl_is_right(result: KlStatistics | None, clean: KlStatistics) -> bool:
    """Equal, but for what only the log says and may be lost with it."""
    if (
        result is None or result.n_chunks != clean.n_chunks
    ):  # its number of windows was not asked for: refused
        return True
    return result == replace(
        clean,
        n_ctx=clean.n_ctx if result.n_ctx is not None else None,
    )


@damaged
@given(
    st.data(),
    st.sampled_from(KL_RUNS),
    st.sampled_from(KL_RUNS),
    st.sampled_from(["stdout", "stderr", "both"]),
)
def test_kl_runs(data: st.DataObject, name: str, other: str, stream: str) -> None:
    stdout, stderr = recorded(name, "stdout"), recorded(name, "stderr")
    clean = perplexity_output.parse_kl(stdout, stderr)
    if stream in ("stdout", "both"):
        stdout = any_damage(data, stdout, recorded(other, "stdout"))
    if stream in ("stderr", "both"):
        stderr = any_damage(data, stderr, recorded(other, "stderr"))
    assert kl_is_right(attempt(perplexity_output.parse_kl, stdout, stderr), clean)


@damaged
@given(st.data(), st.sampled_from(KL_RUNS))
def test_a_kl_run_with_a_hole_within_a_line(data: st.DataObject, name: str) -> None:
    """Columns have fixed widths, so that even a single lost digit shows."""
    stdout, stderr = recorded(name, "stdout"), recorded(name, "stderr")
    clean = perplexity_output.parse_kl(stdout, stderr)
    start = data.draw(st.integers(0, len(stdout)))
    hole = stdout[:start] + stdout[start + data.draw(st.integers(1, 12)) :]
    assert kl_is_right(attempt(perplexity_output.parse_kl, hole, stderr), clean)


def measured(test: BenchTest) -> tuple[object, ...]:
    """What a test is and what came out of it."""
    return test.n_prompt, test.n_gen, test.n_depth, test.type_k, test.type_v, test.samples_ns


@damaged
@given(st.data(), st.sampled_from(BENCHES), st.sampled_from(BENCHES))
def test_throughput_cells(data: st.DataObject, name: str, other: str) -> None:
    text, mixed_in = one_depth(name), one_depth(other)
    right = {measured(test) for test in bench_output.parse_bench(text)}
    right |= {measured(test) for test in bench_output.parse_bench(mixed_in)}
    asked = {identity[:5] for identity in right}
    tests = attempt(bench_output.parse_bench, any_damage(data, text, mixed_in)) or ()
    tests = [test for test in tests if measured(test)[:5] in asked]  # as the caller does
    assert {measured(test) for test in tests} <= right
    assert len({measured(test) for test in tests}) == len(tests)


@damaged
@given(st.data(), st.sampled_from(BENCHES))
def test_truncated_throughput_runs_keep_what_was_finished(data: st.DataObject, name: str) -> None:
    text = recorded(name, "jsonl")
    cut = data.draw(cut_short(text))
    tests = bench_output.parse_bench(cut)
    assert tests == bench_output.parse_bench(text)[: len(tests)]
    assert len(tests) in (cut.count("\n"), cut.count("\n") + 1)


@damaged
@given(st.data(), st.sampled_from(LOGS), st.sampled_from(LOGS))
def test_engine_logs(data: st.DataObject, name: str, other: str) -> None:
    """Contexts may be lost or come twice with their lines, but none is ever made up."""
    text, mixed_in = recorded(name, "stderr"), recorded(other, "stderr")
    clean = [engine_log.parse_engine_log(text), engine_log.parse_engine_log(mixed_in)]
    log = attempt(engine_log.parse_engine_log, any_damage(data, text, mixed_in))
    if log is None:
        return
    for what in ("kv_caches", "kv_upgrades"):
        assert set(getattr(log, what)) <= {value for one in clean for value in getattr(one, what)}, what
    for what in ("graph_splits", "attn_rot_k", "attn_rot_v", "flash_attn"):
        assert of_contexts(log, what) <= {None}.union(*(of_contexts(one, what) for one in clean)), what
    assert log.offloaded_layers in {None, *(one.offloaded_layers for one in clean)}


def of_contexts(log: EngineLog, what: str) -> set[Any]:
    return {getattr(context, what) for context in log.contexts}


@damaged
@given(st.data(), st.sampled_from(LOGS))
def test_a_truncated_engine_log_gives_the_beginning(data: st.DataObject, name: str) -> None:
    text = recorded(name, "stderr")
    clean, log = (engine_log.parse_engine_log(t) for t in (text, data.draw(cut_short(text))))
    for what in ("kv_caches", "kv_upgrades"):
        assert getattr(log, what) == getattr(clean, what)[: len(getattr(log, what))], what


@damaged
@given(st.data(), st.sampled_from(KL_RUNS))
def test_changed_bytes_of_a_record(data: st.DataObject, name: str) -> None:
    """A digit in another's place looks like a result: only the checksum of the raw file tells."""
    streams = {ending: recorded(name, ending).encode() for ending in ("stdout", "stderr")}
    with TemporaryDirectory() as place:
        directory = Path(place)
        described = [
            {"name": f"{ending}.log", "sha256": hashlib.sha256(content).hexdigest()}
            for ending, content in streams.items()
        ]
        (directory / "run.json").write_text(json.dumps({"streams": described}))
        ending = data.draw(st.sampled_from(sorted(streams)))
        position = data.draw(st.integers(0, len(streams[ending]) - 1))
        other = data.draw(st.integers(0, 255).filter(lambda byte: byte != streams[ending][position]))
        for other_ending, content in streams.items():
            (directory / f"{other_ending}.log").write_bytes(content)
        assert read_recorded(directory).stdout == streams["stdout"].decode()
        changed = bytearray(streams[ending])
        changed[position] = other
        (directory / f"{ending}.log").write_bytes(changed)
        with pytest.raises(KvsweepError, match=rf"{ending}\.log: changed since it was measured"):
            read_recorded(directory)


# --- other builds' forms --------------------------------------------------------------------------------

# Percentiles of the KLD that builds until 2025-09-15, and until 2025-09-28, do not print.
OLDER = {"2024": ("95.0%", "90.0%", " 0.1%"), "2025-09-20": ("95.0%", " 0.1%")}


def by_older_build(stdout: str, build: str) -> str:
    left_out = tuple(f"{label}   KLD:" for label in OLDER[build])
    lines = [line for line in stdout.splitlines(keepends=True) if not line.startswith(left_out)]
    twice = "99.0%   KLD:" if build == "2024" else "nothing"
    return "".join(line * (1 + line.startswith(twice)) for line in lines)


def with_head_for_each_window(stdout: str) -> str:
    head = next(line for line in stdout.splitlines() if line.startswith("chunk "))
    return re.sub(r"^( +\d+  )", f"\n{head}\n\\1", stdout, flags=re.MULTILINE)


@damaged
@given(
    st.data(),
    st.sampled_from(KL_RUNS),
    st.sampled_from(["2024", "2025-09-20", "today"]),
    st.booleans(),
    st.booleans(),
)
def test_kl_runs_of_older_builds(data: st.DataObject, name: str, build: str, heads: bool, harm: bool) -> None:
    stdout, stderr = recorded(name, "stdout"), recorded(name, "stderr")
    today = perplexity_output.parse_kl(stdout, stderr)
    stdout = stdout if build == "today" else by_older_build(stdout, build)
    stdout = with_head_for_each_window(stdout) if heads else stdout
    clean = perplexity_output.parse_kl(stdout, stderr)
    unknown = {"2024": ("kld_p95", "kld_p90", "kld_p01"), "2025-09-20": ("kld_p95", "kld_p01"), "today": ()}
    lacking: dict[str, Any] = dict.fromkeys(unknown[build])
    assert clean == replace(today, **lacking)
    if harm:
        stdout = any_damage(data, stdout, stdout)
        assert kl_is_right(attempt(perplexity_output.parse_kl, stdout, stderr), clean)


STAMPS = ["", "0.00.220.126 E ", "12.34.567.890 I "]
FOREIGN = st.sampled_from(
    [*("[New LWP 33273]", "warning: something", "{}", "[1, 2]", '{"level": "info"}', ""), "\ufffd\0\x1b[0m"]
)


def at_a_line(draw: st.DataObject, text: str, line: str) -> tuple[str, int]:
    """The text with another line in it, and where that begins."""
    ends = [match.end() for match in re.finditer("\n", text)]
    position = draw.draw(st.sampled_from([0, *ends]))
    return text[:position] + line + "\n" + text[position:], position


@damaged
@given(st.data(), st.sampled_from(BENCHES), st.lists(FOREIGN, min_size=1, max_size=4))
def test_foreign_lines_cost_no_result(data: st.DataObject, name: str, lines: list[str]) -> None:
    text = one_depth(name)
    clean = bench_output.parse_bench(text)
    for line in lines:
        text, _ = at_a_line(data, text, line)
    assert bench_output.parse_bench(text) == clean


FAILED_COMPUTATIONS = [wording for wording in WORDINGS if wording.meaning == COMPUTATION]
FAILED_ALLOCATIONS = [
    wording
    for wording in WORDINGS
    if wording.meaning == MEMORY
    and not any(other.pattern.search(wording.form.replace("#", "1")) for other in FAILED_COMPUTATIONS)
]


def printed(draw: st.DataObject, wording: Wording) -> str:
    """A line of a wording, with what may stand around it."""
    number = draw.draw(st.sampled_from(["1", "512", "8589934592", "12710.31"]))
    line = wording.form.replace("#", number).replace(
        "*", draw.draw(st.sampled_from(["x", "CUDA0", "a b (c)"]))
    )
    before = draw.draw(
        st.sampled_from([*STAMPS, "some_function: ", "f: 2.63 seconds per pass - ETA ", "memory on device"])
    )
    return before + line + draw.draw(st.sampled_from(["", " and more", "."]))


@damaged
@given(st.data(), st.sampled_from(FAILED_COMPUTATIONS))
def test_a_failed_computation_denies_the_result_of_its_test(data: st.DataObject, wording: Wording) -> None:
    log = recorded("h200-gemma/mainline-bench-q4_0-q4_0-d32768", "stderr")
    text, position = at_a_line(data, log, printed(data, wording))
    second = log.index("llama-bench: benchmark 2/")
    assert set(bench_output.failed_computations("", text)) == {"prefill" if position <= second else "decode"}


@damaged
@given(st.data(), st.sampled_from(FAILED_ALLOCATIONS))
def test_an_allocation_that_the_engine_got_over_is_no_failure(data: st.DataObject, wording: Wording) -> None:
    log = recorded("h200-gemma/mainline-kld-q4_0-q4_0", "stderr")
    text, position = at_a_line(data, log, printed(data, wording))
    got_over = position < log.index("kl_divergence: 2.63 seconds per pass")
    assert (first_line(text, MEMORY) is None) == got_over
    stdout = recorded("h200-gemma/mainline-kld-q4_0-q4_0", "stdout")
    # Either way what was computed counts: an allocation that failed is not a computation that did.
    found = perplexity_output.parse_kl(stdout, text)
    assert kl_is_right(found, perplexity_output.parse_kl(stdout, log))


@damaged
@given(st.lists(st.tuples(st.integers(0, 512), st.integers(0, 512)), min_size=1, max_size=3), st.booleans())
def test_rotation_of_each_cache(sizes: list[tuple[int, int]], newest: bool) -> None:
    form = "n_rot_{} = {}" if newest else "attn_rot_{} = {}"
    log = "llama_context: constructing llama_context\nllama_context: n_ctx         = 512\n"
    for k, v in sizes:
        log += (
            "llama_kv_cache: size =   24.00 MiB (   512 cells,   1 layers,  1/1 seqs),"
            " K (q8_0):   12.00 MiB, V (q8_0):   12.00 MiB\n"
        )
        for side, size in (("k", k), ("v", v)):
            shown = size if newest else int(size > 0)
            log += f"llama_kv_cache: {form.format(side, shown)}, n_embd_head_k_all = 256\n"
    (context,) = engine_log.parse_engine_log(log).contexts
    assert context.rotations == tuple((k > 0, v > 0) for k, v in sizes)
    of_k = {k > 0 for k, _ in sizes}
    assert context.attn_rot_k == (of_k.pop() if len(of_k) == 1 else None)
