"""The scorer as one more target of an engine's CMake tree: a small tree shaped like llama.cpp, a real compiler."""

import shutil
from pathlib import Path

import pytest
from kvsweep.engine import build as engine_build
from kvsweep.engine import build_manifest
from kvsweep.errors import KvsweepError
from support import ROOT

pytestmark = pytest.mark.skipif(shutil.which("c++") is None, reason="no C++ compiler")

LISTS = """\
cmake_minimum_required(VERSION 3.14)
project("llama.cpp" C CXX)
file(MAKE_DIRECTORY "${CMAKE_BINARY_DIR}/bin")
add_library(llama STATIC src/llama.cpp)
target_include_directories(llama PUBLIC include ggml/include)
target_compile_features(llama PUBLIC cxx_std_17)
"""


def tree(root: Path, llama_h: str) -> Path:
    """An engine's source with this header, in which nothing works but everything links."""
    for name, text in {
        "CMakeLists.txt": LISTS,
        "include/llama.h": llama_h,
        "ggml/include/ggml-backend.h": "",
        "src/llama.cpp": '#include "llama.h"\n',
    }.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def build(root: Path, llama_h: str) -> str | None:
    source, made, log = tree(root / "source", llama_h), root / "build", root / "log"
    engine_build.build(source, made, {}, ["llama"], 2, log, lambda _line: None)
    return engine_build.build_scorer(source, made, 2, log, lambda _line: None)


# The API of 2026 that the scorer uses, in the engine's own names; every function does as little as it can.
LLAMA_H = """\
#pragma once
#include <cstddef>
#include <cstdint>
enum ggml_type { GGML_TYPE_F32, GGML_TYPE_F16, GGML_TYPE_COUNT };
struct llama_model; struct llama_context; struct llama_vocab; struct llama_memory_i;
typedef llama_memory_i * llama_memory_t;
typedef int32_t llama_token; typedef int32_t llama_pos; typedef int32_t llama_seq_id;
struct llama_model_params { int32_t n_gpu_layers; };
FLASH
struct llama_context_params { uint32_t n_ctx, n_batch, n_ubatch, n_seq_max; int32_t n_threads, n_threads_batch;
  FIELD ggml_type type_k, type_v; bool no_perf; };
struct llama_batch { int32_t n_tokens; llama_token * token; float * embd; llama_pos * pos; int32_t * n_seq_id;
  llama_seq_id ** seq_id; int8_t * logits; };
inline const char * ggml_type_name(ggml_type) { return "f16"; }
inline void llama_backend_init() {}
inline void llama_backend_free() {}
inline llama_model_params llama_model_default_params() { return {}; }
inline llama_context_params llama_context_default_params() { return {}; }
inline llama_model * llama_model_load_from_file(const char *, llama_model_params) { return nullptr; }
inline void llama_model_free(llama_model *) {}
inline llama_context * llama_init_from_model(llama_model *, llama_context_params) { return nullptr; }
inline void llama_free(llama_context *) {}
inline void llama_synchronize(llama_context *) {}
inline uint64_t llama_model_size(const llama_model *) { return 0; }
inline llama_memory_t llama_get_memory(const llama_context *) { return nullptr; }
CLEAR
inline const llama_vocab * llama_model_get_vocab(const llama_model *) { return nullptr; }
inline int32_t llama_model_n_ctx_train(const llama_model *) { return 0; }
inline int32_t llama_vocab_n_tokens(const llama_vocab *) { return 0; }
inline bool llama_vocab_get_add_bos(const llama_vocab *) { return false; }
inline llama_token llama_vocab_bos(const llama_vocab *) { return 0; }
inline int32_t llama_tokenize(const llama_vocab *, const char *, int32_t, llama_token *, int32_t, bool, bool)
{ return 0; }
inline llama_batch llama_batch_init(int32_t, int32_t, int32_t) { return {}; }
inline void llama_batch_free(llama_batch) {}
inline int32_t llama_decode(llama_context *, llama_batch) { return 0; }
inline float * llama_get_logits(llama_context *) { return nullptr; }
inline float * llama_get_logits_ith(llama_context *, int32_t) { return nullptr; }
"""
CLEAR = "inline void llama_memory_clear(llama_memory_t, bool) {}"
NEW = (
    "enum llama_flash_attn_type { LLAMA_FLASH_ATTN_TYPE_ENABLED = 1 };",
    "llama_flash_attn_type flash_attn_type;",
)
OLD = ("", "bool flash_attn;")


def header(flash: str, field: str, clear: str = CLEAR) -> str:
    return LLAMA_H.replace("FLASH", flash).replace("FIELD", field).replace("CLEAR", clear)


@pytest.mark.parametrize(
    ("llama_h", "features"),
    [
        (header(*OLD), {"flash_attn_type": False, "swa_full": False, "n_outputs_max": False}),
        (
            header(NEW[0], f"{NEW[1]} bool swa_full; uint32_t n_outputs_max;"),
            {"flash_attn_type": True, "swa_full": True, "n_outputs_max": True},
        ),
    ],
    ids=["older", "newest"],
)
def test_what_an_engine_offers_is_found_when_its_build_is_configured(
    llama_h: str, features: dict[str, bool], tmp_path: Path
) -> None:
    assert build(tmp_path, llama_h) is None
    assert build_manifest.scorer_of(tmp_path / "build" / "bin", {}, None) == {"features": features}


@pytest.mark.parametrize(
    ("llama_h", "sentence"),
    [
        (header(*NEW, clear=""), "this engine's llama.h has no llama_memory_clear"),
        (
            "",
            "this engine's llama.h has no llama_model_load_from_file, llama_init_from_model, llama_memory_clear, ",
        ),
    ],
    ids=["older", "another library"],
)
def test_an_engine_without_what_it_needs_is_built_without_a_scorer(
    llama_h: str, sentence: str, tmp_path: Path
) -> None:
    missing = build(tmp_path, llama_h)
    assert missing is not None and missing.startswith(sentence)
    assert build_manifest.scorer_of(tmp_path / "build" / "bin", {}, missing) == {"missing": missing}


def test_an_engine_that_breaks_the_scorer_is_an_engine_all_the_same(tmp_path: Path) -> None:
    missing = build(
        tmp_path, header(*NEW).replace("inline int32_t llama_model_n_ctx_train", "inline int32_t renamed")
    )
    assert missing is not None
    assert missing.startswith("it cannot be built with this engine: ")
    assert "llama_model_n_ctx_train" in missing
    assert (tmp_path / "build" / "libllama.a").is_file()


@pytest.mark.parametrize(
    "said",
    [
        "fatal error: error writing to x.o: No space left on device",
        "c++: fatal error: Killed signal terminated program cc1plus",
    ],
)
def test_what_the_machine_lacks_is_no_word_on_the_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    """Written down, it would have no scorer as long as it is there."""
    monkeypatch.setattr(engine_build, "_run_step", lambda *_: (1, [said]))
    with pytest.raises(KvsweepError) as raised:
        engine_build.build_scorer(tmp_path, tmp_path, 1, tmp_path / "log", lambda _line: None)
    assert str(raised.value).startswith("the scorer was not built: ") and "start again" in str(raised.value)


def test_ready_made_binaries_have_none(tmp_path: Path) -> None:
    assert build_manifest.scorer_of(tmp_path, {}, None) == {
        "missing": f"{tmp_path} has no program kvsweep-scorer"
    }


def test_the_scorer_knows_llama_h_and_nothing_else_of_an_engine() -> None:
    included = [
        line.split('"')[1]
        for path in sorted((ROOT / "scorer").glob("*.[ch]*"))
        for line in path.read_text().splitlines()
        if line.startswith('#include "')
    ]
    own = {path.name for path in (ROOT / "scorer").glob("*.h")}
    assert set(included) - own == {"llama.h", "ggml-backend.h"}
