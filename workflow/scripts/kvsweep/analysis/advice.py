"""Which pair for which work: from what was measured, and from nothing else.

The time of a request is that of its prompt, read off the prefill curve from ``depth`` on, and of its answer, read off
the decode curve behind the prompt (``curves``). A pair is

- **feasible** if both curves reach that far, its KL divergence is known where a highest one is given and is below it
  beyond its error, so is its recall where a least one is given and is above it, no cell ran out of memory on the way,
  it fits into the memory where a size is given, and the model was trained for that context;
- **not feasible** if one of these is measured to be otherwise;
- **undecided** if all is known, but an interval holds the limit that was given;
- **no data** if one of these is not known. What is missing is listed, and the pair is not ranked, however likely it
  looks.

Of the feasible ones those that are not told from the quickest are the answer (``best``): the pick if it is one, else a
choice that the data leave open, with what would decide it. With one round of speeds, or published ones, no pair is told
from another. For the goal ``context`` the answer is what was measured deepest, in either phase; where that is as deep
as the model was trained for, what diverges least of it: f16, or those not told to diverge more. A KL divergence is the
one with the prompt in the cache where the scorer measured around it for any pair (``kld_at_depth``), else, for all,
that of whole windows at the largest context that was scored; that f16/f16 has none against itself needs no
measurement. A recall is that of the tasks of its kind with as long a prompt (``recall_at_depth``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from kvsweep.analysis.best import interval_of, is_over_rounds, summed, what_decides
from kvsweep.analysis.candidates import SetUp, set_ups
from kvsweep.analysis.estimates import ends_of_kld
from kvsweep.analysis.judgement import FEASIBLE, Judgement, judge_all, ranked
from kvsweep.analysis.would_change import best_of, is_as_deep_as_trained, would_change
from kvsweep.numbers import format_between, format_number
from kvsweep.study.config import Workload
from kvsweep.tables.row import Row
from kvsweep.units import format_count, format_duration, plural

PICK, UNDECIDED = "pick", "not told from the best"


def advice(
    throughput: Iterable[Row],
    quality: Iterable[Row],
    models: Iterable[Row],
    workloads: Iterable[Workload],
    shares: Iterable[Row] = (),
    tasks: Iterable[Row] = (),
) -> list[dict[str, Any]]:
    """Rows of the table ``advice``: each workload and pair of each set-up, the best first; of cells over rounds.

    ``shares``, ``tasks``: the tables task_shares and tasks.
    """
    workloads = list(workloads)
    return [
        row
        for set_up in set_ups(throughput, quality, models, shares, tasks)
        for workload in workloads
        for row in _rows(set_up, workload)
    ]


def _rows(set_up: SetUp, workload: Workload) -> Iterable[dict[str, Any]]:
    judgements = judge_all(set_up.candidates, workload, set_up.memory)
    order = ranked(judgements, workload)
    best = best_of(order, workload, set_up)
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
        "least_recall": workload.least_recall,
        "goal": workload.goal,
    }
    for rank, one in enumerate(order, start=1):
        is_pick = best == [one]
        said: dict[str, Any] = {"verdict": FEASIBLE}
        if one in best:
            said["verdict"] = PICK if is_pick else UNDECIDED
        if is_pick:
            said["would_change"] = would_change(order, judgements, workload, set_up)
        elif rank == 1 and len(best) > 1:
            said["decides"] = _decides(best, len(order) - 1, workload, set_up)
        why = _why_deep(one, order, is_pick) if workload.goal == "context" else _why_quick(one, order, rank)
        yield shared | _row(one) | {"rank": rank, "why": why, **said}
    rest = [one for one in judgements if one.verdict != FEASIBLE]
    for one in sorted(rest, key=lambda one: (one.verdict, one.candidate.pair)):
        yield shared | _row(one) | {"verdict": one.verdict, "why": one.why}


def _decides(best: Sequence[Judgement], others: int, workload: Workload, set_up: SetUp) -> str:
    if workload.goal == "context":
        if is_as_deep_as_trained(best[0], workload, set_up):
            return "their KL divergences on more text: all of these ran as deep as the model was trained for"
        return _deeper(best[0].reach or 0, set_up)
    requests = [summed(one.request) for one in best if one.request is not None]
    return what_decides(requests, others, set_up.seconds_of_round)


def _deeper(reach: int, set_up: SetUp) -> str:
    """What tells pairs apart that all ran at the deepest depth that was measured."""
    took = set_up.seconds_by_depth.get(reach)
    time = f"; a round there took {format_duration(took)}, and takes longer the deeper it is" if took else ""
    return f"cells at a greater depth: all of these ran at the deepest that was measured, {format_count(reach)}{time}"


def _row(one: Judgement) -> dict[str, Any]:
    request, kld, recall = one.request, one.kld, one.recall
    seconds = {"request": request, "prefill": one.prefill, "decode": one.decode}
    return {
        "ctk": one.candidate.pair.ctk,
        "ctv": one.candidate.pair.ctv,
        "missing": list(one.missing),
        **{f"{name}_seconds": of and of.seconds for name, of in seconds.items()},
        **{
            f"{name}_seconds_{end}": value
            for name, of in seconds.items()
            if of is not None
            for end, value in zip(("low", "high"), interval_of(of), strict=True)
        },
        "kld_mean": kld and kld.value,
        **ends_of_kld(kld),
        "kld_depth": one.kld_depth,
        "bits_per_value": one.candidate.bits,
        "needed_bytes": one.needed,
        "largest_depth": one.candidate.deepest,
        "rounds": request and request.rounds,
        "recall": recall and recall.value,
        "recall_low": recall and recall.low,
        "recall_high": recall and recall.high,
    }


def _why_deep(one: Judgement, order: Sequence[Judgement], is_pick: bool) -> str:
    text = f"measured to {format_count(one.reach or 0)}"
    if one.recommended is not None:
        text += f"; {format_count(one.recommended)} tokens fit into memory"
    if not is_pick:
        return text
    if len(order) == 1:
        return f"the only feasible one: {text}"
    as_deep = [other.reach for other in order].count(one.reach) - 1
    if not as_deep:
        return f"the deepest: {text}"
    return f"{text}, as with {plural(as_deep, 'other pair')}, of which none diverges less"


def _why_quick(one: Judgement, order: Sequence[Judgement], rank: int) -> str:
    assert one.request is not None
    text = f"{format_between(one.request.seconds, *interval_of(one.request))} s a request"
    if len(order) == 1:
        return f"the only feasible one: {text}"
    other = order[1 if rank == 1 else 0]
    assert other.request is not None
    slower, quicker = (other, one) if rank == 1 else (one, other)
    assert slower.request is not None and quicker.request is not None
    apart = slower.request - quicker.request
    if not apart.seconds:
        return f"{text}, as long as {other.candidate.pair}"
    of_other = 100 / other.request.seconds
    if is_over_rounds(apart) and apart.half is not None:
        ends = (of_other * (apart.seconds - apart.half), of_other * (apart.seconds + apart.half))
        share = format_between(of_other * apart.seconds, *ends)
        told = "" if ends[0] > 0 else " (no difference shown)"
    else:
        share = format_number(of_other * apart.seconds, 3)
        common = {None: "as published", 0: "no round has all of both", 1: "in one round"}
        known = common.get(apart.rounds, "equal in every round")
        told = f" ({known}: the error from run to run is not known)"
    first = "quickest: " if rank == 1 else ""
    return f"{first}{text}, {share} % {'less' if rank == 1 else 'more'} than {other.candidate.pair}{told}"
