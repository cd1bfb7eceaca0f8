"""How a cell ended: the decision table, on what engines really print."""

import re
from typing import Any

import pytest
from kvsweep.engine.perplexity_log import corpus_shortage
from kvsweep.measure.record import JOB_TIME_LIMIT, how_it_ended
from kvsweep.program import last_line
from kvsweep.tables import status
from kvsweep.tables.status import (
    MEASURED,
    STATUSES,
    Verdict,
    without_result,
)
from support import ROOT, recorded


def run(**values: Any) -> dict[str, Any]:
    """What run.json says of a process; without values one that exited with 1."""
    return {
        "exit_status": 1, "signal": None, "ended_by": None, "killed_for_memory": False, "time_limit_seconds": 10800,
    } | values  # fmt: skip


KILLED = {"exit_status": None, "signal": "SIGKILL"}
NO_RESULT = "llama-bench ended without this result"


def test_a_measured_cell_has_no_reason() -> None:
    assert Verdict("measured") == MEASURED
    assert MEASURED.status in STATUSES


def test_a_job_that_the_cluster_ended_says_how_long_it_had() -> None:
    verdict = without_result(run(ended_by=JOB_TIME_LIMIT, wall_seconds=3600.0), "last line\n", NO_RESULT)
    assert verdict == Verdict(
        "timeout", "not finished after 1 h 00 min, all that the cluster gave its job", "last line"
    )


ON_THE_CPU = "ggml_aligned_malloc: insufficient memory (attempted to allocate 7813.00 MB)"
ON_CUDA = (
    "ggml_backend_cuda_buffer_type_alloc_buffer: allocating 250080.00 MiB on device 0: "
    "cudaMalloc failed: out of memory"
)


@pytest.mark.parametrize(
    ("engine", "line"), [("fork", ON_THE_CPU), ("mainline", ON_THE_CPU), ("fork-cuda", ON_CUDA)]
)
def test_no_memory_for_the_cache(engine: str, line: str) -> None:
    text = recorded(f"{engine}/bench-f16-f16-oom.stderr")
    assert without_result(run(), text, NO_RESULT) == Verdict(
        "oom", "the engine could not allocate memory", line
    )


@pytest.mark.parametrize(
    "line",
    [
        ON_THE_CPU,
        "alloc_tensor_range: failed to allocate CPU buffer of size 8192524288",
        "llama_init_from_model: failed to initialize the context: failed to allocate buffer for kv cache",
        "terminate called after throwing an instance of 'std::bad_alloc'",
        ON_CUDA,
        "CUDA error: out of memory",
        "error: Insufficient Memory (00000008:kIOGPUCommandBufferCallbackErrorOutOfMemory)",
        "ggml_metal_synchronize: error: command buffer 0 failed with status 5",
        "ggml_vulkan: vk::Device::allocateMemory: ErrorOutOfDeviceMemory",
        "ggml_vulkan: Device memory allocation of size 1073741824 failed.",
        "llama_init_from_model: failed to initialize the context: failed to allocate compute pp buffers",
    ],
)
def test_every_wording_of_running_out_of_memory(line: str) -> None:
    text = f"llama_model_loader: loaded\n{line}\nmain: error: failed to create context with model 'm.gguf'\n"
    verdict = without_result(run(), text, NO_RESULT)
    assert (verdict.status, verdict.log_line) == ("oom", line)


def test_killed_by_the_system_for_want_of_memory() -> None:
    assert without_result(run(**KILLED, killed_for_memory=True), "test 1\ntest 2\n\n", NO_RESULT) == Verdict(
        "oom", "the system killed the engine because memory ran out", "test 2"
    )


def test_ended_at_the_time_limit() -> None:
    text = recorded("fork-cuda/bench-q5_1-q5_1-fallback.stderr")
    assert without_result(run(**KILLED, ended_by="time limit"), text, NO_RESULT) == Verdict(
        "timeout",
        "not finished after the limit of 3 h 00 min",
        "ggml_backend_cuda_graph_compute: CUDA graph warmup complete",
    )


def test_the_time_limit_counts_before_what_the_log_says() -> None:
    text = recorded("fork/bench-f16-f16-oom.stderr")
    assert without_result(run(**KILLED, ended_by="time limit"), text, NO_RESULT).status == "timeout"


def test_a_cache_type_that_the_engine_does_not_know() -> None:
    text = "\n".join(
        recorded(f"mainline/bench-turbo3-unsupported.{stream}") for stream in ("stdout", "stderr")
    )
    assert without_result(run(), text, NO_RESULT) == Verdict(
        "unsupported", "the engine refuses these cache types", "error: invalid parameter for argument: -ctk"
    )


def test_half_a_model() -> None:
    verdict = without_result(run(), recorded("fork/bench-model-truncated.stderr"), NO_RESULT)
    assert (verdict.status, verdict.reason) == ("unsupported", "the engine cannot load the model")
    assert verdict.log_line is not None and verdict.log_line.endswith("model is corrupted or incomplete")


@pytest.mark.parametrize(
    ("values", "ended"),
    [
        ({}, "exit status 1"),
        ({"exit_status": 0}, "exit status 0"),
        ({"exit_status": None, "signal": "SIGSEGV"}, "SIGSEGV"),
    ],
)
def test_anything_else_is_a_crash(values: dict[str, Any], ended: str) -> None:
    assert how_it_ended(run(**values)) == ended
    assert without_result(run(**values), "one\ntwo\n", NO_RESULT) == Verdict(
        "crashed", f"{NO_RESULT} ({ended})", "two"
    )


@pytest.mark.parametrize("name", ["kld-baseline-truncated", "kld-context-mismatch"])
def test_a_baseline_that_does_not_fit_is_no_fault_of_the_pair(name: str) -> None:
    text = "\n".join(recorded(f"fork/{name}.{stream}") for stream in ("stdout", "stderr"))
    assert without_result(run(exit_status=0), text, "what is wrong").status == "crashed"


def test_a_cell_that_was_not_started() -> None:
    skipped = {"skipped": "predicted to take 7 h 05 min, over the limit of 3 h"}
    assert without_result(skipped, "", NO_RESULT) == Verdict("skipped", skipped["skipped"])


def test_an_engine_that_printed_nothing() -> None:
    assert without_result(run(exit_status=0), "", NO_RESULT).log_line is None
    assert last_line(" \n\n") is None
    assert last_line("one\n two \n\n") == "two"


def test_a_corpus_that_is_too_short() -> None:
    assert corpus_shortage(recorded("fork/baseline-corpus-too-short.stderr")) == (52996, 65536)
    assert corpus_shortage(recorded("fork/baseline-f16.stderr")) is None
    assert corpus_shortage("perplexity: you need at least 2048 tokens to evaluate") == (None, 2048)


def test_the_documentation_has_the_same_table() -> None:
    def rows(text: str) -> list[tuple[str, str]]:
        found = re.findall(r"^\| (.+?) \| `?([a-z]+)`? \|$", text, re.M)
        return [(evidence, outcome) for evidence, outcome in found if outcome in STATUSES]

    documented = (
        (ROOT / "docs" / "results.md").read_text().partition("## How a cell ended")[2].partition("## ")[0]
    )
    assert rows(documented) == rows(status.__doc__ or "")
    assert [outcome for _, outcome in rows(documented)] == [
        "skipped", "measured", "timeout", "oom", "unsupported", "crashed",
    ]  # fmt: skip
