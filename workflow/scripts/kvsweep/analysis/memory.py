"""What a context needs in memory, and the largest one that fits.

needed = weights + KV cache + compute buffers. KV cache: as logged, else tokens (padded to 256, as llama.cpp does) times
the pair's bytes per token. Weights: as logged, else the size of the GGUF file. Compute buffers: as logged, between
depths along a straight line, beyond them along the last two; of a pair without any those of another pair. Not counted:
recurrent state of hybrid models, what the driver keeps for itself, other programs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kvsweep.analysis.curves import along
from kvsweep.analysis.kv_values import model_of
from kvsweep.analysis.set_ups import bits_of, by_columns
from kvsweep.engine.sizes import padded
from kvsweep.study.pairs import Pair
from kvsweep.tables.row import SET_UP, Why, pair_of, problem_with, ran_as
from kvsweep.units import format_bytes, format_count

Row = Mapping[str, Any]

# Back ends whose weights and KV cache lie in the machine's own memory.
SHARED_MEMORY = ("cpu", "metal")
CELLS = 256  # llama.cpp pads a context to this many tokens
_AT_OTHER_DEPTHS = "log, at other depths"
_LARGEST = 1 << 32  # tokens: further than anybody looks


@dataclass(frozen=True)
class Needs:
    """Bytes; None is not known. ``compute_from`` says where the compute buffers' size was logged."""

    weights: int | None
    kv: int
    compute: int | None
    compute_from: str | None

    @property
    def total(self) -> int | None:
        """As far as it is known; None without weights."""
        return None if self.weights is None else self.weights + self.kv + (self.compute or 0)


def _context(cell: Iterable[Row]) -> int:
    """Tokens in the cache of a throughput cell's larger test."""
    return padded(max(row["depth"] + row["n_tokens"] for row in cell), CELLS)


class SetUpMemory:
    """What one set-up needs for each pair at each context."""

    def __init__(self, rows: Sequence[Row], model: Row | None) -> None:
        """``rows``: all throughput rows of the set-up; ``model``: its row of the table of models."""
        self.n_ctx_train: int | None = model["n_ctx_train"] if model else None
        logged = [row["model_buffer_bytes"] for row in rows if row["model_buffer_bytes"]]
        self.weights: int | None = max(logged) if logged else model["file_bytes"] if model else None
        self.available = available_bytes(rows)
        self._bytes_per_token: dict[Pair, float] = {}
        self._compute: dict[Pair, dict[int, float]] = {}
        for row in rows:
            pair, ran_as_asked = pair_of(row), ran_as(row) is None
            if model and model["kv_values_per_token_k"] and model["kv_values_per_token_v"] and ran_as_asked:
                values = model["kv_values_per_token_k"], model["kv_values_per_token_v"]
                bits, source = bits_of(row, *values)
                if bits is not None and (source == "log" or pair not in self._bytes_per_token):
                    self._bytes_per_token[pair] = bits * sum(values) / 8

        # One size for each depth, that of its larger test: the smaller one says nothing of how the buffers grow.
        for cell in by_columns(rows, ("ctk", "ctv", "depth")).values():
            sizes = [row["compute_buffer_bytes"] for row in cell if row["compute_buffer_bytes"]]
            if sizes and not any(map(ran_as, cell)):
                of_pair = self._compute.setdefault(pair_of(cell[0]), {})
                of_pair[_context(cell)] = max(sizes)

    def bytes_per_token(self, pair: Pair) -> float | None:
        return self._bytes_per_token.get(pair)

    def needs(self, pair: Pair, context: int) -> Needs | None:
        """For ``context`` tokens in the cache; None where the pair's bytes per token are not known."""
        per_token = self._bytes_per_token.get(pair)
        if per_token is None:
            return None
        compute, source = self._compute_at(pair, padded(context, CELLS))
        return Needs(self.weights, round(per_token * padded(context, CELLS)), compute, source)

    def largest_context(self, pair: Pair, memory: int) -> tuple[int, Needs] | None:
        """The largest multiple of CELLS that fits into ``memory`` bytes, and its needs; None if that is not known."""

        def fits(context: int) -> bool:
            needs = self.needs(pair, context)
            return needs is not None and needs.total is not None and needs.total <= memory

        smallest = self.needs(pair, CELLS)
        if smallest is None or smallest.total is None:
            return None
        if not fits(CELLS):
            return 0, smallest
        low, high = 1, _LARGEST // CELLS
        while low + 1 < high:
            middle = (low + high) // 2
            low, high = (middle, high) if fits(middle * CELLS) else (low, middle)
        needs = self.needs(pair, low * CELLS)
        assert needs is not None
        return low * CELLS, needs

    def _compute_at(self, pair: Pair, context: int) -> tuple[int | None, str | None]:
        """Bytes of the compute buffers, and where they come from: ``log``, or the pair whose log says it."""
        own = self._compute.get(pair)
        if own:
            if context in own:
                return round(own[context]), "log"
            return round(along(context, own)), _AT_OTHER_DEPTHS
        if self._compute:
            # The dearest one: too small a context is a smaller mistake than one that does not fit.
            other = max(self._compute, key=lambda known: along(context, self._compute[known]))
            return round(along(context, self._compute[other])), str(other)
        return None, None


def available_bytes(rows: Iterable[Row]) -> int | None:
    """Memory for the model: what was free on the devices as logged, else the machine's where the back end shares it."""
    rows = list(rows)
    free: list[int] = [row["device_free_bytes"] for row in rows if row["device_free_bytes"]]
    if free:
        return max(free)
    own: list[int] = [row["machine_memory_bytes"] for row in rows if row["machine_memory_bytes"]]
    return max(own) if own and rows[0]["backend"] in SHARED_MEMORY else None


def memory_of(throughput: Iterable[Row], models: Iterable[Row]) -> dict[tuple[Any, ...], SetUpMemory]:
    """By set-up."""
    find = model_of(models)
    return {key: SetUpMemory(rows, find(rows[0])) for key, rows in by_columns(throughput, SET_UP).items()}


def memory(throughput: Iterable[Row], models: Iterable[Row]) -> list[dict[str, Any]]:
    """Rows of the table ``memory``: each throughput cell."""
    rows = list(throughput)
    known = memory_of(rows, models)
    found = []
    for key, cell in by_columns(rows, (*SET_UP, "ctk", "ctv", "depth")).items():
        shared = dict(zip((*SET_UP, "ctk", "ctv", "depth"), key, strict=True))
        found.append(shared | _cell(cell, known[key[: len(SET_UP)]]))
    return found


def _cell(rows: Sequence[Row], set_up: SetUpMemory) -> dict[str, Any]:
    """``rows``: the phases of one cell."""
    status = next((row["status"] for row in rows if row["status"] != "measured"), "measured")
    problems = dict.fromkeys(problem_with(row) for row in rows)
    remarks = [str(problem) for problem in problems if problem and problem.why != Why.NOT_MEASURED]
    pair = pair_of(rows[0])
    needs = set_up.needs(pair, _context(rows))
    logged = [row["kv_bytes"] for row in rows if row["kv_bytes"] and not any(map(ran_as, rows))]
    found: dict[str, Any] = {
        "status": status,
        "remark": "; ".join(remarks) or None,
        "weights_bytes": set_up.weights,
        "machine_memory_bytes": set_up.available,
        "kv_bytes_per_token": set_up.bytes_per_token(pair),
    }
    if logged:
        found |= {"kv_bytes": max(logged), "kv_from": "log"}
    elif needs is not None:
        found |= {"kv_bytes": needs.kv, "kv_from": "computed"}
    if needs is None:
        return found
    found |= {"compute_bytes": needs.compute, "compute_from": needs.compute_from}
    if set_up.weights is not None:
        found["needed_bytes"] = set_up.weights + found["kv_bytes"] + (needs.compute or 0)
        if set_up.available is not None:
            found["fits"] = found["needed_bytes"] <= set_up.available
            if status == "oom" and found["fits"]:
                found["surprise"] = "ran out although it fits"
            elif status == "measured" and not found["fits"]:
                found["surprise"] = "ran although it does not fit"
    return found


def largest_contexts(
    throughput: Iterable[Row], models: Iterable[Row], memories: Iterable[int]
) -> list[dict[str, Any]]:
    """Rows of the table ``largest_context``: each pair with the machine's own memory and with ``memories``."""
    rows, memories = list(throughput), tuple(memories)
    known = memory_of(rows, models)
    cells = by_columns(memory(rows, models), SET_UP)
    found = []
    for key, of_set_up in by_columns(rows, SET_UP).items():
        set_up = known[key]
        edge = _edge(cells[key])
        sizes = [(size, "from the configuration") for size in memories if size != set_up.available]
        if set_up.available is not None:
            sizes.insert(0, (set_up.available, "the machine's own"))
        for pair, of_pair in by_columns(of_set_up, ("ctk", "ctv")).items():
            shared = dict(zip(SET_UP, key, strict=True)) | dict(zip(("ctk", "ctv"), pair, strict=True))
            shared |= {
                "weights_bytes": set_up.weights,
                "n_ctx_train": set_up.n_ctx_train,
                "kv_bytes_per_token": set_up.bytes_per_token(Pair(*pair)),
                "deepest_measured": max(
                    (row["depth"] for row in of_pair if problem_with(row) is None), default=None
                ),
                "shallowest_oom": min(
                    (row["depth"] for row in of_pair if row["status"] == "oom"), default=None
                ),
            }
            found += [
                shared
                | _largest(
                    set_up, Pair(*pair), size, origin, edge if origin != "from the configuration" else None
                )
                for size, origin in sizes
            ]
    return found


def _largest(set_up: SetUpMemory, pair: Pair, size: int, origin: str, edge: str | None) -> dict[str, Any]:
    found: dict[str, Any] = {"memory_bytes": size, "memory_is": origin}
    largest = set_up.largest_context(pair, size)
    notes = [edge] if edge else []
    if largest is None:
        missing = "the weights' size" if set_up.weights is None else "the KV cache's size"
        notes.insert(0, f"{missing} is not known")
    else:
        context, needs = largest
        found |= {"largest_context": context, "compute_bytes": needs.compute}
        if needs.compute is None:
            notes.insert(0, "compute buffers are not known and left out")
        elif needs.compute_from != "log":
            source = "its own" if needs.compute_from == _AT_OTHER_DEPTHS else f"{needs.compute_from}'s"
            notes.insert(0, f"compute buffers along {source} at the logged depths")
        if set_up.n_ctx_train is not None and context > set_up.n_ctx_train:
            notes.insert(0, f"beyond the {format_count(set_up.n_ctx_train)} that the model was trained for")
    return found | {"note": "; ".join(notes) or None}


def _edge(cells: Iterable[Row]) -> str | None:
    """Where memory really ended, if any cell ran out although it fits by this account."""
    cells = [cell for cell in cells if cell.get("kv_bytes")]
    if not any(cell.get("surprise") == "ran out although it fits" for cell in cells):
        return None
    out = min(cell["kv_bytes"] for cell in cells if cell["status"] == "oom")
    ran = max((cell["kv_bytes"] for cell in cells if cell["status"] == "measured"), default=None)
    text = (
        f"cells ran out of memory from {format_bytes(out)} of KV cache on, although they fit by this account"
    )
    return text if ran is None else f"{text}; the largest that ran had {format_bytes(ran)}"
