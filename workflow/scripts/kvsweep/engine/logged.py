"""What the verbose log of an engine's process says: its contexts, their KV caches, and where memory is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from kvsweep.errors import UnparsableOutput


@dataclass(frozen=True)
class KvCache:
    """One KV cache as the engine made it: sizes in MiB, ``cells`` (tokens) for each of ``n_stream``.

    Builds that print one line for all layers do not say how many ``layers`` and sequences there are: None. Sizes
    have two decimals in the log. The type is the one the engine calls it; exceptions for single layers show in the
    size only. ``label`` is what the engine says that it creates, where there is more than one cache (``non-SWA``,
    ``SWA``, ``main``, ``indexer``).
    """

    size_mib: float
    cells: int
    layers: int | None
    n_seq: int | None
    n_stream: int | None
    type_k: str
    k_mib: float
    type_v: str
    v_mib: float
    label: str | None = None

    def __post_init__(self) -> None:
        if abs(self.size_mib - self.k_mib - self.v_mib) > 0.016 + 1e-7 * self.size_mib:
            raise UnparsableOutput(
                f"the log claims a KV cache of {self.size_mib} MiB with {self.k_mib} MiB of K"
                f" and {self.v_mib} MiB of V"
            )


@dataclass(frozen=True)
class EngineContext:
    """One context of the process; None (or empty) is what was not logged.

    ``graph_splits`` is the larger one of the graphs for prefill and decode, where the log tells both. Buffers in MiB
    by device name. ``recurrent_mib`` is the state of recurrent layers. ``kv_devices`` are the devices that hold KV
    layers, each once, in the order of the layers or, where these are not logged, of their buffers. ``rotations`` says
    of each cache whether its K and its V are rotated; ``attn_rot_k`` and ``attn_rot_v`` are None where they differ, an
    indexer's cache aside.
    """

    n_ctx: int | None = None
    flash_attn: bool | None = None
    kv_caches: tuple[KvCache, ...] = ()
    kv_devices: tuple[str, ...] = ()
    rotations: tuple[tuple[bool | None, bool | None], ...] = ()
    graph_splits: int | None = None
    compute_buffers_mib: Mapping[str, float] = field(default_factory=dict)
    recurrent_mib: float | None = None

    @property
    def attn_rot_k(self) -> bool | None:
        return self._rotated(0)

    @property
    def attn_rot_v(self) -> bool | None:
        return self._rotated(1)

    def _rotated(self, side: int) -> bool | None:
        # An indexer's cache is always rotated, whatever the types are.
        of_caches = {
            rotation[side]
            for cache, rotation in zip(self.kv_caches, self.rotations, strict=True)
            if "indexer" not in (cache.label or "")
        }
        return of_caches.pop() if len(of_caches) == 1 else None


@dataclass(frozen=True)
class EngineLog:
    """All contexts of a process in order of appearance, and what the log says once for the process.

    ``kv_upgrades`` are the messages by which the engine says that it uses other cache types than it was asked
    for; ``offloaded_layers`` is (layers on the device, layers in all); ``devices_free_mib`` is what was free on each
    before the model was loaded. ``model_buffers_mib`` is the sum of the lines of each name in the last load.
    """

    contexts: tuple[EngineContext, ...] = ()
    kv_upgrades: tuple[str, ...] = ()
    offloaded_layers: tuple[int, int] | None = None
    model_buffers_mib: Mapping[str, float] = field(default_factory=dict)
    devices_free_mib: Mapping[str, int] = field(default_factory=dict)

    @property
    def kv_caches(self) -> tuple[KvCache, ...]:
        """Every KV cache, in order of appearance. A model with sliding windows has two in each context."""
        return tuple(cache for context in self.contexts for cache in context.kv_caches)


def is_host(name: str) -> bool:
    """Whether a buffer, or a device that holds layers, of this name is the host's: ``CPU``, ``CPU_...``, ``AMX``,
    ``BLAS`` and, of memory that a device can reach, ``NAME_Host`` (OpenVINO: ``NAME_HOST``)."""
    return re.match("CPU|AMX|BLAS|(?:.*_)?(?:Host|HOST)$", name) is not None


def on_device(buffers_mib: Mapping[str, float]) -> int | None:
    """Bytes in the buffers of the devices; where there is none but the host, in the host's. None if none was logged."""
    devices = {name: mib for name, mib in buffers_mib.items() if not is_host(name)}
    chosen = devices or buffers_mib
    return round(sum(chosen.values()) * 2**20) if chosen else None
