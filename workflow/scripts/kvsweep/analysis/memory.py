"""Rows of the tables ``memory`` and ``largest_context``: what each cell needs, and what a given memory holds.

How much a context needs is in ``memory_model``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from kvsweep.analysis.memory_model import AT_OTHER_DEPTHS, SetUpMemory, context_of, memory_of
from kvsweep.analysis.set_ups import by_columns
from kvsweep.study.pairs import Pair
from kvsweep.tables.row import SET_UP, Row, Why, pair_of, problem_with, ran_as
from kvsweep.units import format_bytes, format_count

_OF_PAIR = (*SET_UP, "ctk", "ctv")
_BEYOND_ACCOUNT = "ran out although it fits"
_SURPRISES = {("oom", True): _BEYOND_ACCOUNT, ("measured", False): "ran although it does not fit"}


def memory(throughput: Iterable[Row], models: Iterable[Row]) -> list[dict[str, Any]]:
    """Rows of the table ``memory``: each throughput cell."""
    rows = list(throughput)
    known = memory_of(rows, models)
    found = []
    for key, cell in by_columns(rows, (*_OF_PAIR, "depth")).items():
        shared = dict(zip((*_OF_PAIR, "depth"), key, strict=True))
        found.append(shared | _cell(cell, known[key[: len(SET_UP)]]))
    return found


def _cell(rows: Sequence[Row], set_up: SetUpMemory) -> dict[str, Any]:
    """``rows``: the phases of one cell."""
    status = next((row["status"] for row in rows if row["status"] != "measured"), "measured")
    problems = dict.fromkeys(problem_with(row) for row in rows)
    remarks = [str(problem) for problem in problems if problem and problem.why != Why.NOT_MEASURED]
    pair = pair_of(rows[0])
    needs = set_up.needs(pair, context_of(rows))
    found: dict[str, Any] = {
        "status": status,
        "remark": "; ".join(remarks) or None,
        "weights_bytes": set_up.weights,
        "machine_memory_bytes": set_up.available,
        "kv_bytes_per_token": set_up.bytes_per_token(pair),
    }
    logged = [row["kv_bytes"] for row in rows if row["kv_bytes"] and not any(map(ran_as, rows))]
    if logged:
        found |= {"kv_bytes": max(logged), "kv_from": "log"}
    elif needs is not None:
        found |= {"kv_bytes": needs.kv, "kv_from": "computed"}
    if needs is None:
        return found
    needs = needs._replace(kv=found["kv_bytes"])
    found |= {"compute_bytes": needs.compute, "compute_from": needs.compute_from, "needed_bytes": needs.known}
    if set_up.available is not None and needs.total is not None:
        found["fits"] = needs.total <= set_up.available
        found["surprise"] = _SURPRISES.get((status, found["fits"]))
    return found


def largest_contexts(
    throughput: Iterable[Row], models: Iterable[Row], memories: Iterable[int]
) -> list[dict[str, Any]]:
    """Rows of the table ``largest_context``: each pair with the machine's own memory and with ``memories``."""
    rows, models, memories = list(throughput), list(models), tuple(memories)
    known = memory_of(rows, models)
    found = []
    for key, of_set_up in by_columns(rows, SET_UP).items():
        set_up = known[key]
        ran_out = any(row["status"] == "oom" for row in of_set_up)
        edge = _edge(memory(of_set_up, models)) if ran_out else None
        own = [] if set_up.available is None else [(set_up.available, "the machine's own", edge)]
        others = [(size, "from the configuration", None) for size in memories if size != set_up.available]
        for of_pair in by_columns(of_set_up, ("ctk", "ctv")).values():
            pair = pair_of(of_pair[0])
            deep = [row["depth"] for row in of_pair if problem_with(row) is None]
            out = [row["depth"] for row in of_pair if row["status"] == "oom"]
            shared = {name: of_pair[0][name] for name in _OF_PAIR} | {
                "weights_bytes": set_up.weights,
                "n_ctx_train": set_up.n_ctx_train,
                "kv_bytes_per_token": set_up.bytes_per_token(pair),
                "deepest_measured": max(deep, default=None),
                "shallowest_oom": min(out, default=None),
            }
            found += [shared | _largest(set_up, pair, *of_size) for of_size in (*own, *others)]
    return found


def _largest(set_up: SetUpMemory, pair: Pair, size: int, origin: str, edge: str | None) -> dict[str, Any]:
    found: dict[str, Any] = {"memory_bytes": size, "memory_is": origin}
    largest, trained = set_up.largest_context(pair, size), set_up.n_ctx_train
    notes = [edge] if edge else []
    if largest is None:
        missing = "the weights' size" if set_up.weights is None else "the KV cache's size"
        notes.insert(0, f"{missing} is not known")
        return found | {"note": "; ".join(notes)}
    context, needs = largest.context, largest.needs
    found["compute_bytes"] = needs.compute
    if largest.is_known:
        found["largest_context"] = context
        if needs.compute is None:
            notes.insert(0, "compute buffers are not known and left out")
        elif needs.compute_from != "log":
            source = "its own" if needs.compute_from == AT_OTHER_DEPTHS else f"{needs.compute_from}'s"
            notes.insert(0, f"compute buffers along {source} at the logged depths")
    else:
        notes.insert(0, f"compute buffers are not known beyond {format_count(context)} tokens, which fit")
    if trained is not None and context > trained:
        notes.insert(0, f"beyond the {format_count(trained)} that the model was trained for")
    found["recommended_context"] = set_up.recommended(largest)
    return found | {"note": "; ".join(notes) or None}


def _edge(cells: Iterable[Row]) -> str | None:
    """Where memory really ended, if any cell ran out although it fits by this account."""
    cells = [cell for cell in cells if cell.get("kv_bytes")]
    if not any(cell.get("surprise") == _BEYOND_ACCOUNT for cell in cells):
        return None
    out = min(cell["kv_bytes"] for cell in cells if cell["status"] == "oom")
    ran = max((cell["kv_bytes"] for cell in cells if cell["status"] == "measured"), default=None)
    text = (
        f"cells ran out of memory from {format_bytes(out)} of KV cache on, although they fit by this account"
    )
    return text if ran is None else f"{text}; the largest that ran had {format_bytes(ran)}"
