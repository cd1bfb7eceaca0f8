"""What one workload makes of one pair: whether it can do it, and how long a request takes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from kvsweep.analysis.candidates import Candidate
from kvsweep.analysis.curves import Duration
from kvsweep.analysis.estimates import ROUNDED, Value, exactly
from kvsweep.analysis.kld_at_depth import klds_at_depth
from kvsweep.analysis.memory_model import SetUpMemory
from kvsweep.analysis.recall_at_depth import (
    Recall,
    contexts_asked,
    format_recall,
    format_share,
    recall_at_depth,
)
from kvsweep.numbers import format_number, format_with_error
from kvsweep.study.config import Workload
from kvsweep.study.pairs import BASELINE_PAIR
from kvsweep.units import format_bytes, format_count

FEASIBLE, NOT_FEASIBLE, OPEN, NO_DATA = "feasible", "not feasible", "undecided", "no data"
KL_DIVERGENCE, RECALL = "its KL divergence", "its recall"  # among what is missing


@dataclass(frozen=True)
class _Findings:
    """What speaks against a candidate, what is not known of it, and what was measured but not told from its limit."""

    against: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unclear: list[str] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        if self.against:
            return NOT_FEASIBLE
        return NO_DATA if self.missing else OPEN if self.unclear else FEASIBLE

    @property
    def why(self) -> str:
        if self.missing and not self.against:
            return f"not known: {'; '.join(self.missing)}"
        return "; ".join(self.against or self.unclear)


@dataclass(frozen=True, kw_only=True)
class Judgement(_Findings):
    """What one workload makes of one candidate."""

    candidate: Candidate
    prefill: Duration | None
    decode: Duration | None
    needed: int | None
    reach: int | None  # goal context: the deepest depth that counts
    kld: Value | None
    kld_depth: int | None  # tokens in the cache that it is of; None: a whole window
    recommended: int | None  # goal context: what fits, and no more than the model was trained for
    recall: Recall | None

    @property
    def request(self) -> Duration | None:
        return None if self.prefill is None or self.decode is None else self.prefill + self.decode


def judge_all(
    candidates: Sequence[Candidate], workload: Workload, memory: SetUpMemory | None
) -> list[Judgement]:
    """Whether each pair can do it, and how long a request takes.

    All are judged by the same kind of KL divergence: with the prompt in the cache where that is known of any pair
    (answers are made of what is predicted behind the prompt), else by that of whole windows. For the goal ``context``
    the cache is as full as it was measured.
    """
    answer = workload.depth + workload.prompt_tokens
    if workload.goal == "context":
        trained = None if memory is None else memory.n_ctx_train
        answer = max((one.reach_to(trained) or 0 for one in candidates), default=0)
    at_depth = klds_at_depth({one.pair: one.scored for one in candidates}, answer)
    if not any(pair != BASELINE_PAIR for pair in at_depth):
        return [_judge(one, workload, memory, one.kld, None) for one in candidates]
    known = at_depth | ({} if BASELINE_PAIR in at_depth else {BASELINE_PAIR: exactly(0.0)})
    return [_judge(one, workload, memory, known.get(one.pair), answer) for one in candidates]


def _judge(
    candidate: Candidate,
    workload: Workload,
    memory: SetUpMemory | None,
    kld: Value | None,
    kld_depth: int | None,
) -> Judgement:
    found = _Findings()
    answer = workload.depth + workload.prompt_tokens
    end = answer + workload.generated_tokens
    of_context = workload.goal == "context"
    trained = None if memory is None else memory.n_ctx_train
    reach = candidate.reach_to(trained)
    if trained is not None and end > trained:
        found.against.append(f"beyond the {format_count(trained)} tokens that the model was trained for")
    prefill = decode = None
    if of_context:
        _judge_reach(candidate, reach, workload.depth, found)
    else:
        prefill, decode = _judge_speed(candidate, workload.depth, answer, end, found)
    if workload.highest_kld is not None:
        _judge_kld(candidate, kld, kld_depth, workload.highest_kld, found)
    full = reach if of_context and reach is not None else answer
    recall = recall_at_depth(candidate.asked, full)
    if workload.least_recall is not None:
        _judge_recall(candidate, recall, full, workload.least_recall, found)
    context = reach if of_context else end
    needs = memory.needs(candidate.pair, context) if memory is not None and context is not None else None
    needed = None if needs is None else needs.total
    if workload.memory_bytes is not None:
        if needed is None:
            found.missing.append("size of weights or KV cache")
        elif needed > workload.memory_bytes:
            found.against.append(f"needs {format_bytes(needed)} of {format_bytes(workload.memory_bytes)}")
    return Judgement(
        **vars(found),
        candidate=candidate,
        prefill=prefill,
        decode=decode,
        needed=needed,
        reach=reach,
        kld=kld,
        kld_depth=None if kld is None else kld_depth,
        recommended=_recommended(candidate, workload, memory) if of_context and memory is not None else None,
        recall=recall,
    )


def _judge_reach(candidate: Candidate, reach: int | None, depth: int, found: _Findings) -> None:
    if reach is None:
        found.missing.append("prefill or decode at any depth" + _because(candidate, "prefill", "decode"))
    elif reach < depth:
        found.against.append(f"was measured to {format_count(reach)} only")


def _judge_speed(
    candidate: Candidate, start: int, answer: int, end: int, found: _Findings
) -> tuple[Duration | None, Duration | None]:
    """The time of the prompt, from ``start`` to ``answer`` tokens in the cache, and of the answer, up to ``end``."""
    durations = []
    for phase, curve, first, last in (
        ("prefill", candidate.prefill, start, answer),
        ("decode", candidate.decode, answer, end),
    ):
        gap = curve.gap(first, last)
        if gap is not None and last > first:
            found.missing.append(f"{phase} at {gap}" + _because(candidate, phase))
        durations.append(None if gap is not None else curve.duration(first, last))
    if candidate.first_oom is not None and candidate.first_oom <= end:
        found.against.append(f"ran out of memory at {format_count(candidate.first_oom)}")
    return durations[0], durations[1]


def _recommended(candidate: Candidate, workload: Workload, memory: SetUpMemory) -> int | None:
    """None, too, where nobody says what the model was trained for: memory alone makes no context of use."""
    if memory.n_ctx_train is None:
        return None
    size = memory.available if workload.memory_bytes is None else workload.memory_bytes
    largest = None if size is None else memory.largest_context(candidate.pair, size)
    return None if largest is None else memory.recommended(largest)


def _judge_kld(
    candidate: Candidate, kld: Value | None, depth: int | None, limit: float, found: _Findings
) -> None:
    """Above or below the limit beyond its error; else it is not known on which side it lies."""
    if kld is None:
        where = "" if depth is None else f" with {format_count(depth)} in the cache"
        found.missing.append(KL_DIVERGENCE + where + _because(candidate, "kld"))
        return
    published = kld.kind == ROUNDED  # then only its digits are known, and no interval
    half, highest = kld.bound if published else kld.half, format_number(limit, 3)
    if half is None:
        shown = format_number(kld.value, 3)
        found.unclear.append(f"{KL_DIVERGENCE}, {shown}, is of one window: its error is not known")
        return
    shown = format_number(kld.value) if published else format_with_error(kld.value, half, least=0.0)
    if kld.value - half > limit:
        found.against.append(f"{KL_DIVERGENCE}, {shown}, is above {highest}")
    elif kld.value + half > limit:
        found.unclear.append(f"{KL_DIVERGENCE}, {shown}, is not told from {highest}")


def _judge_recall(
    candidate: Candidate, recall: Recall | None, depth: int, limit: float, found: _Findings
) -> None:
    """Where there is none at this depth: which there is instead; with none of this pair, why."""
    what = f"{RECALL} at {format_count(depth)}"
    if recall is None:
        asked = ", ".join(map(format_count, contexts_asked(candidate.asked)))
        found.missing.append(what + (f" (asked at {asked})" if asked else _because(candidate, "recall")))
    elif recall.high < limit:
        found.against.append(f"{what}, {format_recall(recall)}, is below {format_share(limit)}")
    elif recall.low < limit:
        found.unclear.append(f"{what}, {format_recall(recall)}, is not told from {format_share(limit)}")


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
                -(one.recommended or 0),
                unknown if one.kld is None else one.kld.value,
                one.candidate.decode.at(one.reach or 0) or unknown,
            ),
        )
    return sorted(feasible, key=seconds_of)


def seconds_of(one: Judgement) -> float:
    """The seconds of the request of a pair that has a speed."""
    assert one.request is not None
    return one.request.seconds
