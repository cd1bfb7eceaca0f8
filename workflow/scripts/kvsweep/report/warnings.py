"""What a reader must know before the numbers: cells that did not run as asked, failed, or were disturbed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from kvsweep.analysis.groups import QUALITY_SUBJECT, SUBJECT, compare
from kvsweep.analysis.reference import is_control
from kvsweep.analysis.repetitions import PHASE
from kvsweep.machine.other_work import BUSY_CORES, is_busy
from kvsweep.numbers import format_difference, format_number
from kvsweep.report.parts import PHASES, Caution, cells_of, label_of
from kvsweep.statistics import Interval, cannot_be_the_same
from kvsweep.study.pairs import pair_order
from kvsweep.tables.row import Row, by_method, is_measured, is_published, pair_of, ran_as
from kvsweep.units import format_count, plural

# From where on a measured cell gets a warning.
DRIFT_PER_REPETITION = 0.005  # a trend that is told from 0, as a fraction of the time
_METHODS = {"perplexity": "llama-perplexity", "scorer": "the scorer"}
OWN_BASELINE = 0.001  # ln of f16's perplexity over that of its own baseline
SPREAD = 0.05  # sample standard deviation, as a fraction of the mean


class _Kind(NamedTuple):
    """One kind of warning: which cells it concerns, and what there is to say of one of them."""

    kind: str
    concerns: Callable[[Row], bool]
    detail: Callable[[Row], str] = lambda _: ""


def warnings_of(
    throughput: Sequence[Row],
    quality: Sequence[Row],
    tasks: Sequence[Row] = (),
    *,
    repetitions: Sequence[Row] = (),
    models: Sequence[Row] = (),
    agreement: Sequence[Row] = (),
) -> Iterable[Caution]:
    """At most one for each kind, the most misleading kind first."""
    published = sorted({str(row["source"]) for row in (*throughput, *quality, *tasks) if is_published(row)})
    throughput, quality, tasks = (
        [row for row in table if not is_published(row)] for table in (throughput, quality, tasks)
    )
    rows = [*throughput, *quality, *tasks]
    cautions = partial(_cautions, rows, _group_titles(throughput, quality, tasks))
    yield from cautions([*_WHAT_RAN, _guessing(models), _BESIDE_ITS_BASELINE])
    yield from _said_of_groups(
        "llama-perplexity and the scorer disagree on the same cell, beyond what the 16 bits of llama-perplexity's "
        "file explain: one of the two did not measure what it should",
        [row for row in agreement if row["verdict"] == "disagrees"],
        QUALITY_SUBJECT,
        _disagreement,
        "cell",
    )
    yield from cautions([*map(_not_measured, sorted({str(row["status"]) for row in rows})), _APART])
    yield from _said_of_groups(
        "Drift over the repetitions: what many processes have in common, and their interval does not explain",
        [row for row in repetitions if drifts(row)],
        SUBJECT,
        _drift,
        "phase",
    )
    yield from cautions([_spread(repetitions), *_OF_THE_RUN])
    if published:
        yield Caution(
            "Published by others: which cache types really ran, whether work left the device, and errors from "
            "repetitions are not known of these numbers",
            tuple(published),
            plural(len(published), "source"),
        )


def _cautions(rows: Sequence[Row], group_of: Mapping[int, str], kinds: Iterable[_Kind]) -> Iterable[Caution]:
    """Of each kind that concerns a row; cells of which there is the same to say share a line. ``group_of``: what sets a
    row's subject apart, by its id."""
    for kind, concerns, detail in kinds:
        alike: dict[tuple[str, str], list[Row]] = {}
        concerned = [row for row in rows if concerns(row)]
        for row in concerned:
            alike.setdefault((group_of[id(row)], detail(row)), []).append(row)
        if alike:
            lines = tuple(_name_cells(*key, cells) for key, cells in alike.items())
            yield Caution(kind, lines, plural(len(cells_of(concerned)), "cell"))


def _said_of_groups(
    kind: str, rows: Sequence[Row], subject: Sequence[str], said: Callable[[Row], str], what: str
) -> Iterable[Caution]:
    """A line for each row, with what sets its group apart; ``what`` a row is of."""
    if rows:
        groups = compare(rows, subject).groups
        lines = ((said(row), group.title) for group in groups for row in group.rows)
        texts = tuple(f"{text} [{title}]" if title else text for text, title in lines)
        yield Caution(kind, texts, plural(len(rows), what))


def _where_it_ran(row: Row) -> str:
    splits, devices = row["graph_splits"], row["kv_devices"]
    if row.get("fallback_why"):
        return str(row["fallback_why"])
    parts = [] if splits is None else [f"{splits} graph splits"]
    # An array where the row comes from a table on disk.
    return ", ".join(parts if devices is None else [*parts, f"KV cache on {', '.join(devices)}"])


def what_ran_is_unknown(row: Row) -> bool:
    """Whether a cell was measured without a word on its cache types in the engine's log."""
    return is_measured(row) and (row["effective_ctk"] is None or row["effective_ctv"] is None)


def is_beyond_training(row: Row) -> bool:
    """Whether a cell's context, or its depth with what is timed there, is more than the model was trained for."""
    length, trained = row.get("n_ctx"), row.get("n_ctx_train")
    if row.get("depth") is not None:
        length = row["depth"] + row["n_tokens"]
    return length is not None and trained is not None and bool(length > trained)


def _disagreement(row: Row) -> str:
    """`q4_0 at 4K: KL divergence 0.0512 by llama-perplexity, 0.0470 by the scorer`"""
    values = (f"{row[f'kld_{method}']:.4g} by {name}" for method, name in _METHODS.items())
    return f"{pair_of(row)} at {format_count(row['n_ctx'])}: KL divergence {', '.join(values)}"


def drifts(row: Row) -> bool:
    """Whether the repetitions of a phase, or of a depth of it, have a trend that is neither noise nor negligible."""
    return bool(row["drifts"] and abs(row["trend"]) > DRIFT_PER_REPETITION)


def _drift(row: Row) -> str:
    """`decode at 8K: each repetition takes +2.10 % [1.80, 2.40] longer, over 12 processes`."""
    place = "" if row["depth"] is None else f" at {format_count(row['depth'])}"
    trend = format_difference(row["trend"], Interval(row["trend"], row["trend_low"], row["trend_high"]))
    return f"{row['phase']}{place}: {trend} of its time a repetition, over {row['processes']} processes"


def apart(row: Row) -> bool:
    """Whether a throughput cell's repetitions are too far apart to be of the same work."""
    samples = row.get("samples")
    return samples is not None and cannot_be_the_same(list(samples))


def _durations(row: Row) -> str:
    """`38 ms beside 512 ms`: the shortest and the longest repetition."""
    rates = list(row["samples"])
    shortest, longest = (1000 * row["n_tokens"] / rate for rate in (max(rates), min(rates)))
    return f"{shortest:.0f} ms beside {longest:.0f} ms"


def what_slowed(row: Row) -> list[str]:
    """What the machine's own record says against a cell's speed."""
    return [
        *(["on battery"] if row["power_source"] == "Battery Power" else []),
        *(["low power mode"] if row["low_power_mode"] else []),
        *([f"hot: {row['thermal_state']}"] if row["thermal_state"] not in (None, "nominal") else []),
        *(f"clocks held down by {reason}" for reason in row["slowed_by"] or ()),
        *(f"{user} on the GPU" for user in row["gpu_users"] or ()),
    ]


def _group_titles(throughput: Sequence[Row], quality: Sequence[Row], tasks: Sequence[Row]) -> dict[int, str]:
    """What sets each row's subject apart from the table's others, by the row's id."""
    titles: dict[int, str] = {}
    of_quality = [(rows, QUALITY_SUBJECT) for rows in by_method(quality)]
    for rows, subject in ((throughput, SUBJECT), *of_quality, (tasks, SUBJECT)):
        for group in compare(rows, subject).groups:
            titles |= {id(row): group.title for row in group.rows}
    return titles


def _name_cells(group: str, detail: str, cells: Sequence[Row]) -> str:
    """`q8_0/turbo4: decode at 8K, 32K; q8_0: prefill and decode at 32K [fork] – what there is to say of them`."""
    by_label: dict[str, list[Row]] = {}
    for row in sorted(cells, key=lambda row: pair_order(row["ctk"], row["ctv"])):
        by_label.setdefault(label_of(row), []).append(row)
    names = "; ".join(f"{label}: {_places(own)}" for label, own in by_label.items())
    return names + (f" [{group}]" if group else "") + (f" – {detail}" if detail else "")


def _places(cells: Sequence[Row]) -> str:
    """Names the cells of one pair: `prefill and decode at 8K, 32K and quality`."""
    phases_at: dict[tuple[int, ...], list[str]] = {}
    for phase, _ in PHASES:
        depths = tuple(sorted({row["depth"] for row in cells if row.get("phase") == phase}))
        if depths:
            phases_at.setdefault(depths, []).append(phase)
    places = [
        f"{' and '.join(phases)} at {', '.join(map(format_count, d))}" for d, phases in phases_at.items()
    ]
    by = {row.get("method") == "scorer" for row in cells if "corpus" in row}
    quality = [what for of, what in ((False, "quality"), (True, "quality by the scorer")) if of in by]
    tasks = sorted({f"the task {row['task']}" for row in cells if "task" in row})
    return " and ".join([*places, *quality, *tasks])


# --- the kinds of warnings ----------------------------------------------------------------------------------

_WHAT_RAN = (
    _Kind("Another pair ran than was asked for", lambda row: ran_as(row) is not None),
    _Kind(
        "Unknown what ran: the engine's log does not tell the cache types, the names are those asked for",
        what_ran_is_unknown,
    ),
    _Kind(
        "Fallback: part of the graph left the device, so these speeds are not the device's",
        lambda row: bool(row["fallback"]),
        _where_it_ran,
    ),
    _Kind(
        "Beyond the context that the model was trained for: speed and memory are real, what it says is not",
        is_beyond_training,
        lambda row: f"trained for {format_count(row['n_ctx_train'])}",
    ),
)


def _guessing(models: Sequence[Row]) -> _Kind:
    """A model that knows nothing guesses: its perplexity is about the vocabulary's size. Half of that is warned of."""
    vocabulary = {row["model"]: row["n_vocab"] for row in models if row["n_vocab"]}
    return _Kind(
        "Perplexity near or above the vocabulary's size, as of guessing: the text is none that the model reads, or the "
        "computation failed",
        lambda row: bool((row.get("ppl") or 0.0) >= vocabulary.get(row["model"], math.inf) / 2),
        lambda row: (
            f"perplexity {format_number(row['ppl'], 3)}, vocabulary of {vocabulary[row['model']]:,} tokens"
        ),
    )


# Its file has 16 bits for a log-probability, and none below e^-16: an unlikely token costs less there.
_BESIDE_ITS_BASELINE = _Kind(
    "The perplexity of f16 is not that of its own baseline: what a file of log-probabilities leaves out is in the ln "
    "PPL ratio of every pair, too; compare it with this one",
    lambda row: (
        row.get("ln_ppl_ratio") is not None and is_control(row) and abs(row["ln_ppl_ratio"]) > OWN_BASELINE
    ),
    lambda row: f"ln PPL ratio {format_number(row['ln_ppl_ratio'], 3)}",
)


def _not_measured(status: str) -> _Kind:
    return _Kind(
        f"Not measured: {status}",
        lambda row: not is_measured(row) and bool(row["status"] == status),
        lambda row: row["reason"] or "",
    )


_APART = _Kind(
    "Repetitions that cannot be of the same work: one was stopped or held up, or did not compute what it should",
    apart,
    _durations,
)


def _spread(repetitions: Iterable[Row]) -> _Kind:
    """Repetitions that scatter too widely: of those that count, without first ones that are told from the others."""
    place = (*PHASE, "depth")
    dropped = {tuple(row[name] for name in place) for row in repetitions if row["first_dropped"]}

    def spread(row: Row) -> float:
        """The sample standard deviation as a fraction of the mean; 0 of fewer than two."""
        samples = row.get("samples")
        if samples is None:
            return 0.0
        counted = samples[1:] if tuple(row[name] for name in place) in dropped else samples
        return float(np.std(counted, ddof=1) / np.mean(counted)) if len(counted) > 1 else 0.0

    return _Kind(
        f"Spread: the standard deviation of the repetitions that count is more than {100 * SPREAD:g} % of their mean",
        lambda row: spread(row) > SPREAD,
        lambda row: f"{100 * spread(row):.1f} %",
    )


_OF_THE_RUN = (
    _Kind(
        f"The machine was busy: other programs took more than {BUSY_CORES:g} cores before the engine was started",
        lambda row: is_busy(row["busy_cores_before"]),
        lambda row: f"{row['busy_cores_before']:.1f} cores",
    ),
    _Kind(
        "The machine was slowed or shared before the engine was started",
        lambda row: bool(what_slowed(row)),
        lambda row: ", ".join(what_slowed(row)),
    ),
    _Kind(
        "The engine had to be started more than once",
        lambda row: row["attempts"] is not None and bool(row["attempts"] > 1),
        lambda row: f"{row['attempts']} times",
    ),
)
