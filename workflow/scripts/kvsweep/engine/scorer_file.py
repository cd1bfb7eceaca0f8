"""The records of the scorer (scorer/divergence.h, scorer/records.h): a window is a header and one record a token.

A cell's file is its windows, one behind the other. Little endian, 32 bytes each:

- header: ``kvscore1``, window, n_ctx, records, bytes of a record (uint32 each), FNV-1a of the window's tokens (uint64)
- record: position, token (int32), NLL under f16, NLL, KL divergence, change of the token's probability, entropy under
  f16 (float32; nats), 1 where the most likely token is the same (uint32)
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kvsweep.errors import UnparsableOutput
from kvsweep.study.positions import Positions

HEADER = struct.Struct("<8sIIIIQ")
RECORD = struct.Struct("<iifffffI")
MAGIC = b"kvscore1"
# Its name beside a cell's run.json.
SCORES = "tokens.scores"
FIELDS = ("position", "token", "nll_base", "nll", "kld", "delta_p", "entropy_base", "same_top")


def window_name(window: int) -> str:
    return f"w{window:05d}.scores"


def window_bytes(n_scored: int) -> int:
    return HEADER.size + n_scored * RECORD.size


@dataclass(frozen=True)
class Window:
    """``scores`` is a structured numpy array with ``FIELDS``."""

    index: int
    scores: Any


def read_windows(path: Path, n_ctx: int, chunks: int, positions: Positions) -> Iterator[Window]:
    """The windows of a cell, one at a time. Raises UnparsableOutput unless they are what was asked for, all of it."""
    import numpy as np

    record = np.dtype(
        [(name, "<i4" if i < 2 else "<u4" if name == "same_top" else "<f4") for i, name in enumerate(FIELDS)]
    )
    wanted = np.concatenate([np.arange(part.start, part.stop) for part in positions.ranges(n_ctx)])
    with path.open("rb") as file:
        for index in range(chunks):
            header = file.read(HEADER.size)
            found = HEADER.unpack(header) if len(header) == HEADER.size else (b"", 0, 0, 0, 0, 0)
            if found[:5] != (MAGIC, index, n_ctx, len(wanted), RECORD.size):
                raise UnparsableOutput(f"the scorer's file has no whole window {index} of {chunks}")
            scores = np.frombuffer(file.read(len(wanted) * RECORD.size), dtype=record)
            if len(scores) != len(wanted) or not np.array_equal(scores["position"], wanted):
                raise UnparsableOutput(
                    f"window {index} of the scorer's file has other positions than asked for"
                )
            numbers = ("nll_base", "nll", "kld", "delta_p", "entropy_base")
            if not all(np.isfinite(scores[name]).all() for name in numbers) or (scores["kld"] < -1e-6).any():
                raise UnparsableOutput(
                    f"window {index} of the scorer's file holds values that no token can have"
                )
            yield Window(index, scores)
        if file.read(1):
            raise UnparsableOutput(
                f"the scorer's file holds more than the {chunks} windows that were asked for"
            )
