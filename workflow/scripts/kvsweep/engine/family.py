"""Which family of llama.cpp a build is of: by the cache types that it has beside mainline's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

MAINLINE = "llama.cpp"
_OF_MAINLINE = {"f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "iq4_nl", "q5_0", "q5_1"}
# Its help lists no types, and its types of mainline's names are kept in its own way.
_IK = "ik_llama.cpp"
_QUANTS = ("q", "iq", "f", "bf")


def family_of(build: Mapping[str, Any]) -> str | None:
    """``llama.cpp``; ``llama.cpp with turbo`` for a build that has turbo2 to turbo4, too. None where not known.

    ``build`` is build.json. A commit tells versions apart and a family kinds: in two families a type of one name may be
    kept and multiplied in different ways.
    """
    if _IK in f"{build.get('source')} {build.get('address')}":
        return _IK
    types = build.get("cache_types")
    if not types:
        return None
    own = sorted({_kind(name) for name in types if name not in _OF_MAINLINE})
    return f"{MAINLINE} with {', '.join(own)}" if own else MAINLINE


def _kind(name: str) -> str:
    """``turbo`` of turbo4; a type whose name begins as mainline's do is its own kind."""
    found = re.match(r"[A-Za-z]+", name)
    return name if found is None or found.group() in _QUANTS else found.group()
