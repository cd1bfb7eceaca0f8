"""Whether two cells may be compared, and what sets them apart all the same: computed from their rows.

Model, text, context, windows, pair that ran and family of the engine have to agree: cells that differ in one of these
measured different things. Divergences from one f16 for both may be of two families.
All else that differs (commit, back end, rotation, batch, prompt, machine) may be what the
comparison is about, and stands beside it.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

from kvsweep.analysis.reference import reference_engine
from kvsweep.tables.published import LIKELY_COMMIT
from kvsweep.tables.row import Row

# What of a command line is said by other columns, or changes nothing that is measured.
_SAID_ELSEWHERE = {
    *("-m", "-f", "-c", "-ctk", "-ctv", "-p", "-n", "-d", "-r", "-o", "-lv", "-v", "--progress", "--chunks"),
    *("--kl-divergence", "--kl-divergence-base", "--windows", "--positions", "--pairs", "--output"),
}
_OPTIONS = {
    "-b": "batch",
    "-ub": "micro-batch",
    "-t": "threads",
    "-ngl": "layers on the device",
    "-fa": "flash attention",
}
_FAMILY = "engine family"
# What a person calls a column that is compared.
_NAMES = {
    **{"model_sha256": "model", "corpus_sha256": "text", "corpus": "text", "n_ctx": "context"},
    **{"engine_family": _FAMILY, "backend": "back end", "chunks": "windows", "n_tokens": "tokens timed"},
    **{"rotated_k": "rotation of K", "rotated_v": "rotation of V", "fallback": "work left the device"},
}
_COMMON = ("batch", "micro-batch", "threads")


class Check(NamedTuple):
    """Something that can set two cells apart, on both sides; ``same`` is None where a side does not say."""

    what: str
    same: bool | None
    ours: object
    theirs: object

    def both(self) -> str:
        return f"{self.what}: ours {_shown(self.ours)}, theirs {_shown(self.theirs)}"


class Comparability(NamedTuple):
    """What was found of two cells, as columns of a table."""

    comparable: bool | None  # None where all that is known agrees, and not all is
    prevents: list[str]  # what has to agree and does not, each with both sides
    differs: list[str]  # all that differs, what prevents a comparison first
    unknown: list[str]  # what may differ, because a side does not say


def comparability(ours: Row, theirs: Row, quantity: str | None = None) -> Comparability:
    """What sets two rows of throughput, or two of quality, apart. ``quantity`` is the column that is compared: only a
    divergence depends on the f16 that it is from."""
    required = [*_set_up(ours, theirs), _effective_pair(ours, theirs)]
    beside = [_commit(ours, theirs), *_checks(ours, theirs, "backend")]
    if "n_ctx" in ours:
        required += _checks(ours, theirs, "chunks", "positions")
        reference = _reference(ours, theirs)
        (beside if quantity == "ppl" else required).append(reference)
        # Of one f16 for both, what another family changes is what is measured.
        if quantity != "ppl" and reference.same and (reference.ours, reference.theirs) != (OWN, OWN):
            beside += [check for check in required if check.what == _FAMILY]
            required = [check for check in required if check.what != _FAMILY]
        beside += _checks(ours, theirs, "method")
    else:
        required += _checks(ours, theirs, "depth", "phase")
        beside += _checks(ours, theirs, "n_tokens")
    beside += _checks(ours, theirs, "machine", "rotated_k", "rotated_v", "fallback")
    found = [*required, *beside, *_command(ours, theirs)]
    prevents = [check.both() for check in required if check.same is False]
    agree = None if any(check.same is None for check in required) else True
    return Comparability(
        False if prevents else agree,
        prevents,
        differs=[check.both() for check in found if check.same is False],
        unknown=[check.what for check in found if check.same is None],
    )


def set_ups_differ(ours: Row, theirs: Row) -> list[str]:
    """What of two set-ups that has to agree does not: for rows that stand in one panel or table."""
    return [check.both() for check in _set_up(ours, theirs) if check.same is False]


def _set_up(ours: Row, theirs: Row) -> list[Check]:
    found = [model_check(ours, theirs), *_checks(ours, theirs, "engine_family")]
    if "n_ctx" in ours and "corpus" in ours:
        found += [
            _by_hash(*_checks(ours, theirs, "corpus_sha256", "corpus")),
            *_checks(ours, theirs, "n_ctx"),
        ]
    return found


def model_check(ours: Row, theirs: Row) -> Check:
    """Whether two rows are of the same file."""
    return _by_hash(*_checks(ours, theirs, "model_sha256", "model"))


def _by_hash(by_hash: Check, by_name: Check) -> Check:
    """The hash decides. Without one another name counts as another file, and the same name proves nothing."""
    if by_hash.same is not None:
        # Where the names differ too, they say more to a person.
        return by_name if by_hash.same is False and by_name.same is False else by_hash
    return by_name if by_name.same is False else by_name._replace(same=None)


def _checks(ours: Row, theirs: Row, *columns: str) -> list[Check]:
    sides = [(_NAMES.get(column, column), ours.get(column), theirs.get(column)) for column in columns]
    return [
        Check(what, None if mine is None or other is None else bool(mine == other), mine, other)
        for what, mine, other in sides
    ]


def _commit(ours: Row, theirs: Row) -> Check:
    mine, other = ours.get("engine_commit"), theirs.get("engine_commit")
    if mine and other:
        return Check("engine commit", mine == other, mine, other)
    likely = theirs.get(LIKELY_COMMIT)
    # That ours equals the likely one would prove nothing; another one is another.
    same = False if mine and likely and mine != likely else None
    return Check("engine commit", same, mine, f"likely {likely}" if likely else other)


def _effective_pair(ours: Row, theirs: Row) -> Check:
    """Types that are known to have run must be those that ran, or were asked for, on the other side."""
    ran = [
        tuple(row.get(f"effective_{side}") or row[side] for side in ("ctk", "ctv")) for row in (ours, theirs)
    ]
    known = all(row.get(name) for row in (ours, theirs) for name in ("effective_ctk", "effective_ctv"))
    same = False if ran[0] != ran[1] else True if known else None
    return Check("effective pair", same, *("/".join(types) for types in ran))


def _reference(ours: Row, theirs: Row) -> Check:
    """Each cell's own f16 on both sides, or that of the same engine."""
    mine, other = (reference_of(row) for row in (ours, theirs))
    same: bool | None = mine == other
    if None in (mine, other):
        same = None
    elif (mine, other) != (OWN, OWN):
        same = ours["reference"] == theirs["reference"]
        if same and ours["source"] != theirs["source"]:  # of another study the name alone proves nothing
            commits = [_commit_of_reference(row) for row in (ours, theirs)]
            same = None if None in commits else commits[0] == commits[1]
    return Check("f16 of reference", same, mine, other)


OWN = "its own"


def reference_of(row: Row) -> str | None:
    """Whose f16 a row's divergence is from: ``its own`` or the other engine's name; None where that is not known."""
    if row.get("reference") is None:
        return None
    return reference_engine(row) or OWN


def _commit_of_reference(row: Row) -> object:
    return row.get("engine_commit" if reference_of(row) == OWN else "reference_commit")


def _command(ours: Row, theirs: Row) -> Iterable[Check]:
    """Batch, threads, other options and knobs, as the command lines have them."""
    mine, other = (row.get("command") for row in (ours, theirs))
    if not mine or not other:
        yield Check("batch and other options", None, None, None)
        return
    said, says = options_of(mine), options_of(other)
    names = dict.fromkeys((*said, *says))
    if ours.get("method") != theirs.get("method"):  # two programs: what is called the same in both
        names = dict.fromkeys(name for name in names if name.startswith("knob ") or name in _COMMON)
    for name in names:
        if said.get(name) != says.get(name):
            yield Check(name, False, said.get(name, "not given"), says.get(name, "not given"))


def options_of(command: str) -> dict[str, str]:
    """The options of a row's command that stand in no other column, by name, and the knobs that the engine saw."""
    try:
        words = shlex.split(command)
    except ValueError:  # of a stranger's
        return {}
    found: dict[str, str] = {}
    while words and re.match(r"[A-Za-z_]\w*=", words[0]):
        name, _, value = words.pop(0).partition("=")
        found[f"knob {name}"] = value
    for word, following in pairwise([*words[1:], "-"]):
        if word.startswith("-") and not _is_number(word) and word not in _SAID_ELSEWHERE:
            has_value = not following.startswith("-") or _is_number(following)
            found[_OPTIONS.get(word, f"option {word}")] = following if has_value else "given"
    return found


def _is_number(word: str) -> bool:
    return word.lstrip("-").replace(".", "", 1).isdigit()


def _shown(value: object) -> str:
    if value is None:
        return "not stated"
    return "yes" if value is True else "no" if value is False else str(value)
