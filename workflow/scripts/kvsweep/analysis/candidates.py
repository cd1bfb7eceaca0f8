"""What is known of each pair in each set-up, for the work that advice is asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from kvsweep.analysis.curves import Curve
from kvsweep.analysis.estimates import Value, exactly
from kvsweep.analysis.frames import frame_of
from kvsweep.analysis.memory_model import SetUpMemory
from kvsweep.analysis.row_values import kld_of
from kvsweep.analysis.set_ups import bits_of, by_columns, kv_values, model_of
from kvsweep.study.pairs import BASELINE_PAIR, Pair
from kvsweep.tables.row import SET_UP, Row, Why, pair_of, problem_with
from kvsweep.tables.schemas import THROUGHPUT
from kvsweep.units import format_count

_OF_PAIR = (*SET_UP, "ctk", "ctv")


@dataclass(frozen=True)
class Candidate:
    """All that is known of one pair in one set-up."""

    pair: Pair
    prefill: Curve
    decode: Curve
    kld: Value | None
    scored: Sequence[Row]  # its cells of quality of all contexts that count as the pair's
    asked: Sequence[Row]  # its rows of the table task_shares
    bits: float | None
    first_oom: int | None  # tokens: the shallowest depth at which a cell ran out of memory
    problems: Mapping[str, str]  # what: why its cells do not count as this pair's

    @property
    def deepest(self) -> int | None:
        """The deepest depth that was measured in both phases."""
        both = set(self.prefill.depths) & set(self.decode.depths)
        return max(both, default=None)

    def reach_to(self, trained: int | None) -> int | None:
        """The deepest depth that was measured in either phase, and is none beyond what the model was trained for: there
        it was shown to run."""
        depths = (*self.prefill.depths, *self.decode.depths)
        return max((depth for depth in depths if trained is None or depth <= trained), default=None)


@dataclass(frozen=True)
class SetUp:
    """One set-up with its candidates; KL divergences are of ``corpus`` at ``n_ctx``."""

    identity: Mapping[str, Any]
    corpus: str | None
    n_ctx: int | None
    candidates: Sequence[Candidate]
    memory: SetUpMemory | None
    seconds_by_depth: Mapping[int, float]  # wall time of one round's processes, as far as it is known

    @property
    def seconds_of_round(self) -> float | None:
        """Seconds that one round of the set-up takes; None where no cell says it."""
        return sum(self.seconds_by_depth.values()) or None


def set_ups(
    throughput: Iterable[Row],
    quality: Iterable[Row],
    models: Iterable[Row],
    shares: Iterable[Row],
    tasks: Iterable[Row],
) -> list[SetUp]:
    """Every set-up of the first two tables, for each corpus that it has been scored on.

    ``shares``, ``tasks``: the tables task_shares and tasks.
    """
    throughput, quality, models = list(throughput), list(quality), list(models)
    find = model_of(models)
    speeds, scores = by_columns(throughput, SET_UP), by_columns(quality, SET_UP)
    asked, task_cells = by_columns(shares, _OF_PAIR), by_columns(tasks, _OF_PAIR)
    found = []
    for key in dict.fromkeys([*speeds, *scores]):
        cells, scored = speeds.get(key, []), scores.get(key, [])
        memory = SetUpMemory(cells, find(cells[0])) if cells else None
        # Of each corpus the largest context, where the cache is fullest.
        for corpus, rows in (by_columns(scored, ("corpus",)) or {(None,): []}).items():
            n_ctx = max((row["n_ctx"] for row in rows), default=None)
            at_n_ctx = [row for row in rows if row["n_ctx"] == n_ctx]
            candidates = []
            for one in _candidates(cells, at_n_ctx, rows, find):
                own = (*key, one.pair.ctk, one.pair.ctv)
                problems = {**one.problems, **_problems_of_recall(task_cells.get(own, ()))}
                candidates.append(replace(one, asked=asked.get(own, ()), problems=problems))
            identity = dict(zip(SET_UP, key, strict=True))
            found.append(SetUp(identity, corpus[0], n_ctx, candidates, memory, _seconds_by_depth(cells)))
    return found


def _seconds_by_depth(cells: Sequence[Row]) -> dict[int, float]:
    """Both phases of a cell come from one process."""
    processes = frame_of(cells, THROUGHPUT, "ctk", "ctv", "depth", "wall_seconds").dropna()
    processes = processes.drop_duplicates(["ctk", "ctv", "depth"], keep="last")
    found: Any = processes.groupby("depth").wall_seconds.sum()
    return dict(found.items())


def _candidates(
    cells: Sequence[Row],
    scored: Sequence[Row],
    scored_anywhere: Sequence[Row],
    find: Callable[[Row], Row | None],
) -> list[Candidate]:
    lengths = {
        phase: Counter(row["n_tokens"] for row in cells if row["phase"] == phase).most_common(1)
        for phase in ("prefill", "decode")
    }
    usual = {phase: counted[0][0] for phase, counted in lengths.items() if counted}
    anywhere = by_columns([row for row in scored_anywhere if problem_with(row) is None], ("ctk", "ctv"))
    found = []
    for key, rows in by_columns([*cells, *scored], ("ctk", "ctv")).items():
        pair = pair_of(rows[0])
        counts = [row for row in rows if problem_with(row) is None]
        curves = {
            phase: Curve(r for r in counts if r.get("phase") == phase and r["n_tokens"] == usual[phase])
            for phase in usual
        }
        quality = next((row for row in rows if "phase" not in row), None)
        kld = exactly(0.0) if quality is None and pair == BASELINE_PAIR else None
        if quality is not None:
            kld = kld_of(quality)
        values = kv_values(find(rows[0]))
        # What was logged says more than the types' definition.
        own = counts or rows
        logged = next((row for row in own if bits_of(row, values)[1] == "log"), own[0])
        found.append(
            Candidate(
                pair=pair,
                prefill=curves.get("prefill", Curve([])),
                decode=curves.get("decode", Curve([])),
                kld=kld,
                scored=anywhere.get(key, []),
                asked=(),
                bits=bits_of(logged, values)[0],
                first_oom=min(
                    (r["depth"] for r in rows if r["status"] == "oom" and "phase" in r), default=None
                ),
                problems=_problems(rows, quality),
            )
        )
    return found


def _problems(rows: Sequence[Row], quality: Row | None) -> dict[str, str]:
    """Why cells that were run do not count: of prefill, decode, kld."""
    found: dict[str, str] = {}
    for row in rows:
        problem = problem_with(row)
        if problem is not None and "phase" in row:
            marked = problem.why != Why.NOT_MEASURED
            found.setdefault(
                row["phase"], str(problem) if marked else f"{problem} at {format_count(row['depth'])}"
            )
    if quality is not None:
        problem = problem_with(quality)
        if problem is not None:
            found["kld"] = str(problem)
    return found


def _problems_of_recall(cells: Iterable[Row]) -> dict[str, str]:
    problems = [problem_with(row) for row in cells if row["kind"] == "recall"]
    return next(({"recall": str(problem)} for problem in problems if problem is not None), {})
