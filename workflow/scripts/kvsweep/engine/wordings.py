"""The words in which engines say that something failed, of every back end: a table, shown in docs/wordings.md.

In a form ``#`` is a number and ``*`` any text; the rest stands in the line as it is here, in any case, anywhere in it:
a time stamp and a level may come before it, and another message that was not ended. File names are those of llama.cpp
b11434 without ``ggml/src/``, functions after the comma; other builds are named where their words differ.
"""

from __future__ import annotations

import re
from functools import cached_property
from typing import NamedTuple

MEMORY = "no memory"
COMPUTATION = "computation failed"
REFUSAL = "types refused"
MODEL = "model not loaded"
ABORT = "abort"
HARMLESS = "no failure"

MEANINGS = {
    MEMORY: "an allocation failed: `oom`, unless the engine got over it",
    COMPUTATION: "a command buffer, a kernel or a graph failed: no result beside it counts",
    REFUSAL: "the engine or its back end cannot run these cache types: `unsupported`",
    MODEL: "the engine cannot load the model: `unsupported`",
    ABORT: "the engine ended itself: the line is shown with the crash",
    HARMLESS: "the engine goes on in another way: such a line is none of the others",
}


class _Row(NamedTuple):
    """One form of a line: what it means, which back ends print it, and where in their source."""

    meaning: str
    backends: str
    form: str
    where: str


class Wording(_Row):
    """A row with what it is found by."""

    @cached_property
    def fixed(self) -> str:
        """The longest part of the form that stands in every such line, in lower case: fast to find."""
        return max(re.split(r"[#*]", self.form), key=len).lower()

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """``form`` as a regular expression: ``#`` is a number, ``*`` any text within the line."""
        parts = {"#": r"-?\d+(?:[.,]\d+)?", "*": r"[^\n]*?"}
        pieces = (parts.get(part, re.escape(part)) for part in re.split(r"([#*])", self.form))
        return re.compile("".join(pieces), re.IGNORECASE)


_METAL, _METAL_DEVICE = "ggml-metal/ggml-metal-context.m", "ggml-metal/ggml-metal-device.m"
_CUDA, _CUDAS = "ggml-cuda/ggml-cuda.cu", "CUDA, HIP, MUSA"
_VULKAN, _VULKAN_BUFFERS = "ggml-vulkan/ggml-vulkan.cpp", "ggml-vulkan/ggml-vulkan-buffers.cpp"
_SYCL, _OPENCL = "ggml-sycl/ggml-sycl.cpp", "ggml-opencl/ggml-opencl.cpp"
_WEBGPU, _HEXAGON = "ggml-webgpu/ggml-webgpu.cpp", "ggml-hexagon/ggml-hexagon.cpp"
_CONTEXT, _BENCH = "src/llama-context.cpp", "tools/llama-bench/llama-bench.cpp"

# A Metal command buffer fails with status 5 for any error; the next line names the cause, if it is known.
STATUS_5 = "command buffer # failed with status 5"
# The cause stands behind it: where it is not memory, what follows is no want of memory either.
MALLOC = "Malloc failed: *"

_MEMORY = (
    ("Metal", "kIOGPUCommandBufferCallbackErrorOutOfMemory", f"{_METAL}, ggml_metal_synchronize; macOS's words"),
    ("Metal", "Insufficient Memory", f"{_METAL}, ggml_metal_synchronize; macOS's words"),
    ("Metal", STATUS_5, f"{_METAL}, ggml_metal_synchronize; where no cause follows in the next line"),
    ("Metal, zDNN", "error: failed to allocate buffer, size =*#", f"{_METAL_DEVICE}, ggml_metal_buffer_init"),
    ("Metal", "failed to allocate * buffer of # bytes (out of memory)",
     "ggml-metal/ggml-metal.cpp, ggml_backend_metal_buffer_type_alloc_buffer"),
    ("Metal", "error: vm_allocate failed", f"{_METAL_DEVICE}, ggml_metal_host_malloc"),
    ("Metal", "error: posix_memalign failed", f"{_METAL_DEVICE}, ggml_metal_host_malloc"),
    (_CUDAS, "cudaMalloc failed: out of memory", f"{_CUDA}, ggml_backend_cuda_buffer_type_alloc_buffer"),
    ("HIP", "hipMalloc* failed: out of memory", f"{_CUDA}, where HIP's own names are printed"),
    ("MUSA", "musaMalloc* failed: out of memory", f"{_CUDA}, where MUSA's own names are printed"),
    (_CUDAS, "cudaMallocManaged failed: out of memory", f"{_CUDA}, until 2025"),
    ("CUDA", "CUDA error: out of memory", f"{_CUDA}, ggml_cuda_error"),
    ("HIP", "ROCm error: out of memory", f"{_CUDA}, ggml_cuda_error"),
    ("HIP", "HIP error: out of memory", f"{_CUDA}, ggml_cuda_error of other forks"),
    ("MUSA", "MUSA error: out of memory", f"{_CUDA}, ggml_cuda_error"),
    ("CUDA", "CUDA error: the resource allocation failed", f"{_CUDA}, ggml_cuda_error; cuBLAS's cudaMalloc"),
    ("CUDA", "CUBLAS_STATUS_ALLOC_FAILED", "ggml-cuda/common.cuh, cublas_get_error_str"),
    ("HIP", "HIPBLAS_STATUS_ALLOC_FAILED", "ggml-cuda/common.cuh, cublas_get_error_str"),
    ("Vulkan", "Device memory allocation of size # failed", f"{_VULKAN_BUFFERS}, ggml_vk_create_buffer_device"),
    ("Vulkan", "Memory allocation of size # failed", f"{_VULKAN_BUFFERS}, ggml_vk_create_buffer_check"),
    ("Vulkan", "ErrorOutOfDeviceMemory", f"{_VULKAN_BUFFERS}; Vulkan's words"),
    ("Vulkan", "ErrorOutOfHostMemory", f"{_VULKAN_BUFFERS}; Vulkan's words"),
    ("Vulkan", "vk::OutOfDeviceMemoryError", f"{_VULKAN_BUFFERS}, where nothing catches it"),
    ("Vulkan", "vk::OutOfHostMemoryError", f"{_VULKAN_BUFFERS}, where nothing catches it"),
    ("Vulkan", "Requested preallocation size is too large", f"{_VULKAN}, ggml_vk_mul_mat_q_f16 and its like"),
    ("SYCL", "can't allocate # Bytes of memory on ", f"{_SYCL}, ggml_backend_sycl_buffer_type_alloc_buffer"),
    ("SYCL", "can't malloc # Bytes memory on ", f"{_SYCL}, the same until 2025"),
    ("SYCL", "_ERROR_OUT_OF_DEVICE_MEMORY", "oneAPI's words (UR_RESULT_, ZE_RESULT_, PI_), also in Vulkan's C names"),
    ("SYCL", "_ERROR_OUT_OF_HOST_MEMORY", "oneAPI's words (UR_RESULT_, ZE_RESULT_, PI_), also in Vulkan's C names"),
    ("SYCL", "_MEM_OBJECT_ALLOCATION_FAILURE", "oneAPI's words, and OpenCL's (CL_)"),
    ("SYCL", "dpct_malloc: out of memory", "ggml-sycl/dpct/helper.hpp, mem_alloc"),
    ("SYCL", "alloc FAILED: *# MiB", "ggml-sycl/memtrace.cpp"),
    ("OpenCL", "failed to allocate # MiB (err=#)", f"{_OPENCL}, ggml_backend_opencl_buffer_type_alloc_buffer"),
    ("OpenCL", "ggml_opencl: * error -4 at ", f"{_OPENCL}, CL_CHECK: CL_MEM_OBJECT_ALLOCATION_FAILURE"),
    ("OpenCL", "ggml_opencl: * error -6 at ", f"{_OPENCL}, CL_CHECK: CL_OUT_OF_HOST_MEMORY"),
    ("OpenCL", "ggml_opencl: * error -61 at ", f"{_OPENCL}, CL_CHECK: CL_INVALID_BUFFER_SIZE"),
    ("CANN", "allocating # MiB on device #: aclrtMalloc failed",
     "ggml-cann/ggml-cann.cpp, ggml_backend_cann_buffer_type_alloc_buffer"),
    ("RPC", "Failed to allocate input buffer of size #", "ggml-rpc/ggml-rpc.cpp, recv_msg"),
    ("WebGPU", "ggml_webgpu: Device error! Reason: 3,", f"{_WEBGPU}; wgpu::ErrorType::OutOfMemory"),
    ("Hexagon", "failed to allocate * buffer context: ", f"{_HEXAGON}, ggml_backend_hexagon_buffer_type_alloc_buffer"),
    ("Hexagon", "buffer size # exceeds max_vmem #", f"{_HEXAGON}, ggml_backend_hexagon_buffer_type_alloc_buffer"),
    ("VirtGPU", "Couldn't allocate the guest-host shared buffer", "ggml-virtgpu/virtgpu-forward-buffer.cpp"),
    ("ET", "ET: Failed to allocate * device buffer", "ggml-et/ggml-et-kernels.cpp"),
    ("CPU", "insufficient memory (attempted to allocate*# MB)", "ggml.c, ggml_aligned_malloc"),
    ("CPU", "ggml_aligned_malloc: insufficient memory", "ggml.c, ggml_aligned_malloc of ik_llama.cpp"),
    ("CPU", "ggml_malloc: failed to allocate*# MB", "ggml.c, ggml_malloc"),
    ("CPU", "ggml_calloc: failed to allocate*# MB", "ggml.c, ggml_calloc"),
    ("CPU", "failed to allocate buffer of size #", "ggml-backend.cpp, ggml_backend_cpu_buffer_type_alloc_buffer"),
    ("CPU", "std::bad_alloc", "the C++ library's words"),
    ("CPU", "mmap failed: Cannot allocate memory", "src/llama-mmap.cpp, llama_mmap"),
    ("any", "failed to allocate * buffer of size #", "ggml-backend.cpp, alloc_tensor_range; ggml-alloc.c"),
    ("any", "failed to allocate # bytes", "ggml-backend.cpp; ggml-alloc.c; ggml-openvino/ggml-openvino.cpp"),
    ("any", "failed to allocate buffer for kv cache", "src/llama-kv-cache.cpp, llama_kv_cache"),
    ("any", "failed to allocate buffer for rs cache", "src/llama-memory-recurrent.cpp, llama_memory_recurrent"),
    ("any", "failed to allocate buffer for DSV4 compressor state", "src/llama-kv-cache-dsv4.cpp"),
    ("any", "failed to allocate DSV4 * buffers", "src/llama-dsv4.cpp of ik_llama.cpp"),
    ("any", "failed to allocate compute buffers", f"{_CONTEXT}, graph_reserve"),
    ("any", "failed to allocate compute pp buffers", f"{_CONTEXT}, sched_reserve"),
    ("any", "failed to allocate compute tg buffers", f"{_CONTEXT}, sched_reserve"),
    ("any", "failed to allocate output buffer of size #", f"{_CONTEXT}, output_reserve"),
    ("any", "unable to allocate * buffer", "src/llama-model.cpp, load_tensors"),
    ("any", "failed to reserve graph buffers", "ggml-backend.cpp, ggml_backend_sched_alloc_splits"),
    ("any", "compute status: -2", f"{_CONTEXT}, process_ubatch: GGML_STATUS_ALLOC_FAILED"),
    ("any", "_async failed with error -2", f"{_CONTEXT}, graph_compute: GGML_STATUS_ALLOC_FAILED"),
    ("any", "failed to decode, ret = -2", f"{_CONTEXT}, llama_decode"),
    ("any", "failed to decode * batch, res = -2", f"{_BENCH}, test_prompt and test_gen"),
    ("any", "failed to decode the batch, n_batch = #, ret = -2", "tools/perplexity/perplexity.cpp, decode_helper"),
)  # fmt: skip

_COMPUTATION = (
    ("Metal", "command buffer # failed with status #", f"{_METAL}, ggml_metal_synchronize; ggml_metal_graph_compute"),
    ("Metal", "command buffer # aborted", f"{_METAL}, ggml_metal_graph_compute"),
    ("Metal", "kIOGPUCommandBufferCallbackError", f"{_METAL}, ggml_metal_synchronize; macOS's words"),
    ("Metal", "backend is in error state from a previous command buffer failure",
     f"{_METAL}, ggml_metal_graph_compute (since 2026-03)"),
    ("CUDA", "CUDA error: ", f"{_CUDA}, ggml_cuda_error"),
    ("HIP", "ROCm error: ", f"{_CUDA}, ggml_cuda_error"),
    ("HIP", "HIP error: ", f"{_CUDA}, ggml_cuda_error of other forks"),
    ("MUSA", "MUSA error: ", f"{_CUDA}, ggml_cuda_error"),
    (_CUDAS, "ggml_cuda_compute_forward: * failed", f"{_CUDA}, ggml_cuda_compute_forward"),
    (_CUDAS, MALLOC, f"{_CUDA}, ggml_backend_cuda_buffer_type_alloc_buffer; where the cause is not memory"),
    (_CUDAS, "ERROR: * kernel * has no device code compatible with", "ggml-cuda/common.cuh, no_device_code"),
    ("Vulkan", "ggml_vulkan: device lost on ", f"{_VULKAN}, ggml_backend_vk_graph_compute"),
    ("Vulkan", "ErrorDeviceLost", f"{_VULKAN}; Vulkan's words"),
    ("Vulkan", "vk::DeviceLostError", f"{_VULKAN}; Vulkan's words"),
    ("Vulkan", "ggml_vulkan: device fault on ", f"{_VULKAN}, ggml_vk_print_device_fault_info"),
    ("Vulkan", "waitForFences error", f"{_VULKAN}, ggml_backend_vk_graph_compute"),
    ("Vulkan", "ggml_vulkan:* error * at *:#", "ggml-vulkan/ggml-vulkan-types.h, VK_CHECK; getFenceStatus"),
    ("Vulkan", "ggml_vulkan: * creation failed for ", f"{_VULKAN}, ggml_vk_create_pipeline_func"),
    ("SYCL", "backend failed with error: #", "oneAPI's words; OUT_OF_RESOURCES is no proof of memory"),
    ("SYCL", "Native API failed. Native API returns: #", "oneAPI's words until 2024"),
    ("SYCL", "Exception caught at file:", f"{_SYCL}, every function that catches"),
    ("SYCL", "SYCL error: ", "ggml-sycl/common.hpp, ggml_sycl_error"),
    ("SYCL", "Error OP ", f"{_SYCL}, ggml_sycl_compute_forward"),
    ("SYCL", "[SYCL-*] ERROR: ", "ggml-sycl/ssm_conv.cpp, ggml_sycl_op_ssm_conv; roll.cpp"),
    ("OpenCL", "ggml_opencl: * error # at ", f"{_OPENCL}, CL_CHECK"),
    ("OpenCL", "ggml_opencl: kernel compile error", f"{_OPENCL}, build_program_from_source"),
    ("CANN", "CANN error: ", "ggml-cann/ggml-cann.cpp, ggml_cann_error"),
    ("RPC", "Remote RPC server crashed or returned malformed response", "ggml-rpc/ggml-rpc.cpp, RPC_STATUS_ASSERT"),
    ("RPC", "recv failed (bytes_recv=", "ggml-rpc/transport.cpp"),
    ("RPC", "send failed (bytes_sent=", "ggml-rpc/transport.cpp"),
    ("WebGPU", "ggml_webgpu: Device lost!", _WEBGPU),
    ("WebGPU", "ggml_webgpu: Device error!", _WEBGPU),
    ("WebGPU", "ggml_webgpu: * timed out after # ms", _WEBGPU),
    ("WebGPU", "ggml_webgpu: * failed with status #", _WEBGPU),
    ("Hexagon", " dspcall : dsp-rsp ", f"{_HEXAGON}, flush; the next synchronize ends the process"),
    ("Hexagon", " failed : dsp-error ", f"{_HEXAGON}, ggml_backend_hexagon_synchronize"),
    ("Hexagon", "ggml-hex: * lazy mapping of buffer context failed", _HEXAGON),
    ("ZenDNN", "ZenDNN * failed: status=#", "ggml-zendnn/ggml-zendnn.cpp, ggml_zendnn_matmul"),
    ("OpenVINO", "GGML OpenVINO backend *xception", "ggml-openvino/utils.cpp, ov_graph_compute"),
    ("OpenVINO", "OpenVINO backend stateful inference failed: ", "ggml-openvino/utils.cpp"),
    ("VirtGPU", "failed to forward the API call: ", "ggml-virtgpu/virtgpu-forward-impl.h"),
    ("VirtGPU", "timed out waiting for the host answer", "ggml-virtgpu/virtgpu.cpp, remote_call"),
    ("ET", "ET: Errors detected * kernel ", "ggml-et/ggml-et-kernels.cpp"),
    ("ET", "ET: Failed to launch kernel ", "ggml-et/ggml-et-kernels.cpp"),
    ("any", "_graph_compute_async failed with error #", f"{_CONTEXT}, graph_compute"),
    ("any", "failed to compute graph, compute status: #", f"{_CONTEXT}, process_ubatch"),
    ("any", "compute failed while preparing batch of size #", f"{_CONTEXT}, decode"),
    ("any", "failed to find a memory slot for batch of size #", f"{_CONTEXT}, decode"),
    ("any", "failed to find KV cache slot for ubatch of size #", f"{_CONTEXT}, decode (2025)"),
    ("any", "failed to decode, ret = #", f"{_CONTEXT}, llama_decode"),
    ("any", "failed to decode prompt batch, res = #", f"{_BENCH}, test_prompt"),
    ("any", "failed to decode generation batch, res = #", f"{_BENCH}, test_gen"),
    ("any", "failed to decode the batch, n_batch = #", "tools/perplexity/perplexity.cpp, decode_helper"),
    ("any", "perplexity : failed to decode", "tools/perplexity/perplexity.cpp, perplexity"),
    ("any", "kl_divergence : failed to decode", "tools/perplexity/perplexity.cpp, kl_divergence"),
    ("any", "perplexity : failed to eval", "perplexity.cpp of ik_llama.cpp and until 2025"),
    ("any", "kl_divergence : failed to eval", "perplexity.cpp of ik_llama.cpp and until 2025"),
)  # fmt: skip

_REFUSAL = (
    ("Metal", "error: unsupported op '", "ggml-metal/ggml-metal-ops.cpp, ggml_metal_op_encode_impl"),
    ("Metal", "error: node *, op = * not implemented", "ggml-metal/ggml-metal-ops.cpp, ggml_metal_op_encode_impl"),
    ("Metal", "kernel not found in any metal library: base = '",
     f"{_METAL_DEVICE}, ggml_metal_library_compile_pipeline"),
    (_CUDAS, "Unsupported KV type combination for head_size",
     "ggml-cuda/fattn-common.cuh, on_no_fattn_vec_case (until 2025; ik_llama.cpp)"),
    (f"{_CUDAS}, SYCL", "unsupported type combination (* to *)",
     "ggml-cuda/cpy.cu, ggml_cuda_cpy (ggml_cuda_cpy_fn until 2025); ggml-sycl/cpy.cpp, ggml_sycl_cpy"),
    (f"{_CUDAS}, SYCL, OpenCL, CANN", "op not supported * (*)", f"{_CUDA}, and graph_compute of the others"),
    ("zDNN, BLAS, ZenDNN", "_graph_compute: unsupported op ", "ggml-zdnn/ggml-zdnn.cpp; ggml-blas/ggml-blas.cpp"),
    (_CUDAS, "set-rows.cu:#: unsupported type ", "ggml-cuda/set-rows.cu, set_rows_cuda"),
    ("Vulkan", "Missing CPY op for types: ", f"{_VULKAN}, ggml_vk_get_cpy_pipeline"),
    ("Vulkan", "Missing quantize pipeline for type: ", f"{_VULKAN}, ggml_vk_get_quantize_pipeline"),
    ("Vulkan", "ggml_vulkan: Error: Missing op: ", f"{_VULKAN}, ggml_vk_op_f32"),
    ("SYCL", "Not match KV type in vec", "ggml-sycl/fattn.cpp, ggml_sycl_flash_attn_ext_vec"),
    ("SYCL", "Not support Flash-Attention", "ggml-sycl/fattn.cpp, ggml_sycl_flash_attn_ext"),
    ("SYCL", "unsupported quantized target type in sycl quantizer", "ggml-sycl/cpy.cpp, ggml_sycl_quantize_rows_sycl"),
    ("SYCL", "unsupport data type=", "ggml-sycl/convert.cpp, ggml_get_to_fp16_sycl"),
    ("SYCL", "Unsupported tensor type: src0 * src1 * dst ", "ggml-sycl/set_rows.cpp, ggml_sycl_op_set_rows"),
    ("CANN", "Unsupported tensor type for GGML_OP_SET_ROWS", "ggml-cann/aclnn_ops.cpp, ggml_cann_set_rows"),
    ("WebGPU", "Unsupported * type for flash attention shader", "ggml-webgpu/ggml-webgpu-shader-lib.hpp"),
    ("WebGPU", "Unsupported dst type for * shader", "ggml-webgpu/ggml-webgpu-shader-lib.hpp"),
    ("Hexagon", "graph-compute * is not supported", f"{_HEXAGON}, ggml_backend_hexagon_graph_compute"),
    ("ET", "ET: * operation with unsupported types: ", "ggml-et/ggml-et-ops.cpp"),
    ("any", "invalid parameter for argument: -ctk", f"{_BENCH}, parse_cmd_params"),
    ("any", "invalid parameter for argument: -ctv", f"{_BENCH}, parse_cmd_params"),
    ("any", "invalid parameter for argument: --cache-type-", f"{_BENCH}, parse_cmd_params"),
    ("any", "Unsupported cache type: ", "common/arg.cpp, kv_cache_type_from_str"),
    ("any", "cache type * with block size # does not divide n_embd_head_", f"{_CONTEXT}, llama_init_from_model"),
    ("any", "model does not support different K (*) and V (*) cache types",
     f"{_CONTEXT}, llama_init_from_model (models with MLA, since 2026-07)"),
    ("any", "quantized V cache requires flash_attn", f"{_CONTEXT}, llama_init_from_model"),
    ("any", "quantized V cache was requested, but this requires", f"{_CONTEXT}, llama_context"),
    ("any", "V cache quantization requires flash_attn", f"{_CONTEXT}, llama_init_from_model (until 2026)"),
    ("any", "simultaneous use of * and KV cache quantization not implemented",
     f"{_CONTEXT}, llama_init_from_model (until 2026)"),
    ("any", "pre-allocated tensor (cache_*) in a buffer (*) that cannot run the", "ggml-backend.cpp"),
)  # fmt: skip

_MODEL = (
    ("any", "error loading model: ", "src/llama.cpp, llama_model_load"),
    ("any", "error loading model * ", "src/llama.cpp, llama_model_load (hyperparameters, vocabulary, architecture)"),
    ("any", "failed to load model", f"{_BENCH}, main; src/llama.cpp"),
    ("any", "unable to load model", "tools/perplexity/perplexity.cpp, main"),
    ("any", ": failed to open GGUF file", "gguf.cpp, gguf_init_from_file"),
    ("any", ": invalid magic characters", "gguf.cpp, gguf_init_from_file_ptr"),
)  # fmt: skip

_ABORT = tuple(
    ("any", f".{ending}:#: ", "ggml.c, ggml_abort: GGML_ABORT and GGML_ASSERT")
    for ending in ("c", "cc", "cpp", "cu", "cuh", "h", "hpp", "m", "mm")
)

_HARMLESS = (
    ("any", "pinned memory", f"{_CUDA}, ggml_cuda_host_malloc, and its like in SYCL, CANN and Vulkan"),
    ("any", "falling back to ", "several back ends"),
    ("any", " fallback", "several back ends"),
    ("Vulkan", "ggml_vulkan: Failed ggml_vk_create_buffer (", f"{_VULKAN_BUFFERS}; a copy is made instead"),
    ("Vulkan", "ggml_vulkan: Failed getMemoryHostPointerPropertiesEXT", f"{_VULKAN_BUFFERS}; a copy is made instead"),
    ("SYCL", "skipping reorder", f"{_SYCL}, reorder_qw_q4_0 and its like"),
    (_CUDAS, " error: driver shutting down", f"{_CUDA}, ggml_cuda_error, when the process ends"),
)  # fmt: skip

WORDINGS = tuple(
    Wording(meaning, *row)
    for meaning, rows in (
        (MEMORY, _MEMORY), (COMPUTATION, _COMPUTATION), (REFUSAL, _REFUSAL), (MODEL, _MODEL), (ABORT, _ABORT),
        (HARMLESS, _HARMLESS),
    )
    for row in rows
)  # fmt: skip
