"""Lines by which engines say that something failed: the table of wordings, and what is found by it."""

import re

import pytest
from kvsweep.engine.failures import STEMS, failures, first_line
from kvsweep.engine.wordings import (
    HARMLESS,
    MEANINGS,
    MEMORY,
    MODEL,
    REFUSAL,
    WORDINGS,
    Wording,
)
from support import RECORDED, ROOT, recorded

LOGS = sorted(str(path.relative_to(RECORDED)) for path in RECORDED.glob("*/*.std*"))


def of(meaning: str, text: str) -> str | None:
    return first_line(text, meaning)


def example(wording: Wording) -> str:
    """A line of this wording."""
    return wording.form.replace("#", "512").replace("*", "x")


@pytest.mark.parametrize("wording", WORDINGS, ids=lambda wording: wording.form)
def test_every_wording_is_found_wherever_it_stands_in_a_line(wording: Wording) -> None:
    line = example(wording)
    for before, after in (
        ("", ""),
        ("some_function: ", " and more"),
        ("0.00.220.126 E some_function: ", ""),
        ("kl_divergence: 2.63 seconds per pass - ETA 0.18.387.215 E f: ", ""),  # that line was not ended
        ("can't malloc 512 Bytes memory on device", ""),  # neither was this one
    ):
        text = f"llama_context: n_ctx = 512\n{before}{line}{after}\nmain: bye\n"
        meanings = {failure.meaning for failure in failures(text)}
        if wording.meaning == HARMLESS:
            assert not meanings
        else:
            assert wording.meaning in meanings, text


def test_no_wording_stands_twice_and_every_one_is_looked_at() -> None:
    assert len({(wording.meaning, wording.form) for wording in WORDINGS}) == len(WORDINGS)
    assert {wording.meaning for wording in WORDINGS} == set(MEANINGS)
    for wording in WORDINGS:
        literal = re.split("[#*]", wording.form)
        assert any(stem in part for stem in STEMS for part in literal), wording
        assert len(wording.fixed) >= 3 and wording.backends and wording.where


def test_the_documentation_has_the_same_table() -> None:
    text = (ROOT / "docs" / "wordings.md").read_text(encoding="utf-8")
    rows = [
        tuple(cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1])
        for line in text.splitlines()
        if line.startswith("| ") and "`" in line.split("|")[2]
    ]
    documented = {
        (backends, form.strip("`"), where) for backends, form, where in (r for r in rows if len(r) == 3)
    }
    assert documented == {(w.backends, w.form.strip(), w.where) for w in WORDINGS}
    for meaning, what in MEANINGS.items():
        assert f"## {meaning[0].upper()}{meaning[1:]}\n\n{what[0].upper()}{what[1:]}" in text


@pytest.mark.parametrize(
    "line",
    [
        "ggml_aligned_malloc: insufficient memory (attempted to allocate 7813.00 MB)",
        "alloc_tensor_range: failed to allocate CPU buffer of size 8192524288",
        "ggml_backend_cpu_buffer_type_alloc_buffer: failed to allocate buffer of size 8192524288",
        "llama_init_from_model: failed to initialize the context: failed to allocate buffer for kv cache",
        "llama_init_from_model: failed to initialize the context: failed to allocate compute pp buffers",
        "graph_reserve: failed to allocate compute buffers",
        "  what():  std::bad_alloc",
        "ggml_backend_cuda_buffer_type_alloc_buffer: allocating 250080.00 MiB on device 0:"
        " cudaMalloc failed: out of memory",
        "CUDA error: out of memory",
        "ROCm error: out of memory",
        "llama_model_load: error loading model: unable to allocate CUDA0 buffer",
        "error: Insufficient Memory (00000008:kIOGPUCommandBufferCallbackErrorOutOfMemory)",
        "ggml_metal_synchronize: error: command buffer 0 failed with status 5",
        "ggml_metal_buffer_init: error: failed to allocate buffer, size = 16384.00 MiB",
        "ggml_vulkan: Device memory allocation of size 4294967296 failed.",
        "ggml_vulkan: vk::Device::allocateMemory: ErrorOutOfDeviceMemory",
    ],
)
def test_running_out_of_memory(line: str) -> None:
    log = f"llama_kv_cache: layer   0: dev = CPU\n{line}\nmain: error: failed to create context with model\n"
    assert of(MEMORY, log) == line.strip()
    stamped = f"0.00.220.126 I first\n0.00.220.126 E {line}\n"
    assert line.strip() in (of(MEMORY, stamped) or "")


def test_a_metal_command_buffer_can_fail_for_another_reason() -> None:
    failed = "ggml_metal_synchronize: error: command buffer 0 failed with status 5\n"
    timeout = "error: Caused GPU Timeout Error (00000002:kIOGPUCommandBufferCallbackErrorTimeout)\n"
    memory = "error: Insufficient Memory (00000008:kIOGPUCommandBufferCallbackErrorOutOfMemory)\n"
    assert of(MEMORY, failed + timeout) is None
    assert of(MEMORY, failed + memory) == memory.strip()
    assert of(MEMORY, failed) == failed.strip()


@pytest.mark.parametrize("engine", ["fork", "mainline", "fork-cuda"])
def test_recorded_runs_out_of_memory(engine: str) -> None:
    line = of(MEMORY, recorded(f"{engine}/bench-f16-f16-oom.stderr"))
    assert line is not None
    assert (
        "cudaMalloc failed" if engine == "fork-cuda" else "ggml_aligned_malloc: insufficient memory"
    ) in line


@pytest.mark.parametrize("name", [name for name in LOGS if "-oom" not in name])
def test_other_logs_do_not_look_like_running_out_of_memory(name: str) -> None:
    assert of(MEMORY, recorded(name)) is None


@pytest.mark.parametrize(
    "line",
    [
        "error: invalid parameter for argument: -ctk",
        'error while handling argument "-ctk": Unsupported cache type: turbo3',
        "llama_init_from_model: K cache type q4_0 with block size 32 does not divide n_embd_head_k=72",
        "llama_init_from_model: quantized V cache requires flash_attn to be enabled",
        "llama_init_from_model: V cache quantization requires flash_attn",
        "llama_init_from_model: model does not support different K (q8_0) and V (q4_0) cache types",
        "ggml-backend.cpp:941: pre-allocated tensor (cache_k_l0 (view)) in a buffer (Vulkan0) that cannot run"
        " the operation (SET_ROWS)",
    ],
)
def test_a_refused_cache_type(line: str) -> None:
    assert of(REFUSAL, f"something\n{line}\nusage:\n") == line


def test_another_wrong_argument_is_not_a_refused_cache_type() -> None:
    assert of(REFUSAL, "error: invalid parameter for argument: -ngl\n") is None


@pytest.mark.parametrize(
    "line",
    [
        "llama_model_load: error loading model: tensor 'x' data is not within the file bounds",
        "llama_model_load: error loading model vocabulary: unknown pre-tokenizer",
        "main: error: failed to load model 'truncated.gguf'",
        "common_init_from_params: failed to load model 'nofile.gguf'",
        "main: unable to load model",
        "gguf_init_from_file_impl: invalid magic characters: 'abcd', expected 'GGUF'",
    ],
)
def test_a_model_that_cannot_be_loaded(line: str) -> None:
    assert of(MODEL, f"something\n{line}\n") == line


@pytest.mark.parametrize("name", LOGS)
def test_recorded_logs_have_no_false_explanations(name: str) -> None:
    text = recorded(name)
    assert (of(REFUSAL, text) is not None) == name.endswith("unsupported.stderr")
    assert (of(MODEL, text) is not None) == name.endswith("model-truncated.stderr")
