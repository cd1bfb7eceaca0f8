"""llama-bench's results: what is read, what is checked, what is refused."""

import json
from typing import Any

import pytest
from kvsweep.engine import bench_output
from kvsweep.errors import UnparsableOutput
from support import RECORDED


def recorded(name: str) -> str:
    return (RECORDED / name).read_text(encoding="utf-8")


def line(**changes: Any) -> str:
    """A line as llama-bench prints it: 128 prompt tokens in 2 s and in 4 s. None leaves a field out."""
    fields: dict[str, Any] = {
        "build_commit": "abc1234", "backends": "CPU", "cpu_info": "AMD EPYC", "gpu_info": "",
        "type_k": "q8_0", "type_v": "turbo4", "n_batch": 2048, "flash_attn": 1,
        "n_prompt": 128, "n_gen": 0, "n_depth": 0, "test_time": "2026-04-24T12:00:00Z",
        "avg_ns": 3_000_000_000, "avg_ts": 48.0, "stddev_ts": 22.627417,
        "samples_ns": [2_000_000_000, 4_000_000_000], "samples_ts": [64, 32],
    }  # fmt: skip
    fields.update(changes)
    return json.dumps({name: value for name, value in fields.items() if value is not None}) + "\n"


def test_a_recorded_run() -> None:
    tests = bench_output.parse_bench(recorded("fork/bench-q8_0-turbo4.jsonl"))
    assert [(test.phase, test.n_tokens, test.n_depth) for test in tests] == [
        ("prefill", 128, 0),
        ("decode", 16, 0),
        ("prefill", 128, 512),
        ("decode", 16, 512),
        ("prefill", 128, 2048),
        ("decode", 16, 2048),
    ]
    assert {(test.type_k, test.type_v) for test in tests} == {("q8_0", "turbo4")}
    assert tests[0].tokens_per_second == pytest.approx(3308.561, abs=0.01)
    assert tests[0].gpu_info is None  # absent is None, never an empty text


@pytest.mark.parametrize(
    "name", sorted(str(p.relative_to(RECORDED)) for p in RECORDED.rglob("bench-*.jsonl"))
)
def test_every_recorded_run_is_understood(name: str) -> None:
    tests = bench_output.parse_bench(recorded(name))
    assert len(tests) == len(recorded(name).splitlines())


def test_rates_come_from_the_samples_at_full_precision() -> None:
    (test,) = bench_output.parse_bench(line())
    assert test.samples_tokens_per_second == (64.0, 32.0)
    assert test.tokens_per_second == 48.0
    assert test.tokens_per_second_stddev == pytest.approx(22.627416998)


def test_one_repetition_has_no_standard_deviation() -> None:
    one = line(samples_ns=[2_000_000_000], samples_ts=[64], avg_ns=2_000_000_000, avg_ts=64, stddev_ts=0)
    (test,) = bench_output.parse_bench(one)
    assert test.tokens_per_second_stddev is None


def test_equal_samples_may_have_a_standard_deviation_of_minus_nan() -> None:
    equal = line(
        samples_ns=[2_000_000_000] * 2, samples_ts=[64, 64], avg_ns=2_000_000_000, avg_ts=64, stddev_ts=0
    )
    (test,) = bench_output.parse_bench(equal.replace('"stddev_ts": 0', '"stddev_ts": -nan'))
    assert test.tokens_per_second_stddev == 0.0


def test_fields_come_and_go() -> None:
    (test,) = bench_output.parse_bench(line(a_new_field={"x": 1}, n_batch=None, gpu_info=None))
    assert test.gpu_info is None


@pytest.mark.parametrize("text", ["", "\n"])
def test_no_output_is_no_tests(text: str) -> None:
    assert bench_output.parse_bench(text) == ()


@pytest.mark.parametrize("ending", ["", "\n"])
def test_a_cut_last_line_is_left_out(ending: str) -> None:
    whole, cut = line(), line(n_depth=512)[:-30]
    assert bench_output.parse_bench(whole + cut + ending) == bench_output.parse_bench(whole)


def test_a_whole_last_line_counts_without_its_end_of_line() -> None:
    assert bench_output.parse_bench(line().rstrip("\n")) == bench_output.parse_bench(line())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (line() + line(n_depth=0, test_time="2026-04-24T13:00:00Z"), "lines 1 and 2 .* are the same test"),
        (line() + line(model_type=":lama"), "lines 1 and 2 .* are the same test"),
        (line() + line(n_depth=512, build_commit="fff"), "line 2 .* another build or machine"),
        (line() + line(n_depth=512, n_batch=None), "line 2 .* another build or machine"),
        (line(type_v="0.00"), "the cache type '0.00'"),
        (line(type_k=None), "type_k is missing"),
        (line(samples_ns=None), "samples_ns is missing"),
        (line(n_prompt="128"), "n_prompt is '128', not a whole number"),
        (line(n_gen=128), "neither prefill nor decode"),
        (line(n_prompt=0), "neither prefill nor decode"),
        (line(n_depth=-1), "a depth of -1"),
        (line(type_k=""), "the cache type ''"),
        (line(samples_ns=[], samples_ts=[]), r"the durations \[\]"),
        (line(samples_ns=[2_000_000_000, 0]), "the durations"),
        (line(samples_ts=[64, 33]), "samples_ts .* does not follow"),
        (line(samples_ts=[64]), "samples_ts .* does not follow"),
        (line(n_prompt=12), "samples_ts .* does not follow"),
        (line(avg_ts=48.1), "avg_ts is 48.1, but the mean of the samples is 48"),
        (line(avg_ns=3_000_000_001), "avg_ns 3000000001 does not follow"),
        (line(stddev_ts=22.6), "stddev_ts is 22.6, but the samples' is 22.627417"),
        (line(avg_ts=float("nan")), "avg_ts is nan, not a finite number"),
        (line(samples_ts=[64, float("inf")]), "samples_ts .* not a list of finite numbers"),
    ],
)
def test_what_is_refused(text: str, message: str) -> None:
    with pytest.raises(UnparsableOutput, match=message):
        bench_output.parse_bench(text)


@pytest.mark.parametrize(("position", "phase"), [(0, "prefill"), (1, "decode"), (2, "decode")])
def test_a_failure_can_be_said_among_the_results(position: int, phase: str) -> None:
    """ik_llama.cpp's Metal back end says it on stdout."""
    lines = [line(n_prompt=128, n_gen=0), line(n_prompt=0, n_gen=128)]
    lines.insert(position, "ggml_metal_graph_compute: command buffer 1 failed with status 5\n")
    stdout = "".join(lines)
    assert set(bench_output.failed_computations(stdout, FIRST + SECOND)) == {phase}
    assert [test.phase for test in bench_output.results(stdout, FIRST + SECOND)] == [
        other for other in ("prefill", "decode") if other != phase
    ]


def test_two_lines_run_together_are_left_out() -> None:
    """The head of one line and the tail of the next can form valid JSON with a field twice."""
    first, second = line(), line(n_depth=512)
    merged = first[: first.index('"n_gen"')] + second[second.index('"n_prompt"') :]
    (test,) = bench_output.parse_bench(merged + line(n_depth=1024))
    assert test.n_depth == 1024


@pytest.mark.parametrize(
    "foreign",
    [
        "usage: llama-bench [options]\n",
        "[New LWP 33273]\n#0  0x00007f1aeacb142f in __GI___wait4 () at wait4.c:30\n",
        "[]\n",
        '{"level": "info", "message": "a log in JSON"}\n',
        line(n_depth=64)[:-30] + "\n",  # torn
        "\n",
    ],
)
def test_foreign_lines_among_the_results_are_left_out(foreign: str) -> None:
    whole = bench_output.parse_bench(line() + line(n_depth=512))
    for text in (
        foreign + line() + line(n_depth=512),
        line() + foreign + line(n_depth=512),
        line() + line(n_depth=512) + foreign,
    ):
        assert bench_output.parse_bench(text) == whole
    assert bench_output.parse_bench(foreign) == ()


FIRST, SECOND = "llama-bench: benchmark 1/2: starting\n", "llama-bench: benchmark 2/2: starting\n"
CONTEXT = "llama_context: constructing llama_context\n"
FAILED = "ggml_metal_synchronize: error: command buffer 1 failed with status 5\n"


@pytest.mark.parametrize(
    ("log", "phases"),
    [
        (FIRST + CONTEXT + SECOND + CONTEXT, set()),
        (FIRST + CONTEXT + FAILED + SECOND + CONTEXT, {"prefill"}),
        (FIRST + CONTEXT + SECOND + FAILED + CONTEXT, {"decode"}),
        (FIRST + CONTEXT + SECOND + CONTEXT + FAILED, {"decode"}),
        (CONTEXT + FAILED + CONTEXT, {"prefill"}),
        (CONTEXT + "0.01.000.000 I " + CONTEXT + FAILED, {"decode"}),
        # Where the log does not tell whose failure it was, neither counts.
        (FAILED, {"prefill", "decode"}),
    ],
)
def test_a_failed_computation_belongs_to_the_test_that_ran(log: str, phases: set[str]) -> None:
    assert set(bench_output.failed_computations("", log)) == phases
    both = line(n_prompt=128, n_gen=0) + line(n_prompt=0, n_gen=128)
    assert {test.phase for test in bench_output.results(both, log)} == {"prefill", "decode"} - phases


def test_a_test_reads_or_writes_tokens() -> None:
    with pytest.raises(UnparsableOutput, match="neither prefill nor decode"):
        bench_output.parse_bench(line(n_prompt=0, n_gen=0))


def test_progress() -> None:
    stderr = recorded("mainline/bench-q4_0-q4_0.stderr")
    assert bench_output.bench_progress(stderr) == "test 6 of 6: generation run 3/3"
    assert bench_output.bench_progress("llama-bench: benchmark 1/4: starting\n") == "test 1 of 4: starting"
    cached = "llama-bench: benchmark 2/4: depth run 1/3 (cached)\nllama-bench: benchm"
    assert bench_output.bench_progress(cached) == "test 2 of 4: depth run 1/3"
    assert bench_output.bench_progress("") is None
    assert bench_output.bench_progress("llama-bench: benchmark x/y: what?\n") is None


def test_how_often_the_cache_was_filled() -> None:
    line = "llama-bench: benchmark {}/2: depth run {}/3{}\n"
    cached = "".join(line.format(1, n, " (cached)" if n > 1 else "") for n in (1, 2, 3))
    assert bench_output.fills(cached + line.format(2, 1, " (cached)")) == 1
    assert bench_output.fills(cached + line.format(2, 1, "")) == 2
    assert bench_output.fills("llama-bench: benchmark 1/2: prompt run 1/3\n") == 0
