"""What llama.cpp's verbose log tells about a run: llama-bench ``-v``, llama-perplexity ``-lv 4``.

Format: ``src/llama-kv-cache.cpp``, ``src/llama-context.cpp`` and ``src/llama-model.cpp`` in llama.cpp, with
or without the time stamp and level of ``common/log.cpp``. A process logs every context that it creates:
llama-bench one for each test, llama-perplexity in some builds one for a trial without memory and then the
real one.

Only complete lines count: what follows the last end of line was cut.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from kvsweep.engine.cache_line import known, kv_cache, kv_self_size, padded_number
from kvsweep.engine.logged import EngineContext, EngineLog, KvCache
from kvsweep.engine.messages import STAMP, plain
from kvsweep.errors import UnparsableOutput


def parse_engine_log(text: str) -> EngineLog:
    """Read a verbose log. A log that says nothing of interest gives an empty EngineLog.

    Raises UnparsableOutput for a line about the KV cache or the graph in an unknown form, for one that
    appears where the engine does not print it (a repeated line, two logs mixed), and for rotations that
    differ between contexts.
    """
    reader = _Reader()
    for line in plain(text).split("\n")[:-1]:
        function, colon, message = line.partition(": ")
        if not colon:
            continue
        handler = _HANDLERS.get(function)
        if handler is None and " " in function:  # a time stamp and level?
            stamped = _STAMP.fullmatch(function)
            handler = _HANDLERS.get(stamped[1]) if stamped else None
        if handler is not None:
            handler(reader, message)
        elif message.startswith("creating "):  # of any function: some are lambdas
            reader.creating(message)
    return reader.log()


_STAMP = re.compile(STAMP + r"(\w+)")

_HADAMARD = re.compile(r"([kv])_cache_hadam = ([01])")
_KV_LABEL = re.compile(r"creating +(\S.*?) KV cache(?:, size = \d+ cells)?")
_RECURRENT = re.compile(r"size = ([ \d]{4,}\.\d\d) MiB \(.* cells, .* layers, .* seqs.*\), R \(\w+\): .*")
# Since 2026-05 the size of the rotation's matrix, 0 for none.
_KV_ROTATION = re.compile(r"(?:attn_rot|n_rot)_([kv]) = (\d+)(?:, .*)?")
_KV_BUFFER = re.compile(r" *(\S+) KV buffer size = [ \d]{5,}\.\d\d MiB")
_KV_DEVICE = re.compile(r"layer +\d+: dev = (\S+)")
_KV_UPGRADE_START = ("auto-asymmetric: ", "Boundary V ", "layer-adaptive mode ", "V-only LA mode ")
_WHOLE_TYPE = r"(?:(?:turbo|kvarn)\d|[a-z]+\d_(?:\d|[A-Za-z]{2})|b?f16|f32)"
_KV_UPGRADE = re.compile(
    r"auto-asymmetric: GQA ratio \d+:1 \(n_head=\d+, n_head_kv=\d+\) \S+ upgrading [KV] from "
    rf"{_WHOLE_TYPE} to {_WHOLE_TYPE}"
    r" to prevent quality degradation\. Disable with TURBO_AUTO_ASYMMETRIC=0"
    r"|Boundary V auto-enabled for turbo\d-V \(opt-out: TURBO_LAYER_ADAPTIVE=0\)"
    # Whole names only: one that is cut short is not what the engine said.
    rf"|(?:Boundary V|V-only LA) mode \d+: \S+ V={_WHOLE_TYPE}, rest V={_WHOLE_TYPE}"
    r"|layer-adaptive mode \d+ enabled \(env\)"
)
_PARAMETER = re.compile(r"(n_ctx|n_ctx_seq|n_batch|n_ubatch) += (\d+)")
_FLASH_ATTN = re.compile(
    r"flash_attn += (enabled|disabled|auto|[01])|Flash Attention was auto, set to (enabled|disabled)"
)
_SPLITS = re.compile(
    r"graph splits += (\d+)(?: \(with bs=\d+\), (\d+) \(with bs=1\))?"
    r"|graph(?: \(pp bs=\d+, tg bs=\d+\))?: nodes = [\d /]+, splits = (\d+)(?: / (\d+))?(?:, .*)?"
)
_COMPUTE_BUFFER = re.compile(r" *(\S+) compute buffer size = ([ \d]{5,}\.\d\d) MiB")
_MODEL_BUFFER = re.compile(r" *(\S+) (?:model )?buffer size = ([ \d]{5,}\.\d\d) MiB")
_FREE = re.compile(r"using device (\S+) \(.*\) - (\d+) MiB free")
_OFFLOADED = re.compile(r"offloaded (\d+)/(\d+) layers to GPU")
_OF_ALL_CONTEXTS = {
    "the rotation of K": "attn_rot_k", "the rotation of V": "attn_rot_v", "flash attention": "flash_attn",
}  # fmt: skip


class _Context:
    """A context while its lines come in."""

    def __init__(self) -> None:
        self.parameters: dict[str, int] = {}
        self.flash_attn: bool | None = None
        self.devices: list[str] = []
        self.buffers: list[str] = []
        self.kv_caches: list[KvCache] = []
        self.rotations: dict[str, list[bool]] = {"k": [], "v": []}
        self.hadamard: dict[str, bool] = {}
        self.splits: list[int] = []
        self.compute_buffers: dict[str, float] = {}
        self.label: str | None = None
        self.recurrent: float | None = None

    def kv_devices(self) -> tuple[str, ...]:
        """The devices that hold KV layers. If not every layer was logged, the devices of the KV buffers."""
        every_layer = len(self.devices) == sum(cache.layers or 0 for cache in self.kv_caches)
        return tuple(dict.fromkeys(self.devices if every_layer and self.devices else self.buffers))

    def _rotations(self, which: str) -> list[bool | None]:
        """Of each cache. In builds that print them, two lines about rotation follow the size of every cache."""
        if which in self.hadamard:
            return [self.hadamard[which]] * len(self.kv_caches)
        said: list[bool | None] = [*self.rotations[which]]
        missing = len(self.kv_caches) - len(said)
        # The end of a log may be cut between a cache's size and its rotation.
        cut = missing == 1 and not self.splits and not self.compute_buffers
        if said and missing and not cut:
            raise UnparsableOutput(
                f"the log has {len(self.kv_caches)} KV caches but {len(said)} lines attn_rot_{which}"
            )
        return said + [None] * missing

    def add(self, cache: KvCache) -> None:
        """Add a cache. Raise UnparsableOutput for one that cannot be: once caches have names, every one has a name of
        its own."""
        names = [one.label for one in self.kv_caches]
        if any(names) and (cache.label is None or cache.label in names):
            raise UnparsableOutput("the log repeats a line about the KV cache")
        self.kv_caches.append(cache)

    def finished(self) -> EngineContext:
        rotations = [self._rotations(which) for which in ("k", "v")]
        return EngineContext(
            n_ctx=self.parameters.get("n_ctx"),
            flash_attn=self.flash_attn,
            kv_caches=tuple(self.kv_caches),
            kv_devices=self.kv_devices(),
            rotations=tuple(zip(*rotations, strict=True)),
            graph_splits=max(self.splits, default=None),
            compute_buffers_mib=self.compute_buffers,
            recurrent_mib=self.recurrent,
        )


class _Reader:
    """Sorts the messages of the functions that matter into contexts."""

    def __init__(self) -> None:
        self.contexts: list[_Context] = []
        self.upgrades: dict[str, None] = {}
        self.offloaded: tuple[int, int] | None = None
        self.model_buffers: dict[str, float] = {}
        self.free: dict[str, int] = {}

    def log(self) -> EngineLog:
        if any(not context.parameters for context in self.contexts[:-1]):
            raise UnparsableOutput("the log has a context without parameters before its last one")
        if any(context.label is not None for context in self.contexts[:-1]):
            raise UnparsableOutput("the log announces a KV cache and makes another context before it")
        # All contexts are of one model; the last may be cut short.
        names = [
            [cache.label for cache in context.kv_caches] for context in self.contexts if context.kv_caches
        ]
        if any(own != names[0] for own in names[:-1]) or (names and names[-1] != names[0][: len(names[-1])]):
            raise UnparsableOutput("the log's contexts have different KV caches")
        log = EngineLog(
            contexts=tuple(context.finished() for context in self.contexts),
            kv_upgrades=tuple(self.upgrades),
            offloaded_layers=self.offloaded,
            model_buffers_mib=self.model_buffers,
            devices_free_mib=self.free,
        )
        for what, name in _OF_ALL_CONTEXTS.items():
            said = {getattr(context, name) for context in log.contexts}
            if len(said - {None}) > 1:
                raise UnparsableOutput(f"the log contradicts itself about {what}")
        return log

    def kv_cache(self, message: str) -> None:
        if device := _KV_DEVICE.fullmatch(message):
            self._context().devices.append(device[1])
        elif message.startswith("size = "):
            context = self._context()
            context.add(kv_cache(message, context.label))
            context.label = None
        elif message.startswith(("attn_rot_", "n_rot_")):
            which, rotated = known(_KV_ROTATION, message).groups()
            context = self._context()
            context.rotations[which].append(rotated != "0")
            if len(context.rotations[which]) > len(context.kv_caches):
                raise UnparsableOutput(f"the log repeats a line about the KV cache: {message!r}")
        elif buffer := _KV_BUFFER.fullmatch(message):
            self._context().buffers.append(buffer[1])
        elif message.startswith(_KV_UPGRADE_START):
            self.upgrades[known(_KV_UPGRADE, message)[0]] = None

    def creating(self, message: str) -> None:
        if label := _KV_LABEL.fullmatch(message):
            self._context().label = label[1]

    def recurrent(self, message: str) -> None:
        if state := _RECURRENT.fullmatch(message):
            self._context().recurrent = padded_number(state[1], 7)

    def context(self, message: str) -> None:
        if message == "constructing llama_context":
            self.contexts.append(_Context())
        elif parameter := _PARAMETER.fullmatch(message):
            parameters = self._context().parameters
            name, value = parameter[1], int(parameter[2])
            if name in parameters:
                raise UnparsableOutput(f"the log gives {name} twice for one context")
            parameters[name] = value
        elif flash_attn := _FLASH_ATTN.fullmatch(message):
            said = flash_attn[1] or flash_attn[2]
            self._context().flash_attn = None if said == "auto" else said in ("enabled", "1")
        elif message.startswith("graph") and "splits" in message:
            # Of prefill and of decode, in one form or the other.
            self._context().splits.append(max(int(n) for n in known(_SPLITS, message).groups() if n))
        elif buffer := _COMPUTE_BUFFER.fullmatch(message):
            self._context().compute_buffers[buffer[1]] = float(buffer[2])

    def context_in_one_function(self, message: str) -> None:
        """Read a line of builds that make a context, its cache and its graph in one function."""
        if message.startswith("n_ctx ") and (not self.contexts or "n_ctx" in self.contexts[-1].parameters):
            self.contexts.append(_Context())
        if message.startswith("KV self size "):
            context = self._context()
            if context.kv_caches:
                raise UnparsableOutput(f"the log repeats a line about the KV cache: {message!r}")
            context.add(kv_self_size(message, context.parameters.get("n_ctx")))
        elif hadamard := _HADAMARD.fullmatch(message):
            self._context().hadamard[hadamard[1]] = hadamard[2] == "1"
        elif self.contexts:
            self.context(message)

    def model(self, message: str) -> None:
        if buffer := _MODEL_BUFFER.fullmatch(message):
            # A line for each mapped file.
            self.model_buffers[buffer[1]] = self.model_buffers.get(buffer[1], 0.0) + float(buffer[2])
        elif message.startswith("loading model tensors"):
            self.model_buffers.clear()  # earlier loads are trials
        elif offloaded := _OFFLOADED.fullmatch(message):
            self.model_buffers.clear()  # the buffers come after it
            self.offloaded = int(offloaded[1]), int(offloaded[2])  # of the last load: earlier ones are trials

    def device(self, message: str) -> None:
        if free := _FREE.fullmatch(message):
            self.free[free[1]] = int(free[2])

    def _context(self) -> _Context:
        if not self.contexts:
            raise UnparsableOutput("the log speaks of a context before the first one is made")
        return self.contexts[-1]


_HANDLERS: Mapping[str, Callable[[_Reader, str], None]] = {
    "llama_kv_cache": _Reader.kv_cache,
    "llama_kv_cache_unified": _Reader.kv_cache,
    "llama_kv_cache_init": _Reader.kv_cache,
    "llama_memory_recurrent": _Reader.recurrent,
    "llama_context": _Reader.context,
    "llama_init_from_model": _Reader.context_in_one_function,
    "llama_new_context_with_model": _Reader.context_in_one_function,
    "sched_reserve": _Reader.context,
    "load_tensors": _Reader.model,
    "llm_load_tensors": _Reader.model,
    "llama_model_load_from_file_impl": _Reader.device,
    "llama_prepare_model_devices": _Reader.device,
}
