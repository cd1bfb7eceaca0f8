"""How long a deep throughput cell will take, from the records of shallower ones.

The time of one token at depth d is taken as linear in d between measured depths. Beyond its deepest one a pair follows
the f16/f16 curve, scaled to that point, where that curve reaches further; else its own last two points.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from kvsweep.engine.bench_output import fills, results
from kvsweep.engine.commands import BenchRequest
from kvsweep.errors import KvsweepError
from kvsweep.measure.record import NO_RECORD, read_recorded
from kvsweep.statistics import along
from kvsweep.study.pairs import Pair

_STEPS = 64


class Rates(NamedTuple):
    """Tokens per second at one depth; None where that phase was not measured. ``fills`` is how often the cache was
    filled to that depth."""

    prefill: float
    decode: float | None
    fills: int = 1


Curve = Mapping[int, Rates]  # by depth in tokens


def probe_depth(curve: Curve) -> int | None:
    """The shallowest non-zero measured depth of a pair."""
    return min((depth for depth in curve if depth > 0), default=None)


def has_probe(curve_directory: Path, pair: Pair, depth: int) -> bool:
    """Whether there is a cell of the pair at a non-zero depth below this one: without one nothing is predicted, and no
    record need be read."""
    return any(0 < depth_of(cell) < depth for cell in directories_of(curve_directory, "*", pair))


def predicted_seconds(request: BenchRequest, curve: Curve, reference: Curve) -> float | None:
    """Seconds for the cell of ``request``, from the pair's shallower cells and the f16/f16 ones.

    None where no shallower non-zero depth of the pair has been measured. Where neither curve has two depths the rate of
    the probe is taken to hold at every depth, which is too short a time, never too long.
    """
    known = {depth: rates for depth, rates in curve.items() if depth < request.depth}
    probe = probe_depth(known)
    if probe is None:
        return None
    prefill = {depth: 1 / rates.prefill for depth, rates in known.items()}
    decode = {depth: 1 / rates.decode for depth, rates in known.items() if rates.decode}
    prefill_reference = {depth: 1 / rates.prefill for depth, rates in reference.items()}
    decode_reference = {depth: 1 / rates.decode for depth, rates in reference.items() if rates.decode}

    def prefill_at(depth: float) -> float:
        return _seconds_per_token(depth, prefill, prefill_reference)

    step = request.depth / _STEPS
    fills = max(rates.fills for depth, rates in known.items() if depth)
    fill = fills * sum(prefill_at((i + 0.5) * step) * step for i in range(_STEPS))
    # llama-bench runs each test once more, untimed, to warm up; one of the two warm-ups is short.
    timed = (request.repetitions + 1) * request.prompt * prefill_at(request.depth)
    if decode:
        timed += (
            request.repetitions
            * request.generate
            * _seconds_per_token(request.depth, decode, decode_reference)
        )
    return fill + timed


def _seconds_per_token(depth: float, own: Mapping[int, float], reference: Mapping[int, float]) -> float:
    """The pair's time per token at a depth: along its own points up to the deepest, beyond that along the reference's
    shape where that reaches, else along its own last two points."""
    deepest = max(own)
    if depth > deepest and deepest in reference and max(reference) > deepest:
        return own[deepest] * along(depth, reference) / reference[deepest]
    return along(depth, own)


def measured_curve(
    curve_directory: Path, pair: Pair, build_sha256: str, model_sha256: str, machine: str | None = None
) -> dict[int, Rates]:
    """Prefill and decode rates by depth that have been measured for a pair with the same engine and model.

    ``curve_directory`` holds a directory for each depth, and for each later round one that holds the same; of several
    rounds the first counts. Records of another engine or model, of another machine than the one named, and records that
    cannot be read, are left out: they predict nothing. Where no machine is named and the records are of several, there
    is no curve: two machines are never one.
    """
    curve: dict[int, Rates] = {}
    machines = set()
    for directory in directories_of(curve_directory, "*", pair):
        try:
            recorded = read_recorded(directory)
            tests = results(recorded.stdout, recorded.stderr)
            run = recorded.run
            of, name = (run["build_sha256"], run["model_sha256"]), run["machine"]["name"]
            depth = int(run["depth"])
        except (KvsweepError, *NO_RECORD):
            continue
        if of != (build_sha256, model_sha256) or machine not in (None, name):
            continue
        rates = {test.phase: test.tokens_per_second for test in tests}
        if "prefill" in rates:
            found = Rates(rates["prefill"], rates.get("decode"), max(fills(recorded.stderr), 1))
            curve.setdefault(depth, found)
            machines.add(name)
    return curve if len(machines) <= 1 else {}


def directories_of(curve_directory: Path, depth: int | str, pair: Pair) -> list[Path]:
    """The directories of a pair's cells at one depth, or at all (``*``), the first round's before the others'."""
    cell = f"d{depth}/k-{pair.ctk}/v-{pair.ctv}"
    return [path for rounds in ("", "round-*/") for path in sorted(curve_directory.glob(f"{rounds}{cell}"))]


def depth_of(cell: Path) -> int:
    """The depth in the path of a cell's directory; 0 for a directory of another name."""
    digits = cell.parts[-3].removeprefix("d")
    return int(digits) if digits.isdecimal() else 0
