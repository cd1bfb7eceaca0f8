"""Whether two cells may be compared: what has to agree, and what stands beside."""

from __future__ import annotations

from typing import Any

import pytest
from kvsweep.analysis.comparable import comparability, options_of, reference_of, set_ups_differ
from synthetic_tables import quality_row, throughput_row

BENCH = "llama-bench -m m.gguf -ctk q8_0 -ctv q8_0 -fa 1 -ngl 99 -b 2048 -ub 512 -p 512 -n 128 -d 0 -r 5 -o jsonl -v"
SCORING = (
    "llama-perplexity -m m.gguf -f text -c 4096 -ctk q8_0 -ctv q8_0 -fa on -b 2048 -ub 512 --kl-divergence"
)
QUALITY: dict[str, Any] = quality_row("q8_0", "q8_0") | {
    "corpus_sha256": "aa" * 32, "chunks": 16, "positions": "half", "method": "perplexity", "command": SCORING,
    "reference": "fork-metal",
}  # fmt: skip
SPEED: dict[str, Any] = throughput_row("q8_0", "q8_0", 0) | {"command": BENCH, "fallback": False}
# Everything else of the same cell on another machine.
ELSEWHERE = {"source": "slice:attic", "machine": "NVIDIA H200"}

HAS_TO_AGREE = [
    ({"model_sha256": "00" * 32}, "model"),
    ({"engine_family": "llama.cpp"}, "engine family"),
    ({"effective_ctk": "f16"}, "effective pair"),
]
OF_QUALITY = [
    ({"corpus_sha256": "00" * 32}, "text"),
    ({"n_ctx": 8192}, "context"),
    ({"chunks": 4}, "windows"),
    ({"positions": "16x256"}, "positions"),
    ({"reference": "mainline"}, "f16 of reference"),
]
OF_SPEED = [({"depth": 8192}, "depth"), ({"phase": "prefill"}, "phase")]
MAY_DIFFER = [
    ({"engine_commit": "69d8e4be4"}, "engine commit"),
    ({"backend": "cuda"}, "back end"),
    ({"machine": "NVIDIA H200"}, "machine"),
    ({"rotated_k": True}, "rotation of K"),
    ({"rotated_v": True}, "rotation of V"),
    ({"fallback": True}, "work left the device"),
]


@pytest.mark.parametrize(
    ("row", "changed", "what"),
    [
        *((QUALITY, *one) for one in (*HAS_TO_AGREE, *OF_QUALITY)),
        *((SPEED, *one) for one in (*HAS_TO_AGREE, *OF_SPEED)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_has_to_agree(row: dict[str, Any], changed: dict[str, Any], what: str) -> None:
    found = comparability(row, row | changed)
    assert found.comparable is False
    assert [text.partition(":")[0] for text in found.prevents] == [what]
    assert found.differs == found.prevents
    # A side that does not say it is not known to differ. An effective pair that is not stated is the one asked for.
    silent = comparability(row, row | dict.fromkeys(changed))
    assert (silent.comparable, silent.prevents) == (None, []) and what in silent.unknown


@pytest.mark.parametrize("row", [QUALITY, SPEED], ids=["quality", "speed"])
@pytest.mark.parametrize(("changed", "what"), MAY_DIFFER, ids=[what for _, what in MAY_DIFFER])
def test_what_stands_beside(row: dict[str, Any], changed: dict[str, Any], what: str) -> None:
    found = comparability(row, row | changed)
    assert (found.comparable, found.prevents) == (True, [])
    assert [text.partition(":")[0] for text in found.differs] == [what]
    silent = comparability(row, row | dict.fromkeys(changed))
    assert (silent.comparable, silent.differs, silent.unknown) == (True, [], [what])


@pytest.mark.parametrize(
    ("command", "differs"),
    [
        (BENCH.replace("-b 2048", "-b 512"), ["batch: ours 2048, theirs 512"]),
        (BENCH.replace("-ub 512", "-ub 64"), ["micro-batch: ours 512, theirs 64"]),
        (f"{BENCH} -t 8", ["threads: ours not given, theirs 8"]),
        (f"{BENCH} --kv-tail-tokens 128", ["option --kv-tail-tokens: ours not given, theirs 128"]),
        (f"{BENCH} --no-host", ["option --no-host: ours not given, theirs given"]),
        (f"LLAMA_ATTN_ROT_DISABLE=1 {BENCH}", ["knob LLAMA_ATTN_ROT_DISABLE: ours not given, theirs 1"]),
        (BENCH.replace("m.gguf", "'/models/other place/m.gguf'"), []),
        (BENCH.replace("-p 512", "-p 64"), []),  # of the prompt the tokens timed speak
    ],
)
def test_batch_options_and_knobs_are_read_from_the_command(command: str, differs: list[str]) -> None:
    found = comparability(SPEED, SPEED | {"command": command})
    assert (found.comparable, found.differs) == (True, differs)


def test_another_prompt_stands_beside() -> None:
    assert comparability(SPEED, SPEED | {"n_tokens": 64}).differs == ["tokens timed: ours 128, theirs 64"]


def test_two_methods_are_two_programs() -> None:
    scored = QUALITY | {"method": "scorer", "command": "kvsweep-scorer -m m.gguf --pairs q8_0 -b 512 -ub 512"}
    found = comparability(QUALITY, scored)
    assert found.comparable
    assert found.differs == ["method: ours perplexity, theirs scorer", "batch: ours 2048, theirs 512"]


def test_the_hash_decides_which_model_and_which_text() -> None:
    renamed = QUALITY | ELSEWHERE | {"model": "another name", "corpus": "another"}
    assert comparability(QUALITY, renamed).comparable
    nameless = renamed | {"model_sha256": None, "corpus_sha256": None}
    assert [text.partition(":")[0] for text in comparability(QUALITY, nameless).prevents] == ["model", "text"]
    same_names = QUALITY | {"model_sha256": None, "corpus_sha256": None}
    found = comparability(QUALITY, same_names)
    assert (found.comparable, found.unknown) == (None, ["model", "text"])
    assert set_ups_differ(QUALITY, renamed) == []
    assert len(set_ups_differ(QUALITY, nameless)) == 2


def test_each_against_its_own_f16_is_the_same_reference() -> None:
    mainline = QUALITY | {"engine": "mainline", "reference": "mainline"}
    assert [reference_of(row) for row in (QUALITY, mainline, QUALITY | {"reference": None})] == [
        *("its own", "its own"),
        None,
    ]
    assert comparability(QUALITY, mainline).comparable
    against_mainline = QUALITY | {"reference": "mainline"}
    assert comparability(against_mainline, mainline).comparable  # mainline's own is the one of both
    found = comparability(against_mainline, QUALITY)
    assert found.prevents == ["f16 of reference: ours mainline, theirs its own"]
    assert comparability(against_mainline, QUALITY, "ppl").comparable  # a perplexity is from no f16
    elsewhere = against_mainline | ELSEWHERE
    assert comparability(against_mainline, elsewhere).comparable is None  # which mainline, nobody says
    commits = [{"reference_commit": commit} for commit in ("one", "two")]
    assert comparability(against_mainline | commits[0], elsewhere | commits[0]).comparable
    assert comparability(against_mainline | commits[0], elsewhere | commits[1]).comparable is False


def test_families_may_differ_where_one_f16_is_the_reference_of_both() -> None:
    here = QUALITY | {"engine": "mainline", "reference": "mainline", "engine_family": "llama.cpp"}
    fork = QUALITY | {"reference": "mainline", "engine_family": "llama.cpp with turbo"}
    found = comparability(here, fork, "kld_mean")
    assert found.comparable and "engine family: ours llama.cpp, theirs llama.cpp with turbo" in found.differs
    assert comparability(here, fork, "ppl").prevents == [
        "engine family: ours llama.cpp, theirs llama.cpp with turbo"
    ]
    own = fork | {"reference": fork["engine"]}
    assert comparability(here, own, "kld_mean").comparable is False


def test_a_command_that_is_none_says_nothing() -> None:
    assert options_of("llama-bench 'not closed") == {}
    assert options_of("") == {}
