"""Which pair for which work: from what was measured, and from nothing else.

The time of a request is that of its prompt, read off the prefill curve from ``depth`` on, and of its answer, read off
the decode curve behind the prompt (``curves``). A pair is

- **feasible** if both curves reach that far, its KL divergence is known where a highest one is given and is not above
  it, no cell ran out of memory on the way, and it fits into the memory where a size is given;
- **not feasible** if one of these is measured to be otherwise;
- **no data** if one of these is not known. What is missing is listed, and the pair is not ranked, however likely it
  looks.

Of the feasible ones the quickest is the pick. For the goal ``context`` it is the one that was measured deepest, in
either phase; at equal depth the one with the lower KL divergence, then the one that decodes faster. KL divergences
are those at the largest context that was scored; that f16/f16 has none against itself needs no measurement.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from kvsweep.analysis.curves import Curve, Duration
from kvsweep.analysis.kv_values import model_of
from kvsweep.analysis.memory import SetUpMemory
from kvsweep.analysis.set_ups import bits_of, by_columns, kld_of
from kvsweep.numbers import format_number
from kvsweep.study.config import Workload
from kvsweep.study.pairs import BASELINE_PAIR, Pair
from kvsweep.tables.row import SET_UP, Why, pair_of, problem_with
from kvsweep.units import format_bytes, format_count

Row = Mapping[str, Any]

FEASIBLE, NOT_FEASIBLE, NO_DATA = "feasible", "not feasible", "no data"
KL_DIVERGENCE = "its KL divergence"  # among what is missing
PICK, RUNNER_UP = "pick", "runner-up"


@dataclass(frozen=True)
class Candidate:
    """All that is known of one pair in one set-up."""

    pair: Pair
    prefill: Curve
    decode: Curve
    kld: float | None
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
class Judgement:
    """What one workload makes of one candidate."""

    candidate: Candidate
    verdict: str
    why: str
    missing: tuple[str, ...] = ()
    prefill: Duration | None = None
    decode: Duration | None = None
    needed: int | None = None
    reach: int | None = None  # goal context: the deepest depth that counts

    @property
    def request(self) -> Duration | None:
        return None if self.prefill is None or self.decode is None else self.prefill + self.decode


@dataclass(frozen=True)
class SetUp:
    """One set-up with its candidates; KL divergences are of ``corpus`` at ``n_ctx``."""

    identity: Mapping[str, Any]
    corpus: str | None
    n_ctx: int | None
    candidates: Sequence[Candidate]
    memory: SetUpMemory | None


def advice(
    throughput: Iterable[Row], quality: Iterable[Row], models: Iterable[Row], workloads: Iterable[Workload]
) -> list[dict[str, Any]]:
    """Rows of the table ``advice``: each workload and pair of each set-up, the pick first; of cells over rounds."""
    workloads = list(workloads)
    return [
        row
        for set_up in set_ups(throughput, quality, models)
        for workload in workloads
        for row in _rows(set_up, workload)
    ]


def set_ups(throughput: Iterable[Row], quality: Iterable[Row], models: Iterable[Row]) -> list[SetUp]:
    """Every set-up of the two tables, for each corpus that it has been scored on."""
    throughput, quality, models = list(throughput), list(quality), list(models)
    find = model_of(models)
    speeds, scores = by_columns(throughput, SET_UP), by_columns(quality, SET_UP)
    found = []
    for key in dict.fromkeys([*speeds, *scores]):
        cells, scored = speeds.get(key, []), scores.get(key, [])
        memory = SetUpMemory(cells, find(cells[0])) if cells else None
        # Of each corpus the largest context, where the cache is fullest.
        for corpus, rows in (by_columns(scored, ("corpus",)) or {(None,): []}).items():
            n_ctx = max((row["n_ctx"] for row in rows), default=None)
            at_n_ctx = [row for row in rows if row["n_ctx"] == n_ctx]
            candidates = _candidates(cells, at_n_ctx, find)
            found.append(SetUp(dict(zip(SET_UP, key, strict=True)), corpus[0], n_ctx, candidates, memory))
    return found


def _candidates(
    cells: Sequence[Row], scored: Sequence[Row], find: Callable[[Row], Row | None]
) -> list[Candidate]:
    lengths = {
        phase: Counter(row["n_tokens"] for row in cells if row["phase"] == phase).most_common(1)
        for phase in ("prefill", "decode")
    }
    usual = {phase: counted[0][0] for phase, counted in lengths.items() if counted}
    found = []
    for rows in by_columns([*cells, *scored], ("ctk", "ctv")).values():
        pair = pair_of(rows[0])
        counts = [row for row in rows if problem_with(row) is None]
        curves = {
            phase: Curve(r for r in counts if r.get("phase") == phase and r["n_tokens"] == usual[phase])
            for phase in usual
        }
        quality = next((row for row in rows if "phase" not in row), None)
        kld = kld_of(quality) if quality is not None and problem_with(quality) is None else None
        if quality is None and pair == BASELINE_PAIR:
            kld = 0.0
        model = find(rows[0])
        values = (model["kv_values_per_token_k"], model["kv_values_per_token_v"]) if model else (None, None)
        bits = sorted((bits_of(row, *values) for row in counts or rows), key=lambda one: one[1] != "log")
        found.append(
            Candidate(
                pair=pair,
                prefill=curves.get("prefill", Curve([])),
                decode=curves.get("decode", Curve([])),
                kld=kld,
                bits=bits[0][0] if bits else None,
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


# --- one workload -------------------------------------------------------------------------------------------


def judge(candidate: Candidate, workload: Workload, memory: SetUpMemory | None) -> Judgement:
    """Whether a pair can do it, and how long a request takes."""
    start = workload.depth
    answer = start + workload.prompt_tokens
    end = answer + workload.generated_tokens
    of_context = workload.goal == "context"
    against, missing = [], []
    trained = None if memory is None else memory.n_ctx_train
    reach, needed = candidate.reach_to(trained), None
    if trained is not None and end > trained:
        against.append(f"beyond the {format_count(trained)} tokens that the model was trained for")
    prefill = decode = None
    if of_context:
        if reach is None:
            missing.append("prefill or decode at any depth" + _because(candidate, "prefill", "decode"))
        elif reach + workload.prompt_tokens + workload.generated_tokens < end:
            against.append(f"was measured to {format_count(reach)} only")
    else:
        for phase, curve, first, last in (
            ("prefill", candidate.prefill, start, answer),
            ("decode", candidate.decode, answer, end),
        ):
            gap = curve.gap(first, last) if last > first else None
            if gap is not None:
                missing.append(f"{phase} at {gap}" + _because(candidate, phase))
        if candidate.first_oom is not None and candidate.first_oom <= end:
            against.append(f"ran out of memory at {format_count(candidate.first_oom)}")
        if not candidate.prefill.gap(start, answer):
            prefill = candidate.prefill.duration(start, answer)
        if not candidate.decode.gap(answer, end):
            decode = candidate.decode.duration(answer, end)
    if workload.highest_kld is not None:
        if candidate.kld is None:
            missing.append(KL_DIVERGENCE + _because(candidate, "kld"))
        elif candidate.kld > workload.highest_kld:
            shown, limit = format_number(candidate.kld, 3), format_number(workload.highest_kld, 3)
            against.append(f"its KL divergence, {shown}, is above {limit}")
    context = reach if of_context else end
    needs = memory.needs(candidate.pair, context) if memory is not None and context is not None else None
    needed = needs.total if needs is not None else None
    if workload.memory_bytes is not None:
        if needed is None:
            missing.append("size of weights or KV cache")
        elif needed > workload.memory_bytes:
            against.append(f"needs {format_bytes(needed)} of {format_bytes(workload.memory_bytes)}")
    verdict = NOT_FEASIBLE if against else NO_DATA if missing else FEASIBLE
    why = "; ".join(against) if against else f"not known: {'; '.join(missing)}" if missing else ""
    return Judgement(candidate, verdict, why, tuple(missing), prefill, decode, needed, reach)


def _because(candidate: Candidate, *what: str) -> str:
    known = dict.fromkeys(candidate.problems[name] for name in what if name in candidate.problems)
    return f" ({', '.join(known)})" if known else ""


def ranked(judgements: Iterable[Judgement], workload: Workload) -> list[Judgement]:
    """The feasible ones, best first."""
    feasible = [one for one in judgements if one.verdict == FEASIBLE]
    if workload.goal == "context":
        unknown = float("inf")
        return sorted(
            feasible,
            key=lambda one: (
                -(one.reach or 0),
                unknown if one.candidate.kld is None else one.candidate.kld,
                one.candidate.decode.at(one.reach or 0) or unknown,
            ),
        )
    return sorted(feasible, key=lambda one: _seconds(one))


def _seconds(one: Judgement) -> float:
    assert one.request is not None
    return one.request.seconds


def _rows(set_up: SetUp, workload: Workload) -> Iterable[dict[str, Any]]:
    judgements = [judge(candidate, workload, set_up.memory) for candidate in set_up.candidates]
    order = ranked(judgements, workload)
    shared = {
        **set_up.identity,
        "corpus": set_up.corpus,
        "n_ctx": set_up.n_ctx,
        "workload": workload.name,
        "title": workload.title,
        "prompt_tokens": workload.prompt_tokens,
        "generated_tokens": workload.generated_tokens,
        "depth": workload.depth,
        "memory_bytes": workload.memory_bytes
        if workload.memory_bytes is not None
        else set_up.memory and set_up.memory.available,
        "highest_kld": workload.highest_kld,
        "goal": workload.goal,
    }
    for rank, one in enumerate(order, start=1):
        yield (
            shared
            | _row(one)
            | {
                "rank": rank,
                "verdict": {1: PICK, 2: RUNNER_UP}.get(rank, FEASIBLE),
                "why": _why(one, order, rank, workload),
                "would_change": _would_change(order, judgements, workload, set_up) if rank == 1 else None,
            }
        )
    rest = [one for one in judgements if one.verdict != FEASIBLE]
    for one in sorted(rest, key=lambda one: (one.verdict, one.candidate.pair)):
        yield shared | _row(one) | {"verdict": one.verdict, "why": one.why}


def _row(one: Judgement) -> dict[str, Any]:
    request = one.request
    half = request.half if request else None
    return {
        "ctk": one.candidate.pair.ctk,
        "ctv": one.candidate.pair.ctv,
        "missing": list(one.missing),
        "request_seconds": request and request.seconds,
        "request_seconds_low": request.seconds - half if request and half is not None else None,
        "request_seconds_high": request.seconds + half if request and half is not None else None,
        "prefill_seconds": one.prefill and one.prefill.seconds,
        "decode_seconds": one.decode and one.decode.seconds,
        "kld_mean": one.candidate.kld,
        "bits_per_value": one.candidate.bits,
        "needed_bytes": one.needed,
        "largest_depth": one.candidate.deepest,
    }


def _why(one: Judgement, order: Sequence[Judgement], rank: int, workload: Workload) -> str:
    if workload.goal == "context":
        text = f"measured to {format_count(one.reach or 0)}"
        if rank == 1:
            text = "the deepest: " + text if len(order) > 1 else "the only feasible one: " + text
        if len({other.reach for other in order}) < len(order) and one.candidate.kld is not None:
            text += f", KL divergence {format_number(one.candidate.kld, 3)}"
        return text
    text = f"{format_number(_seconds(one), 3)} s a request"
    if len(order) == 1:
        return f"the only feasible one: {text}"
    other = order[1 if rank == 1 else 0]
    assert one.request is not None and other.request is not None
    gap = (other.request if rank == 1 else one.request) - (one.request if rank == 1 else other.request)
    share = format_number(100 * gap.seconds / _seconds(other), 3)
    shown = _shown(gap)
    if rank == 1:
        return f"quickest: {text}, {share} % less than {other.candidate.pair}{shown}"
    return f"{text}, {share} % more than {other.candidate.pair}{shown}"


def _shown(gap: Duration) -> str:
    if gap.half is None:
        return " (errors unknown)" if gap.rounds is None else " (one round: its error is not known)"
    return "" if abs(gap.seconds) > gap.half else " (no difference shown)"


# --- what would change the answer ---------------------------------------------------------------------------


def _would_change(
    order: Sequence[Judgement], judgements: Sequence[Judgement], workload: Workload, set_up: SetUp
) -> str | None:
    """Other answers to slightly other questions, each with its answer; None if there is nothing else to answer."""
    pick = order[0]
    said = [
        *_other_kld(pick, workload, set_up),
        *_other_memory(pick, order, workload, set_up),
        *(_other_depth(pick, workload, set_up) if workload.goal != "context" else []),
        *(_other_mix(pick, order, workload, set_up) if workload.goal != "context" else []),
        *_not_measured(pick, judgements, workload),
    ]
    return "; ".join(said) or None


def _best(set_up: SetUp, workload: Workload) -> Judgement | None:
    order = ranked((judge(one, workload, set_up.memory) for one in set_up.candidates), workload)
    return order[0] if order else None


def _other_kld(pick: Judgement, workload: Workload, set_up: SetUp) -> Iterable[str]:
    limit = workload.highest_kld
    if limit is not None:
        free = _best(set_up, replace(workload, highest_kld=None))
        if free is not None and free.candidate.pair != pick.candidate.pair and free.candidate.kld is not None:
            kld = format_number(free.candidate.kld, 3)
            yield f"if a KL divergence of {kld} is acceptable: {free.candidate.pair}"
    if pick.candidate.kld:
        # As close as it can be below the pick's.
        stricter = _best(set_up, replace(workload, highest_kld=pick.candidate.kld * (1 - 1e-9)))
        if stricter is not None:
            kld = format_number(pick.candidate.kld, 3)
            yield f"if the KL divergence has to be below {kld}: {stricter.candidate.pair}"


def _other_memory(
    pick: Judgement, order: Sequence[Judgement], workload: Workload, set_up: SetUp
) -> Iterable[str]:
    if pick.needed is None or not any(one.needed is not None and one.needed < pick.needed for one in order):
        return
    smaller = _best(set_up, replace(workload, memory_bytes=pick.needed - 1))
    if smaller is not None:
        yield f"with less than {format_bytes(pick.needed)} of memory: {smaller.candidate.pair}"


def _other_depth(pick: Judgement, workload: Workload, set_up: SetUp) -> Iterable[str]:
    """The nearest measured depths, shallower and deeper, at which another pair is the pick."""
    depths = sorted({depth for one in set_up.candidates for depth in one.decode.depths})
    shallower = [depth for depth in reversed(depths) if depth < workload.depth]
    deeper = [depth for depth in depths if depth > workload.depth]
    for where, word in ((deeper, "from"), (shallower, "up to")):
        for depth in where:
            other = _best(set_up, replace(workload, depth=depth))
            if other is not None and other.candidate.pair != pick.candidate.pair:
                yield f"{word} depth {format_count(depth)}: {other.candidate.pair}"
                break


def _other_mix(
    pick: Judgement, order: Sequence[Judgement], workload: Workload, set_up: SetUp
) -> Iterable[str]:
    """Where another feasible pair is quicker in the other phase: above or below how many generated tokens."""
    assert pick.prefill is not None and pick.decode is not None
    nearest: tuple[float, str] | None = None
    for other in order[1:]:
        assert other.prefill is not None and other.decode is not None
        prompt = other.prefill.seconds - pick.prefill.seconds
        answer = other.decode.seconds - pick.decode.seconds
        if prompt * answer >= 0 or not workload.generated_tokens:
            continue
        tokens = workload.generated_tokens * prompt / -answer
        changed = replace(workload, generated_tokens=max(round(tokens * (0.98 if answer > 0 else 1.02)), 1))
        best = _best(set_up, changed)
        # The estimate takes decode as equally fast at every token; only what the curves confirm is said.
        if best is None or best.candidate.pair != other.candidate.pair:
            continue
        word = "below" if answer > 0 else "above"
        text = f"with {word} about {format_number(tokens, 2)} generated tokens: {other.candidate.pair}"
        distance = max(tokens / workload.generated_tokens, workload.generated_tokens / max(tokens, 1e-9))
        if nearest is None or distance < nearest[0]:
            nearest = (distance, text)
    if nearest is not None:
        yield nearest[1]


def _not_measured(pick: Judgement, judgements: Sequence[Judgement], workload: Workload) -> Iterable[str]:
    """Pairs without data that would win by what is known of them."""
    for one in judgements:
        if one.verdict != NO_DATA or one.request is None or not one.missing:
            continue
        if (
            one.missing[0].startswith(KL_DIVERGENCE)
            and len(one.missing) == 1
            and _seconds(one) < _seconds(pick)
        ):
            limit = format_number(workload.highest_kld or 0.0, 3)
            seconds = format_number(_seconds(one), 3)
            yield f"if {one.candidate.pair}'s KL divergence, not measured, is not above {limit}: it ({seconds} s)"
