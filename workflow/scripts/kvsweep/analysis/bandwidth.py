"""Decode beside the bandwidth of the machine's memory: how fast a fuller cache is read.

Each token of decode reads the whole cache once. Of two depths of one pair the time per token differs by what it takes
to read the cache between them; the weights, which are read at both, cancel, so that this needs to know nothing of a
model but its cache and holds for a mixture of experts, too. Near the peak fewer bits are faster in proportion; far
below it something else than reading limits, such as the arithmetic of a type.

The interval is that of the difference in time, taken within rounds. Where it reaches 0 the rate has no upper end, and
of one round nothing is known.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Mapping
from operator import itemgetter
from pathlib import Path
from typing import Any

from kvsweep.analysis.estimates import error_of, on_common_rounds
from kvsweep.analysis.row_values import seconds_per_token
from kvsweep.analysis.set_ups import by_columns
from kvsweep.errors import KvsweepError
from kvsweep.files import CHECKOUT
from kvsweep.tables.row import SET_UP, Row, problem_with

FILE = CHECKOUT / "resources" / "bandwidths.csv"
# What may stand behind a chip's name in a machine's: its memory. With ``Max`` or ``Ti`` it would be another chip.
_MEMORY = r"(?:[ -]+\d+ ?GB)?"
_cell = itemgetter(*SET_UP, "ctk", "ctv", "depth")


def read_bandwidths(path: Path = FILE) -> dict[str, float]:
    """Peak GB/s by chip. Raises KvsweepError for a table that is none."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return {line["chip"]: float(line["gigabytes_per_second"]) for line in csv.DictReader(file)}
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise KvsweepError(f"{path}: is no table of chip and gigabytes_per_second ({error}).") from None


def bandwidth_of(machine: str | None, known: Mapping[str, float]) -> float | None:
    """GB/s of the machine of this name; None where its chip is not in the table, or there are several."""
    found = [chip for chip in known if machine and re.fullmatch(re.escape(chip) + _MEMORY, machine)]
    return known[found[0]] if found else None


def bandwidth(
    cells: Iterable[Row], memory: Iterable[Row], known: Mapping[str, float]
) -> Iterator[dict[str, Any]]:
    """Rows of the table ``bandwidth``: each pair's shallowest decode beside each deeper one.

    ``cells`` are those of ``speed.over_rounds``, ``memory`` rows of the table of that name, ``known`` GB/s by chip.
    """
    sizes = {_cell(row): row["kv_bytes"] for row in memory if row.get("kv_bytes") is not None}
    decode = (row for row in cells if row["phase"] == "decode" and problem_with(row) is None)
    for own in by_columns(decode, (*SET_UP, "n_tokens", "ctk", "ctv")).values():
        sized = sorted((row for row in own if _cell(row) in sizes), key=lambda row: float(row["depth"]))
        for row in sized[1:]:
            yield _between(sized[0], row, sizes, known)


def _between(shallow: Row, deep: Row, sizes: Mapping[Any, int], known: Mapping[str, float]) -> dict[str, Any]:
    found: dict[str, Any] = {
        **{name: deep[name] for name in (*SET_UP, "ctk", "ctv")},
        "depth_from": shallow["depth"],
        "depth_to": deep["depth"],
        "cache_bytes": sizes[_cell(deep)] - sizes[_cell(shallow)],
        "peak_gigabytes_per_second": bandwidth_of(deep["machine"], known),
    }
    times = on_common_rounds(seconds_per_token(deep), seconds_per_token(shallow))
    if times is None:
        return found
    later, sooner = times
    longer, error = later.value - sooner.value, error_of([(1, later), (-1, sooner)])

    def rate(seconds: float) -> float | None:
        return found["cache_bytes"] / seconds / 1e9 if seconds > 0 and found["cache_bytes"] > 0 else None

    found |= {"seconds": longer, "gigabytes_per_second": rate(longer)}
    if error is not None:
        least, most = longer - error.half, longer + error.half
        found |= {"seconds_low": least, "seconds_high": most, "interval": error.kind}
        found |= {"gigabytes_per_second_low": rate(most), "gigabytes_per_second_high": rate(least)}
    peak = found["peak_gigabytes_per_second"]
    if found["gigabytes_per_second"] is not None and peak is not None:
        found["share"] = found["gigabytes_per_second"] / peak
    return found
