"""The columns of the tables of engines, models and machines."""

from __future__ import annotations

from kvsweep.tables.columns import FROM, INTEGER, INTEGERS, REAL, REALS, TEXT, TEXTS, as_schema

ENGINES = as_schema(
    [
        ("engine", TEXT, "", "name of the engine in the configuration"),
        ("engine_commit", TEXT, "", "commit of the source; null where the source has none"),
        ("backend", TEXT, "", "back end that the engine was built for"),
        ("source_kind", TEXT, "", "git, pypi or path"),
        ("source", TEXT, "", "where the source or the binaries come from"),
        ("version", TEXT, "", "what the engine says of its own version"),
        (
            "compiler",
            TEXT,
            "",
            "compiler, and flags that it was given beyond llama.cpp's; null for ready binaries",
        ),
        ("cmake_options", TEXTS, "", "CMake options, as given to cmake"),
        ("environment", TEXTS, "", "NAME=VALUE of every knob set for every run"),
        ("cache_types", TEXTS, "", "cache types that the engine accepts, from its own help"),
        ("files", TEXTS, "", "'sha256  name' of each binary and shared library"),
        ("arguments", TEXTS, "", "program and more arguments of all its runs; null where there are none"),
    ]
)

MODELS = as_schema(
    [
        ("model", TEXT, "", "name of the model in the configuration"),
        ("model_sha256", TEXT, "", "sha256 of the GGUF file"),
        ("file_name", TEXT, "", "name of the GGUF file"),
        ("file_bytes", INTEGER, "bytes", "size of the GGUF file"),
        ("architecture", TEXT, "", "general.architecture"),
        ("weight_type", TEXT, "", "type of most weights"),
        ("n_parameters", INTEGER, "", "weights in all tensors"),
        ("n_layers", INTEGER, "", "layers"),
        ("n_kv_layers", INTEGER, "", "layers that keep a KV cache"),
        ("n_heads", INTEGER, "", "attention heads of a layer"),
        ("n_kv_heads", INTEGER, "", "KV heads of a layer that has a KV cache"),
        ("head_size_k", INTEGER, "", "values of K of one head and token"),
        ("head_size_v", INTEGER, "", "values of V of one head and token"),
        ("n_vocab", INTEGER, "", "vocabulary"),
        ("n_ctx_train", INTEGER, "tokens", "context that the model was trained for"),
        (
            "kv_values_per_token_k",
            INTEGER,
            "",
            "values of K of one token, over all layers; null where not known",
        ),
        ("kv_values_per_token_v", INTEGER, "", "values of V of one token, over all layers"),
        ("cache_types", TEXTS, "", "cache types, in the order of kv_bytes_per_token"),
        (
            "kv_bytes_per_token",
            REALS,
            "bytes",
            "what a token adds to the KV cache with K and V of each of cache_types, once windows are full",
        ),
        ("source", TEXT, "", "measured, published:NAME or slice:NAME"),
        (
            "kv_kinds",
            TEXTS,
            "",
            "kinds of layers by cache: full, window, indexer; null where it is not known",
        ),
        ("kv_kind_layers", INTEGERS, "", "layers of each of kv_kinds"),
        ("kv_kind_values_k", INTEGERS, "", "values of K of one token in the layers of each of kv_kinds"),
        ("kv_kind_values_v", INTEGERS, "", "values of V of one token in the layers of each of kv_kinds"),
        ("kv_kind_windows", INTEGERS, "tokens", "window of each of kv_kinds; null where it is the context"),
        (
            "recurrent_bytes",
            INTEGER,
            "bytes",
            "state of one sequence in recurrent layers; null where not known",
        ),
        ("rope_scaling", TEXT, "", "what stretches the model's positions, from its header"),
        ("n_ctx_original", INTEGER, "tokens", "context before positions were stretched, from its header"),
        *FROM,
    ]
)

MACHINES = as_schema(
    [
        ("machine_record", TEXT, "", "name of this row: another driver or power limit is another row"),
        ("machine", TEXT, "", "name of the machine, stable over updates: the one that all tables have"),
        ("hosts", TEXTS, "", "hosts or nodes of this kind that cells of this run were measured on"),
        ("cells", INTEGER, "", "cells that ran on it"),
        ("cpu", TEXT, "", "processor"),
        ("cores", INTEGER, "", "cores as the system counts them"),
        ("physical_cores", INTEGER, "", "cores without hyper-threading"),
        ("numa_nodes", INTEGER, "", "parts of the memory that are nearer to some cores than to others"),
        ("cpu_governor", TEXT, "", "what decides the processor's frequency (Linux)"),
        ("cpu_max_mhz", REAL, "MHz", "the processor's highest frequency, as Linux has it"),
        ("memory_bytes", INTEGER, "bytes", "memory"),
        ("system", TEXT, "", "kernel, its version and architecture"),
        ("distribution", TEXT, "", "name and version of the operating system"),
        ("gpus", TEXTS, "", "name of each GPU"),
        ("gpu_arch", TEXTS, "", "compute capability or gfx name of each GPU"),
        ("gpu_driver", TEXTS, "", "driver of each GPU"),
        ("gpu_memory_bytes", INTEGERS, "bytes", "memory of each GPU; null where it is the machine's own"),
        ("gpu_power_limit_watts", REALS, "W", "power limit of each GPU"),
        ("gpu_max_clock_mhz", REALS, "MHz", "highest clock of each GPU"),
        ("gpu_max_memory_clock_mhz", REALS, "MHz", "highest memory clock of each GPU"),
        ("gpu_cores", INTEGERS, "", "cores of each GPU (Apple)"),
        (
            "gpu_limit_bytes",
            INTEGER,
            "bytes",
            "what the GPU may hold of the machine's memory (iogpu.wired_limit_mb); null where macOS decides",
        ),
        ("source", TEXT, "", "measured, published:NAME or slice:NAME"),
        *FROM,
    ]
)
