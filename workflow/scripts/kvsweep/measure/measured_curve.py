"""How fast a pair was at the depths that have been measured of it, in whichever round, from the raw records on disk."""

from __future__ import annotations

from pathlib import Path

from kvsweep.engine.bench_output import fills
from kvsweep.engine.bench_results import results
from kvsweep.errors import KvsweepError
from kvsweep.measure.prediction import Rates
from kvsweep.measure.record import NO_RECORD, read_recorded
from kvsweep.study.pairs import Pair


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
    """Where a pair's cells of a depth, or of all of them (``*``), lie; the first round's first."""
    cell = f"d{depth}/k-{pair.ctk}/v-{pair.ctv}"
    return [path for rounds in ("", "round-*/") for path in sorted(curve_directory.glob(f"{rounds}{cell}"))]
