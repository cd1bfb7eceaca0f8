"""Work off the device, from a run's own log: what shows it, and what every offloaded run has."""

import pytest
from kvsweep.engine import off_device
from kvsweep.engine.log import parse_engine_log
from kvsweep.engine.logged import on_device
from support import recorded

LOAD = "load_tensors: offloaded 33/33 layers to GPU\n"
EMBEDDINGS = "load_tensors:   CPU_Mapped model buffer size =   532.31 MiB\n"
WEIGHTS = "load_tensors:        CUDA0 model buffer size =  7605.33 MiB\n"
CONTEXT = """\
llama_context: constructing llama_context
llama_context: n_ctx         = 512
"""
OUTPUT = "llama_context:  CUDA_Host  output buffer size =     0.49 MiB\n"
CACHE = "llama_kv_cache:      CUDA0 KV buffer size =    64.00 MiB\n"
SIZE = (
    "llama_kv_cache: size =   64.00 MiB (   512 cells,  32 layers,  1/1 seqs),"
    " K (f16):   32.00 MiB, V (f16):   32.00 MiB\n"
)
COMPUTE = "sched_reserve:      CUDA0 compute buffer size =   258.50 MiB\n"
PINNED = "sched_reserve:  CUDA_Host compute buffer size =    17.01 MiB\n"
SPLITS = "sched_reserve: graph splits = 2\n"
OFFLOADED = LOAD + EMBEDDINGS + WEIGHTS + CONTEXT + OUTPUT + CACHE + SIZE + COMPUTE + PINNED + SPLITS
COMMAND = ("llama-bench", "-ngl", "99")


def signs(log: str, *more: str) -> tuple[str, ...]:
    return off_device.signs_in(log, (*COMMAND, *more))


def test_an_offloaded_run_has_buffers_on_the_host() -> None:
    assert signs(OFFLOADED) == ()
    (context,) = parse_engine_log(OFFLOADED).contexts
    found = off_device.evidence(context, parse_engine_log(OFFLOADED), OFFLOADED, COMMAND)
    assert found.fallback is False


@pytest.mark.parametrize(
    ("old", "new", "sign"),
    [
        (WEIGHTS, "", "all weights lie in the host's memory"),
        (
            WEIGHTS,
            "load_tensors:          AMX model buffer size =  7605.33 MiB\n",
            "all weights lie in the host's memory",
        ),
        ("33/33", "20/33", "only 20 of 33 layers are on the device"),
        (
            "CUDA0 model buffer size =  7605.33",
            "CUDA0 model buffer size =    10.00",
            "most of the weights lie in",
        ),
        (
            LOAD,
            LOAD
            + "done_getting_tensors: tensor 'blk.0.ffn_up.weight' (iq2_xs) (and 95 others) cannot be used with"
            " preferred buffer type CUDA0, using CPU instead\n",
            "96 of the weights cannot be used on the device",
        ),
        ("CUDA0 KV", "CPU KV", "the KV cache lies in the host's memory"),
        ("CUDA0 KV", "CUDA_Host KV", "the KV cache lies in the host's memory"),
        (
            CACHE,
            CACHE + "llama_kv_cache:        CPU KV buffer size =    32.00 MiB\n",
            "part of the KV cache lies in the host's memory",
        ),
        (COMPUTE, "", "everything is computed on the host"),
        ("splits = 2", "splits = 66", "66 graph splits: they grow with the layers"),
        ("graph splits = 2", "graph: nodes = 946, splits = 66", "66 graph splits: they grow with the layers"),
    ],
)
def test_what_shows_that_work_left_the_device(old: str, new: str, sign: str) -> None:
    assert old in OFFLOADED
    (found,) = signs(OFFLOADED.replace(old, new))
    assert found.startswith(sign)


@pytest.mark.parametrize(
    "said",
    [
        "ggml_cuda_init: failed to initialize CUDA: no CUDA-capable device is detected",
        "ggml_cuda_init: failed to initialize ROCm: no ROCm-capable device is detected",
        "ggml_vulkan: No devices found.",
        "ggml_sycl_init: no SYCL device available: No device of requested type available",
        "ggml_opencl: could find any OpenCL devices.",
        "ggml_webgpu: Failed to get an adapter: No supported adapters",
        "GGML OpenVINO Backend: device GPU is not available, fallback to CPU",
        "warning: no usable GPU found, --gpu-layers option will be ignored",
    ],
)
def test_a_run_without_a_device(said: str) -> None:
    log = f"{said}\n" + (
        EMBEDDINGS + CONTEXT + SIZE + "sched_reserve: CPU compute buffer size =   258.50 MiB\n" + SPLITS
    )
    assert signs(log)[0] == "the engine found no device"
    assert "all weights lie in the host's memory" in signs(log)


def test_experts_that_are_kept_on_the_host_are_no_fallback() -> None:
    log = OFFLOADED.replace("532.31", "53231.00").replace("splits = 2", "splits = 98")
    assert len(signs(log)) == 2
    assert signs(log, "--n-cpu-moe", "48") == ()
    overridden = "tensor blk.0.ffn_up_exps.weight (512 MiB q4_K) buffer type overridden to CPU\n"
    assert signs(overridden + log) == ()
    # Where the log shows no tensors: an engine leaves experts behind only where it is asked to.
    assert off_device.signs_in(log, COMMAND, "qwen3moe") == ()
    assert len(off_device.signs_in(log, COMMAND, "llama")) == 2
    # All of the weights on the host, or a graph in pieces with all of them on the device, is something else.
    assert off_device.signs_in(OFFLOADED.replace(WEIGHTS, ""), COMMAND, "qwen3moe") != ()
    assert off_device.signs_in(OFFLOADED.replace("splits = 2", "splits = 66"), COMMAND, "qwen3moe") != ()
    # What is asked for of weights says nothing of the cache.
    assert len(signs(log.replace("CUDA0 KV", "CPU KV"), "-cmoe")) == 1


def test_embeddings_of_every_layer_are_no_fallback() -> None:
    assert signs(OFFLOADED.replace("532.31", "2700.00").replace("7605.33", "1100.00")) == ()


def test_two_devices_have_one_split_more() -> None:
    both = CACHE + CACHE.replace("CUDA0", "CUDA1")
    assert signs(OFFLOADED.replace(CACHE, both).replace("splits = 2", "splits = 3")) == ()


# What the buffers of each back end are called: of the device (weights, cache, compute) and of the host.
BACKENDS = [
    ("CUDA0", "CUDA_Host"),
    ("ROCm0", "ROCm_Host"),
    ("MUSA0", "MUSA_Host"),
    ("Vulkan0", "Vulkan_Host"),
    ("SYCL0", "SYCL_Host"),
    ("CANN0", "CANN_Host"),
    ("OPENVINO0", "OPENVINO0_HOST"),
    ("MTL0", "CPU_REPACK"),
    ("Metal", "CPU_AARCH64"),
    ("OpenCL", "CPU_KLEIDIAI"),
    ("WebGPU", "CPU"),
    ("HTP0", "AMX"),
    ("RPC0[192.168.1.2:50052]", "CPU_Mapped"),
]


@pytest.mark.parametrize(("device", "host"), BACKENDS)
def test_names_of_all_back_ends(device: str, host: str) -> None:
    log = OFFLOADED.replace("CUDA0", device).replace("CUDA_Host", host)
    assert signs(log) == ()
    parsed = parse_engine_log(log)
    assert on_device(parsed.model_buffers_mib) == round(7605.33 * 2**20)
    assert parsed.contexts[0].kv_devices == (device,)
    assert signs(log.replace(f"{device} KV", f"{host} KV")) == ("the KV cache lies in the host's memory",)


def test_metal_maps_and_keeps_private_buffers() -> None:
    log = OFFLOADED.replace("CUDA0 model", "MTL0_Mapped model").replace("CUDA0 KV", "MTL0_Private KV")
    assert signs(log.replace("CUDA0 compute", "MTL0 compute")) == ()


def test_buffers_that_went_to_the_host_in_opencl() -> None:
    moved = (
        "ggml_backend_opencl_buffer_type_alloc_buffer: 512.00 MiB allocated via CL_MEM_ALLOC_HOST_PTR fallback — "
        "device pool exhausted; runtime perf will be degraded. Consider lowering -ngl or context size.\n"
    )
    (sign,) = signs(moved + OFFLOADED.replace("CUDA0", "OpenCL"))
    assert sign == "buffers of 512 MiB did not fit the device and lie in the host's memory"


@pytest.mark.parametrize("name", ["fork-cuda/bench-f16-f16", "h200-gemma/mainline-kld-f16-f16"])
def test_recorded_runs_on_a_device(name: str) -> None:
    assert signs(recorded(f"{name}.stderr")) == ()


def test_a_log_that_cannot_be_read_shows_nothing() -> None:
    assert signs(OFFLOADED.replace("K (f16)", "K ?f16?")) == ()
