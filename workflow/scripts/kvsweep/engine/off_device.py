"""Whether a run's work left the device that its engine was built for, by its own log: no other run is asked.

What every offloaded run has on the host is no sign: token embeddings, pinned buffers, the output's buffer. Neither is
what the command asks for: experts that are kept on the host make splits in every layer.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from kvsweep.engine.log import parse_engine_log
from kvsweep.engine.logged import EngineContext, EngineLog, is_host
from kvsweep.errors import UnparsableOutput

# Arguments that put weights on the host on purpose, of llama-bench, llama-perplexity and their forks.
_ASKED_FOR = {"-ot", "--override-tensor", "-cmoe", "--cpu-moe", "-ncmoe", "--n-cpu-moe"}
_OVERRIDDEN = re.compile(r"buffer type overridden to (\S+)")
_MOVED = re.compile(
    r"\(and (\d+) others\) cannot be used with preferred buffer type (\S+), using (\S+) instead"
)
_NO_DEVICE = re.compile(
    r"no usable GPU found|failed to initialize (?:CUDA|ROCm|MUSA|CANN|SYCL)|found 0 (?:CUDA|ROCm|SYCL|MUSA) devices"
    r"|ggml_vulkan: No devices found|ggml_vulkan: Found 0 Vulkan devices|no \w+-capable device is detected"
    r"|no SYCL device available|SYCL: failed to initialize"
    r"|ggml_opencl: (?:platform IDs not available|could find any OpenCL devices|no (?:platform|device) matching"
    r"|unsupported GPU|drop unsupported device)"
    r"|ggml_webgpu: Failed to get an? (?:adapter|device)|is not available, fallback to CPU"
    r"|ggml_backend_metal_init: error|ggml-hex: .*failed to open session"
)
# What did not fit the device and went into the host's memory instead (OpenCL).
_MOVED_BUFFER = re.compile(r"([\d.]+) MiB allocated via CL_MEM_ALLOC_HOST_PTR fallback")
# Architectures whose layers are made of experts, by llama.cpp's names (``src/llama-arch.cpp``).
_OF_EXPERTS = re.compile(
    r"moe|deepseek|glm-dsa|gpt-oss|llama4|dbrx|grok|arctic|minimax|dots1|kimi|mimo|step35|qwen3next|afmoe"
)
_MUCH = 1 / 3
# Embeddings, those of each layer included, are up to two thirds of a small model.
_MOST = 0.8


@dataclass(frozen=True)
class Evidence:
    """``known`` is whether the log tells where the work was done, ``signs`` what shows that it left the device."""

    known: bool
    signs: tuple[str, ...]

    @property
    def fallback(self) -> bool | None:
        return bool(self.signs) if self.known or self.signs else None


def evidence(
    context: EngineContext, log: EngineLog, text: str, command: Sequence[str], architecture: str | None = None
) -> Evidence:
    """What shows that work left the device, of one context of an engine built for one. ``text`` is the log, ``command``
    what was run, ``architecture`` the model's."""
    on_purpose = (
        bool(_ASKED_FOR & set(command))
        or any(map(is_host, _OVERRIDDEN.findall(text)))
        or _experts_on_host(log, architecture)
    )
    moved, buffers = sum(map(float, _MOVED_BUFFER.findall(text))), context.compute_buffers_mib
    moved_sign = f"buffers of {moved:.0f} MiB did not fit the device and lie in the host's memory"
    signs = [
        *_no_device(context, log, text),
        *([moved_sign] if moved else []),
        *_weights(log, text, on_purpose),
        *_cache(context),
        *(["everything is computed on the host"] if buffers and all(map(is_host, buffers)) else []),
        *([] if on_purpose else _splits(context, log)),
    ]
    places = context.kv_devices or tuple(context.compute_buffers_mib)
    return Evidence(bool(places) and context.graph_splits is not None, tuple(signs))


def signs_in(stderr: str, command: Sequence[str], architecture: str | None = None) -> tuple[str, ...]:
    """The signs in all of a process's contexts, each once; none where the log cannot be read."""
    try:
        log = parse_engine_log(stderr)
    except UnparsableOutput:
        return ()
    contexts = [context for context in log.contexts if context.kv_caches]
    found = [evidence(context, log, stderr, command, architecture).signs for context in contexts]
    return tuple(dict.fromkeys(sign for signs in found for sign in signs))


def _experts_on_host(log: EngineLog, architecture: str | None) -> bool:
    """Whether a model of experts has much of its weights on the host although all its layers are on the device: the
    experts are there, as an engine does only where it is asked to. A log without tensors does not show that."""
    host = sum(mib for name, mib in log.model_buffers_mib.items() if is_host(name))
    whole = log.offloaded_layers is None or log.offloaded_layers[0] == log.offloaded_layers[1]
    much = _MUCH * sum(log.model_buffers_mib.values()) < host < sum(log.model_buffers_mib.values())
    return whole and much and _OF_EXPERTS.search(architecture or "") is not None


def _no_device(context: EngineContext, log: EngineLog, text: str) -> list[str]:
    names = {*log.devices_free_mib, *log.model_buffers_mib, *context.kv_devices, *context.compute_buffers_mib}
    if not all(map(is_host, names)) or _NO_DEVICE.search(text) is None:
        return []
    return ["the engine found no device"]


def _weights(log: EngineLog, text: str, on_purpose: bool) -> list[str]:
    buffers = log.model_buffers_mib
    host = sum(mib for name, mib in buffers.items() if is_host(name))
    device = sum(buffers.values()) - host
    if buffers and not device:
        return ["all weights lie in the host's memory"]
    if log.offloaded_layers and log.offloaded_layers[0] < log.offloaded_layers[1]:
        return ["only {} of {} layers are on the device".format(*log.offloaded_layers)]
    moved = [int(n) + 1 for n, wanted, got in _MOVED.findall(text) if is_host(got) and not is_host(wanted)]
    if moved:
        return [f"{sum(moved)} of the weights cannot be used on the device"]
    if host > _MOST * (host + device) and not on_purpose:
        return ["most of the weights lie in the host's memory"]
    return []


def _cache(context: EngineContext) -> list[str]:
    on_host = [name for name in context.kv_devices if is_host(name)]
    if not on_host:
        return []
    part = "" if len(on_host) == len(context.kv_devices) else "part of "
    return [f"{part}the KV cache lies in the host's memory"]


def _splits(context: EngineContext, log: EngineLog) -> list[str]:
    """A graph on n devices has n splits and one on the host; one operation on the host adds two in each layer."""
    names = {*log.model_buffers_mib, *context.kv_devices, *context.compute_buffers_mib}
    devices = sum(not is_host(name) for name in names if not name.endswith("_Mapped"))
    layers = min((cache.layers for cache in context.kv_caches if cache.layers), default=None)
    if layers is None or context.graph_splits is None or context.graph_splits <= layers + max(devices, 1) + 1:
        return []
    return [f"{context.graph_splits} graph splits: they grow with the layers"]
