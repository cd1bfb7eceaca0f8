"""Which pairs are the best for a work, and other answers to slightly other questions: what would change a pick."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

from kvsweep.analysis.best import interval_of, not_told_from_best, not_told_from_least, summed
from kvsweep.analysis.candidates import SetUp
from kvsweep.analysis.judgement import (
    KL_DIVERGENCE,
    NO_DATA,
    OPEN,
    RECALL,
    Judgement,
    judge_all,
    ranked,
    seconds_of,
)
from kvsweep.analysis.recall_at_depth import format_share
from kvsweep.numbers import format_between, format_number
from kvsweep.study.config import Workload
from kvsweep.study.pairs import BASELINE_PAIR
from kvsweep.units import format_bytes, format_count, plural

MOST_NAMES = 3  # of pairs that are not told apart
SMALLEST_MEMORY = 2 << 30  # bytes: no machine that runs a model has less


def would_change(
    order: Sequence[Judgement], judgements: Sequence[Judgement], workload: Workload, set_up: SetUp
) -> str | None:
    """Other answers to slightly other questions, each with its answer; None if there is nothing else to answer."""
    pick = order[0]
    said = [
        *_other_kld(pick, workload, set_up),
        *_other_recall(pick, workload, set_up),
        *_other_memory(pick, order, workload, set_up),
        *(_other_depth(pick, workload, set_up) if workload.goal != "context" else []),
        *(_other_mix(pick, order, workload, set_up) if workload.goal != "context" else []),
        *_not_measured(pick, judgements, workload),
    ]
    return "; ".join(said) or None


def best_of(order: Sequence[Judgement], workload: Workload, set_up: SetUp) -> list[Judgement]:
    """Those that no other is told to be better than."""
    if workload.goal == "context":
        deepest = [one for one in order if one.reach == order[0].reach]
        if not deepest or not is_as_deep_as_trained(deepest[0], workload, set_up):
            return deepest
        if deepest[0].candidate.pair == BASELINE_PAIR:  # which nothing can diverge less than
            return deepest[:1]
        stays = not_told_from_least([one.kld for one in deepest])
    else:
        deepest = list(order)
        stays = not_told_from_best([summed(one.request) for one in order if one.request is not None])
    return [one for one, is_best in zip(deepest, stays, strict=True) if is_best]


def is_as_deep_as_trained(one: Judgement, workload: Workload, set_up: SetUp) -> bool:
    trained = None if set_up.memory is None else set_up.memory.n_ctx_train
    tokens = (one.reach or 0) + workload.prompt_tokens + workload.generated_tokens
    return trained is not None and tokens >= trained


class _Other(NamedTuple):
    """What another question has as its answer."""

    first: Judgement
    best: Sequence[Judgement]  # those that are not told from the first, which is one of them

    @property
    def names(self) -> str:
        """Of all that are not told apart, so that none of them looks like a pick; of many the first ones."""
        names = [str(one.candidate.pair) for one in self.best]
        left_out = len(names) - MOST_NAMES
        if left_out > 0:
            names = [*names[:MOST_NAMES], plural(left_out, "other")]
        return " or ".join(names) + (", not told apart" if len(names) > 1 else "")

    def is_other_than(self, pick: Judgement) -> bool:
        return pick.candidate.pair not in {one.candidate.pair for one in self.best}


def _best(set_up: SetUp, workload: Workload, pick: Judgement) -> _Other | None:
    order = ranked(judge_all(set_up.candidates, workload, set_up.memory), workload)
    if not order:
        return None
    # Who is told from the first takes long, and where that is the pick nothing changes.
    same = order[0].candidate.pair == pick.candidate.pair
    return _Other(order[0], order[:1] if same else best_of(order, workload, set_up))


def _other_kld(pick: Judgement, workload: Workload, set_up: SetUp) -> Iterable[str]:
    limit, own = workload.highest_kld, pick.kld
    if limit is not None:
        free = _best(set_up, replace(workload, highest_kld=None), pick)
        if free is not None and free.is_other_than(pick) and all(one.kld is not None for one in free.best):
            kld = format_number(max(one.kld.value for one in free.best if one.kld is not None), 3)
            yield f"if a KL divergence of {kld} is acceptable: {free.names}"
    if own is not None and own.value > (own.half or 0.0):
        # As close as it can be below the pick's.
        stricter = _best(
            set_up, replace(workload, highest_kld=(own.value - (own.half or 0.0)) * (1 - 1e-9)), pick
        )
        if stricter is not None:
            yield f"if the KL divergence has to be below {format_number(own.value, 3)}: {stricter.names}"


def _other_recall(pick: Judgement, workload: Workload, set_up: SetUp) -> Iterable[str]:
    if workload.least_recall is not None:
        free = _best(set_up, replace(workload, least_recall=None), pick)
        if free is not None and free.is_other_than(pick) and all(one.recall is not None for one in free.best):
            recall = min(one.recall.value for one in free.best if one.recall is not None)
            yield f"if a recall of {format_share(recall)} is acceptable: {free.names}"


def _other_memory(
    pick: Judgement, order: Sequence[Judgement], workload: Workload, set_up: SetUp
) -> Iterable[str]:
    if pick.needed is None or not any(one.needed is not None and one.needed < pick.needed for one in order):
        return
    if pick.needed < SMALLEST_MEMORY:
        return
    smaller = _best(set_up, replace(workload, memory_bytes=pick.needed - 1), pick)
    if smaller is not None:
        yield f"with less than {format_bytes(pick.needed)} of memory: {smaller.names}"


def _other_depth(pick: Judgement, workload: Workload, set_up: SetUp) -> Iterable[str]:
    """The nearest measured depths, shallower and deeper, at which another pair is the pick."""
    depths = sorted({depth for one in set_up.candidates for depth in one.decode.depths})
    trained = None if set_up.memory is None else set_up.memory.n_ctx_train
    depths = [depth for depth in depths if trained is None or depth <= trained]
    shallower = [depth for depth in reversed(depths) if depth < workload.depth]
    deeper = [depth for depth in depths if depth > workload.depth]
    for where, word in ((deeper, "from"), (shallower, "up to")):
        for depth in where:
            other = _best(set_up, replace(workload, depth=depth), pick)
            if other is not None and other.is_other_than(pick):
                yield f"{word} depth {format_count(depth)}: {other.names}"
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
        best = _best(set_up, changed, pick)
        # The estimate takes decode as equally fast at every token; only what the curves confirm is said.
        if best is None or best.first.candidate.pair != other.candidate.pair:
            continue
        word = "below" if answer > 0 else "above"
        text = f"with {word} about {format_number(tokens, 2)} generated tokens: {other.candidate.pair}"
        distance = max(tokens / workload.generated_tokens, workload.generated_tokens / max(tokens, 1e-9))
        if nearest is None or distance < nearest[0]:
            nearest = (distance, text)
    if nearest is not None:
        yield nearest[1]


def _not_measured(pick: Judgement, judgements: Sequence[Judgement], workload: Workload) -> Iterable[str]:
    """Pairs that would win by what is known of them, if one thing that is not known or not decided is well."""
    limits = {
        KL_DIVERGENCE: f"is not above {format_number(workload.highest_kld or 0.0, 3)}",
        RECALL: f"is not below {format_share(workload.least_recall or 0.0)}",
    }
    for one in judgements:
        open_ = one.missing + one.unclear
        if one.verdict not in (NO_DATA, OPEN) or one.request is None or len(open_) != 1:
            continue
        for what, well in limits.items():
            if open_[0].startswith(what) and seconds_of(one) < seconds_of(pick):
                name = what.removeprefix("its ") + (", not measured," if one.missing else "")
                seconds = format_between(seconds_of(one), *interval_of(one.request))
                yield f"if {one.candidate.pair}'s {name} {well}: it ({seconds} s)"
