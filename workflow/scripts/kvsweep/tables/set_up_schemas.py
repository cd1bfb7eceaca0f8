"""The columns of the tables of engines, models and machines."""

from __future__ import annotations

from kvsweep.tables import columns
from kvsweep.tables.columns import as_schema

ENGINES = as_schema(
    """
engine | text | | name of the engine in the configuration
engine_commit | text | | commit of the source; null where the source has none
backend | text | | back end that the engine was built for
source_kind | text | | git, pypi or path
source | text | | where the source or the binaries come from
version | text | | what the engine says of its own version
compiler | text | | compiler, and flags that it was given beyond llama.cpp's; null for ready binaries
cmake_options | texts | | CMake options, as given to cmake
environment | texts | | NAME=VALUE of every knob set for every run
cache_types | texts | | cache types that the engine accepts, from its own help
files | texts | | 'sha256  name' of each binary and shared library
arguments | texts | | program and more arguments of all its runs; null where there are none
""",
    columns.FROM,
)

MODELS = as_schema(
    """
model | text | | name of the model in the configuration
model_sha256 | text | | sha256 of the GGUF file
file_name | text | | name of the GGUF file
file_bytes | integer | bytes | size of the GGUF file
architecture | text | | general.architecture
weight_type | text | | type of most weights
n_parameters | integer | | weights in all tensors
n_layers | integer | | layers
n_kv_layers | integer | | layers that keep a KV cache
n_heads | integer | | attention heads of a layer
n_kv_heads | integer | | KV heads of a layer that has a KV cache
head_size_k | integer | | values of K of one head and token
head_size_v | integer | | values of V of one head and token
n_vocab | integer | | vocabulary
n_ctx_train | integer | tokens | context that the model was trained for
kv_values_per_token_k | integer | | values of K of one token, over all layers; null where not known
kv_values_per_token_v | integer | | values of V of one token, over all layers
cache_types | texts | | cache types, in the order of kv_bytes_per_token
kv_bytes_per_token | reals | bytes | what a token adds to the KV cache with K and V of each of cache_types, once
    windows are full
""",
    columns.SOURCE,
    """
kv_kinds | texts | | kinds of layers by cache: full, window, indexer; null where it is not known
kv_kind_layers | integers | | layers of each of kv_kinds
kv_kind_values_k | integers | | values of K of one token in the layers of each of kv_kinds
kv_kind_values_v | integers | | values of V of one token in the layers of each of kv_kinds
kv_kind_windows | integers | tokens | window of each of kv_kinds; null where it is the context
recurrent_bytes | integer | bytes | state of one sequence in recurrent layers; null where not known
rope_scaling | text | | what stretches the model's positions, from its header
n_ctx_original | integer | tokens | context before positions were stretched, from its header
""",
    columns.FROM,
)

MACHINES = as_schema(
    """
machine_record | text | | name of this row: another driver or power limit is another row
machine | text | | name of the machine, stable over updates: the one that all tables have
hosts | texts | | hosts or nodes of this kind that cells of this run were measured on
cells | integer | | cells that ran on it
cpu | text | | processor
cores | integer | | cores as the system counts them
physical_cores | integer | | cores without hyper-threading
numa_nodes | integer | | parts of the memory that are nearer to some cores than to others
cpu_governor | text | | what decides the processor's frequency (Linux)
cpu_max_mhz | real | MHz | the processor's highest frequency, as Linux has it
memory_bytes | integer | bytes | memory
system | text | | kernel, its version and architecture
distribution | text | | name and version of the operating system
gpus | texts | | name of each GPU
gpu_arch | texts | | compute capability or gfx name of each GPU
gpu_driver | texts | | driver of each GPU
gpu_memory_bytes | integers | bytes | memory of each GPU; null where it is the machine's own
gpu_power_limit_watts | reals | W | power limit of each GPU
gpu_max_clock_mhz | reals | MHz | highest clock of each GPU
gpu_max_memory_clock_mhz | reals | MHz | highest memory clock of each GPU
gpu_cores | integers | | cores of each GPU (Apple)
gpu_limit_bytes | integer | bytes | what the GPU may hold of the machine's memory (iogpu.wired_limit_mb); null where
    macOS decides
""",
    columns.SOURCE,
    columns.FROM,
)
