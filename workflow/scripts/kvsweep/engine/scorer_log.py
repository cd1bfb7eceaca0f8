"""What the scorer prints: the engine's log, each context between two lines, and a JSON line for each window."""

from __future__ import annotations

import re
from collections.abc import Mapping

from kvsweep.study.pairs import Pair

_BEGIN = re.compile(r"^kvsweep-scorer: context of (base|pair) (\S+)$")
_END = "kvsweep-scorer: end of context"


def log_of_pair(text: str, pair: Pair) -> str:
    """The log as it would be if this pair's context had been the only one."""
    kept, mine = [], True
    for line in text.splitlines(keepends=True):
        begin = _BEGIN.match(line)
        if begin:
            mine = begin.groups() == ("pair", str_of(pair))
        if mine:
            kept.append(line)
        if line.startswith(_END):
            mine = True
    return "".join(kept)


def lines_of_pair(text: str, pair: Pair) -> str:
    """The lines of stdout about this pair, and those about the whole process."""
    return "".join(
        line
        for line in text.splitlines(keepends=True)
        if '"pair": "' not in line or f'"pair": "{str_of(pair)}"' in line
    )


def str_of(pair: Pair) -> str:
    """The scorer names both sides always."""
    return f"{pair.ctk}/{pair.ctv}"


def runs_alone(pair: Pair, knobs: Mapping[str, str]) -> bool:
    """Whether a pair has to have its process for itself: in the TurboQuant fork the first cache of a process decides
    which layers are kept at another type, and a V of turbo2 makes it decide so unless it is told."""
    return pair.ctv.startswith("turbo2") and "TURBO_LAYER_ADAPTIVE" not in knobs
