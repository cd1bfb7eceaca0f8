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
from typing import Any, NamedTuple

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
    """What has to agree, and what may differ."""

    required: tuple[Check, ...]
    beside: tuple[Check, ...]

    @property
    def comparable(self) -> bool | None:
        """False where something that has to agree does not; None where all that is known agrees, and not all is."""
        if self.prevents:
            return False
        return None if any(check.same is None for check in self.required) else True

    @property
    def prevents(self) -> list[str]:
        """What makes the cells not comparable, each with both sides."""
        return [check.both() for check in self.required if check.same is False]

    @property
    def differs(self) -> list[str]:
        """All that differs, what prevents a comparison first."""
        return [check.both() for check in (*self.required, *self.beside) if check.same is False]

    @property
    def unknown(self) -> list[str]:
        """What may differ, because a side does not say."""
        return [check.what for check in (*self.required, *self.beside) if check.same is None]

    @property
    def columns(self) -> dict[str, Any]:
        """All of it, as columns of a table."""
        names = ("comparable", "prevents", "differs", "unknown")
        return {name: getattr(self, name) for name in names}


def comparability(ours: Row, theirs: Row, quantity: str | None = None) -> Comparability:
    """What sets two rows of throughput, or two of quality, apart. ``quantity`` is the column that is compared: only a
    divergence depends on the f16 that it is from."""
    of_quality = "n_ctx" in ours
    required = [*_set_up(ours, theirs), _effective_pair(ours, theirs)]
    beside = [_commit(ours, theirs), _check(ours, theirs, "back end", "backend")]
    if of_quality:
        required += [
            _check(ours, theirs, "windows", "chunks"),
            _check(ours, theirs, "positions", "positions"),
        ]
        reference = _reference(ours, theirs)
        (beside if quantity == "ppl" else required).append(reference)
        # Of one f16 for both, what another family changes is what is measured.
        if quantity != "ppl" and reference.same and (reference.ours, reference.theirs) != (OWN, OWN):
            beside += [check for check in required if check.what == _FAMILY]
            required = [check for check in required if check.what != _FAMILY]
        beside.append(_check(ours, theirs, "method", "method"))
    else:
        required += [_check(ours, theirs, "depth", "depth"), _check(ours, theirs, "phase", "phase")]
        beside.append(_check(ours, theirs, "tokens timed", "n_tokens"))
    beside += [
        _check(ours, theirs, "machine", "machine"),
        _check(ours, theirs, "rotation of K", "rotated_k"),
        _check(ours, theirs, "rotation of V", "rotated_v"),
        _check(ours, theirs, "work left the device", "fallback"),
        *_command(ours, theirs),
    ]
    return Comparability(tuple(required), tuple(beside))


def set_ups_differ(ours: Row, theirs: Row) -> list[str]:
    """What of two set-ups that has to agree does not: for rows that stand in one panel or table."""
    return [check.both() for check in _set_up(ours, theirs) if check.same is False]


def _set_up(ours: Row, theirs: Row) -> Iterable[Check]:
    yield model_check(ours, theirs)
    yield _check(ours, theirs, _FAMILY, "engine_family")
    if "n_ctx" in ours and "corpus" in ours:
        text, name = (_check(ours, theirs, "text", column) for column in ("corpus_sha256", "corpus"))
        yield _by_hash(text, name)
        yield _check(ours, theirs, "context", "n_ctx")


def model_check(ours: Row, theirs: Row) -> Check:
    """Whether two rows are of the same file."""
    return _by_hash(*(_check(ours, theirs, "model", name) for name in ("model_sha256", "model")))


def _by_hash(by_hash: Check, by_name: Check) -> Check:
    """The hash decides. Without one another name counts as another file, and the same name proves nothing."""
    if by_hash.same is not None:
        # Where the names differ too, they say more to a person.
        return by_name if by_hash.same is False and by_name.same is False else by_hash
    return by_name if by_name.same is False else by_name._replace(same=None)


def _check(ours: Row, theirs: Row, what: str, column: str) -> Check:
    mine, other = ours.get(column), theirs.get(column)
    return Check(what, None if mine is None or other is None else bool(mine == other), mine, other)


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
    known = all(row.get(f"effective_{side}") for row in (ours, theirs) for side in ("ctk", "ctv"))
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
