"""What one workload makes of one pair: whether it can do it, and how long a request takes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kvsweep.analysis.candidates import Candidate
from kvsweep.analysis.curves import Duration
from kvsweep.analysis.estimates import Value, exactly
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
class Judgement:
    """What one workload makes of one candidate."""

    candidate: Candidate
    verdict: str
    why: str
    missing: tuple[str, ...] = ()
    unclear: tuple[str, ...] = ()  # what was measured, but not told from its limit
    prefill: Duration | None = None
    decode: Duration | None = None
    needed: int | None = None
    reach: int | None = None  # goal context: the deepest depth that counts
    kld: Value | None = None
    kld_depth: int | None = None  # tokens in the cache that it is of; None: a whole window
    recommended: int | None = None  # goal context: what fits, and no more than the model was trained for
    recall: Recall | None = None

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
    start = workload.depth
    answer = start + workload.prompt_tokens
    end = answer + workload.generated_tokens
    of_context = workload.goal == "context"
    against, missing = [], []
    unclear: list[str] = []
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
        if kld is None:
            where = "" if kld_depth is None else f" with {format_count(kld_depth)} in the cache"
            missing.append(KL_DIVERGENCE + where + _because(candidate, "kld"))
        else:
            _judge_kld(kld, workload.highest_kld, against, unclear)
    full = reach if of_context and reach is not None else answer
    recall = recall_at_depth(candidate.asked, full)
    if workload.least_recall is not None:
        if recall is None:
            missing.append(_no_recall(candidate, full))
        else:
            _judge_recall(recall, full, workload.least_recall, against, unclear)
    context = reach if of_context else end
    needs = memory.needs(candidate.pair, context) if memory is not None and context is not None else None
    needed = needs.total if needs is not None else None
    if workload.memory_bytes is not None:
        if needed is None:
            missing.append("size of weights or KV cache")
        elif needed > workload.memory_bytes:
            against.append(f"needs {format_bytes(needed)} of {format_bytes(workload.memory_bytes)}")
    verdict = NOT_FEASIBLE if against else NO_DATA if missing else OPEN if unclear else FEASIBLE
    why = "; ".join(against or unclear)
    if missing and not against:
        why = f"not known: {'; '.join(missing)}"
    of = kld_depth if kld is not None else None
    recommended = _recommended(candidate, workload, memory) if of_context and memory is not None else None
    return Judgement(
        candidate,
        verdict,
        why,
        missing=tuple(missing),
        unclear=tuple(unclear),
        prefill=prefill,
        decode=decode,
        needed=needed,
        reach=reach,
        kld=kld,
        kld_depth=of,
        recommended=recommended,
        recall=recall,
    )


def _recommended(candidate: Candidate, workload: Workload, memory: SetUpMemory) -> int | None:
    """None, too, where nobody says what the model was trained for: memory alone makes no context of use."""
    if memory.n_ctx_train is None:
        return None
    size = memory.available if workload.memory_bytes is None else workload.memory_bytes
    largest = None if size is None else memory.largest_context(candidate.pair, size)
    return None if largest is None else memory.recommended(largest)


def _judge_kld(kld: Value, limit: float, against: list[str], unclear: list[str]) -> None:
    """Above or below the limit beyond its error; else it is not known on which side it lies."""
    half = kld.half
    if half is None:
        unclear.append(
            f"{KL_DIVERGENCE}, {format_number(kld.value, 3)}, is of one window: its error is not known"
        )
    elif kld.value - half > limit:
        against.append(
            f"its KL divergence, {format_number(kld.value, 3)}, is above {format_number(limit, 3)}"
        )
    elif kld.value + half > limit:
        shown = format_with_error(kld.value, half, least=0.0)
        unclear.append(f"{KL_DIVERGENCE}, {shown}, is not told from {format_number(limit, 3)}")


def _judge_recall(recall: Recall, depth: int, limit: float, against: list[str], unclear: list[str]) -> None:
    shown = f"{RECALL} at {format_count(depth)}, {format_recall(recall)}"
    if recall.high < limit:
        against.append(f"{shown}, is below {format_share(limit)}")
    elif recall.low < limit:
        unclear.append(f"{shown}, is not told from {format_share(limit)}")


def _no_recall(candidate: Candidate, depth: int) -> str:
    """Which recall there is instead; with none of this pair, why."""
    asked = contexts_asked(candidate.asked)
    known = f" (asked at {', '.join(map(format_count, asked))})" if asked else _because(candidate, "recall")
    return f"{RECALL} at {format_count(depth)}{known}"


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
    return sorted(feasible, key=lambda one: seconds_of(one))


def seconds_of(one: Judgement) -> float:
    assert one.request is not None
    return one.request.seconds
