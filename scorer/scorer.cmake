# Part of an engine's build (inject.cmake): links llama.cpp's library and nothing else of it.
include(CheckCXXSourceCompiles)

find_package(Threads REQUIRED)
get_filename_component(_llama "${CMAKE_SOURCE_DIR}/include" ABSOLUTE)
get_filename_component(_ggml "${CMAKE_SOURCE_DIR}/ggml/include" ABSOLUTE)

set(CMAKE_REQUIRED_INCLUDES "${_llama}" "${_ggml}")
set(CMAKE_REQUIRED_QUIET ON)
set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY) # compiled, not linked: the engine is not built yet

# has(RESULT "statement"): whether the statement compiles against this engine's llama.h.
function(has result statement)
    check_cxx_source_compiles("#include \"llama.h\"\n#include \"ggml-backend.h\"\nvoid f(); void f() { ${statement}; }" ${result})
    set(${result} "${${result}}" PARENT_SCOPE)
endfunction()

set(_context "llama_context_params p = llama_context_default_params()")

# Without these there is no scorer.
set(_missing "")
foreach(_one IN ITEMS
    "llama_model_load_from_file:llama_model_load_from_file(\"\", llama_model_default_params())"
    "llama_init_from_model:llama_init_from_model(nullptr, llama_context_default_params())"
    "llama_memory_clear:llama_memory_clear(llama_get_memory(nullptr), true)"
    "llama_vocab_get_add_bos:llama_vocab_get_add_bos(llama_model_get_vocab(nullptr))"
    "llama_tokenize of a vocabulary:llama_tokenize((const llama_vocab *) nullptr, \"\", 0, nullptr, 0, true, false)"
    "llama_synchronize:llama_synchronize(nullptr)"
    "llama_model_size:llama_model_size(nullptr)"
    "llama_get_logits_ith:llama_get_logits_ith(nullptr, 0)"
    "type_k and type_v of llama_context_params:${_context}$<SEMICOLON> p.type_k = p.type_v = GGML_TYPE_F16")
    string(FIND "${_one}" ":" _colon)
    string(SUBSTRING "${_one}" 0 ${_colon} _name)
    math(EXPR _start "${_colon} + 1")
    string(SUBSTRING "${_one}" ${_start} -1 _statement)
    string(REPLACE "$<SEMICOLON>" ";" _statement "${_statement}")
    string(MAKE_C_IDENTIFIER "KVSWEEP_NEEDS_${_name}" _result)
    has(${_result} "${_statement}")
    if (NOT ${_result})
        list(APPEND _missing "${_name}")
    endif()
endforeach()

# With these it does more, or says the same in another way.
has(KVSWEEP_HAS_FLASH_ATTN_TYPE "${_context}; p.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_ENABLED")
has(KVSWEEP_HAS_FLASH_ATTN "${_context}; p.flash_attn = true")
has(KVSWEEP_HAS_SWA_FULL "${_context}; p.swa_full = false")
has(KVSWEEP_HAS_N_OUTPUTS_MAX "${_context}; p.n_outputs_max = 1")
has(KVSWEEP_HAS_BACKEND_LOAD_ALL "ggml_backend_load_all()")

if (NOT KVSWEEP_HAS_FLASH_ATTN_TYPE AND NOT KVSWEEP_HAS_FLASH_ATTN)
    list(APPEND _missing "flash_attn_type or flash_attn of llama_context_params")
endif()
if (_missing)
    # The tools of this engine are built all the same. kvsweep reads the sentence where the program would be.
    list(JOIN _missing ", " _missing)
    set(_sentence "this engine's llama.h has no ${_missing}")
    message(STATUS "kvsweep-scorer: not built: ${_sentence}")
    file(WRITE "${CMAKE_BINARY_DIR}/bin/kvsweep-scorer.missing" "${_sentence}\n")
    add_custom_target(kvsweep-scorer)
    return()
endif()
file(REMOVE "${CMAKE_BINARY_DIR}/bin/kvsweep-scorer.missing")

set(_sources "")
foreach(_one IN ITEMS context divergence messages options positions records scorer scoring text threads)
    list(APPEND _sources "${CMAKE_CURRENT_LIST_DIR}/${_one}.cpp")
endforeach()
add_executable(kvsweep-scorer ${_sources})
target_compile_features(kvsweep-scorer PRIVATE cxx_std_17)
target_link_libraries(kvsweep-scorer PRIVATE llama Threads::Threads)
set_target_properties(kvsweep-scorer PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bin")
foreach(_feature IN ITEMS FLASH_ATTN_TYPE SWA_FULL N_OUTPUTS_MAX BACKEND_LOAD_ALL)
    if (KVSWEEP_HAS_${_feature})
        target_compile_definitions(kvsweep-scorer PRIVATE KVSWEEP_HAS_${_feature})
    endif()
endforeach()

# Only the loops over the vocabulary may reorder floating-point sums; they check for what is not finite on its bits.
# -march=native where the engine itself is built for this machine alone.
if (MSVC)
    set_source_files_properties("${CMAKE_CURRENT_LIST_DIR}/divergence.cpp" PROPERTIES COMPILE_OPTIONS "/O2;/fp:fast")
else()
    set(_flags -O3 -ffast-math)
    if (GGML_NATIVE AND NOT CMAKE_CROSSCOMPILING)
        include(CheckCXXCompilerFlag)
        check_cxx_compiler_flag(-march=native KVSWEEP_MARCH_NATIVE)
        check_cxx_compiler_flag(-mcpu=native KVSWEEP_MCPU_NATIVE)
        if (CMAKE_SYSTEM_PROCESSOR MATCHES "arm|aarch64" AND KVSWEEP_MCPU_NATIVE)
            list(APPEND _flags -mcpu=native)
        elseif (KVSWEEP_MARCH_NATIVE)
            list(APPEND _flags -march=native)
        endif()
    endif()
    set_source_files_properties("${CMAKE_CURRENT_LIST_DIR}/divergence.cpp" PROPERTIES COMPILE_OPTIONS "${_flags}")
endif()
