"""Lines by which engines say that something failed: the table of wordings, and what is found by it."""

import re

import pytest
from kvsweep.engine.bench_output import failed_computations
from kvsweep.engine.failures import STEMS, failures, first_line
from kvsweep.engine.wordings import (
    ABORT,
    COMPUTATION,
    HARMLESS,
    MALLOC,
    MEANINGS,
    MEMORY,
    MODEL,
    REFUSAL,
    WORDINGS,
    Wording,
)
from kvsweep.tables.status import without_result
from support import RECORDED, ROOT, TESTS, recorded

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
        elif wording.form == MALLOC and before.startswith("can't malloc"):
            assert meanings == {MEMORY}  # the cause stands in the line
        else:
            assert wording.meaning in meanings, text


def test_no_wording_stands_twice_and_every_one_is_looked_at() -> None:
    assert len({(wording.meaning, wording.form) for wording in WORDINGS}) == len(WORDINGS)
    assert {wording.meaning for wording in WORDINGS} == set(MEANINGS)
    for wording in WORDINGS:
        literal = re.split("[#*]", wording.form)
        assert any(stem in part.lower() for stem in STEMS for part in literal), wording
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


LINES = [
    tuple(line.split("\t"))
    for line in (TESTS / "data" / "failures.tsv").read_text(encoding="utf-8").splitlines()
    if not line.startswith("#")
]
OF_WORD = {
    "memory": (MEMORY, "oom"),
    "computation": (COMPUTATION, "crashed"),
    "refusal": (REFUSAL, "unsupported"),
    "model": (MODEL, "unsupported"),
    "abort": (ABORT, "crashed"),
}
RUN = {"ended_by": None, "killed_for_memory": False, "signal": None, "exit_status": 1}


@pytest.mark.parametrize(("word", "line"), LINES, ids=lambda value: value[:60])
def test_lines_by_the_format_strings_of_all_back_ends(word: str, line: str) -> None:
    log = f"llama_kv_cache: layer   0: dev = X\n{line}\nmain: the last line\n"
    verdict = without_result(RUN, log, "no result")
    denied = failed_computations("", log)
    if word == "nothing":
        assert not failures(log)
        assert (verdict.status, verdict.log_line, denied) == ("crashed", "main: the last line", {})
        return
    meaning, status = OF_WORD[word]
    assert of(meaning, log) == line.strip()
    assert (verdict.status, verdict.log_line) == (status, line.strip())
    if word == "computation":
        assert denied == {"prefill": line.strip(), "decode": line.strip()}


# How else the same line comes: stamped, without a time, coloured, over a terminal, behind a message that was not ended.
GUISES = (
    "0.00.220.126 E {}\n",
    "E {}\n",
    "\x1b[34m0.00.220.126\x1b[0m \x1b[31mE {}\x1b[0m\n",
    "\x1b[32mI \x1b[0m{}\r\n",
    "kl_divergence: 2.63 seconds per pass - ETA 0.18.387.215 E {}\n",
    "ggml_cuda_host_malloc: failed to allocate 1.00 MiB of pinned memory: out of memory0.18.387.215 E {}\n",
)


@pytest.mark.parametrize("guise", GUISES)
def test_a_line_means_the_same_in_every_guise(guise: str) -> None:
    for word, line in LINES:
        for said in (line, line.upper(), line.lower()):
            found = {failure.meaning for failure in failures(f"first\n{guise.format(said)}last\n")}
            assert (OF_WORD[word][0] in found) if word != "nothing" else not found, said


def test_an_allocation_that_failed_for_another_cause_is_no_want_of_memory() -> None:
    log = (
        "f: allocating 1.00 MiB on device 0: cudaMalloc failed: {}\n"
        "alloc_tensor_range: failed to allocate CUDA0 buffer of size 1048576\n"
        "llama_init_from_model: failed to initialize the context: failed to allocate buffer for kv cache\n"
    )
    assert without_result(RUN, log.format("out of memory"), "").status == "oom"
    busy = without_result(RUN, log.format("all CUDA-capable devices are busy or unavailable"), "")
    assert busy.status == "crashed" and "busy" in (busy.log_line or "")


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


def test_another_wrong_argument_is_not_a_refused_cache_type() -> None:
    assert of(REFUSAL, "error: invalid parameter for argument: -ngl\n") is None


@pytest.mark.parametrize("name", LOGS)
def test_recorded_logs_have_no_false_explanations(name: str) -> None:
    text = recorded(name)
    assert (of(REFUSAL, text) is not None) == name.endswith("unsupported.stderr")
    assert (of(MODEL, text) is not None) == name.endswith("model-truncated.stderr")
