"""Cells of the scorer with made-up scores, written as the program writes them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kvsweep.engine.scorer_file import HEADER, MAGIC, RECORD, SCORES
from kvsweep.measure.record import Recorded, read_recorded
from kvsweep.study.positions import Positions
from kvsweep.tables import blocks

BUILD = {"commit": "c0ffee", "backend": "cpu"}


def scores_of(n_ctx: int, windows: int, positions: Positions, kld: Callable[[int, int], float]) -> bytes:
    """``kld`` of a window and a position; a token's id is its position, and costs half of it in likelihood."""
    at = [position for part in positions.ranges(n_ctx) for position in part]
    data = b""
    for window in range(windows):
        data += HEADER.pack(MAGIC, window, n_ctx, len(at), RECORD.size, 0)
        for position in at:
            value = kld(window, position)
            data += RECORD.pack(
                position, position, 2.0, 2.0 + value / 2, value, -value / 4, 1.5, int(value < 1)
            )
    return data


def scored_cell(
    place: Path, kld: Callable[[int, int], float], n_ctx: int = 1024, windows: int = 2, **run: Any
) -> Recorded:
    """A record of q4_0 in the directory ``place``."""
    place.mkdir(parents=True, exist_ok=True)
    positions = run.get("positions", "half")
    (place / SCORES).write_bytes(scores_of(n_ctx, windows, Positions.parse(positions), kld))
    streams = []
    for name in ("stdout.log", "stderr.log"):
        (place / name).write_bytes(b"")
        streams.append({"name": name, "sha256": hashlib.sha256(b"").hexdigest()})
    record = {
        **{"engine": "mainline", "model": "tiny", "model_sha256": "5b" * 32, "corpus": "text", "ctk": "q4_0"},
        **{"ctv": "q4_0", "n_ctx": n_ctx, "chunks": windows, "positions": positions, "streams": streams},
        "machine": {"name": "here"},
    }
    (place / "run.json").write_text(json.dumps(record | run))
    return read_recorded(place)


def mean_of(values: blocks.Numbers, positive: bool = False) -> blocks.Mean:
    """The mean of tokens, a row for each window, as the table quality has it."""
    return blocks.mean_of_windows(values.mean(axis=1), _of_blocks(values), positive)


def share_of(values: blocks.Numbers) -> blocks.Mean:
    """The mean of 0 and 1, likewise."""
    return blocks.share_of_windows(values.mean(axis=1), _of_blocks(values), values.shape[1])


def _of_blocks(values: blocks.Numbers) -> float | None:
    return blocks.block_stderr(values) if len(values) < 2 else None
