"""What ``llama-perplexity --help`` says: the cache types that an engine accepts, and how it is made to say more."""

from __future__ import annotations

import re

from kvsweep.errors import UnparsableOutput

_ALLOWED = re.compile(r"--cache-type-k TYPE\b[^\n]*\n\s*allowed values: ([\w, \n]+?)\s*\(")


def accepted_cache_types(help_text: str) -> tuple[str, ...] | None:
    """The cache types listed in ``llama-perplexity --help`` (``common/arg.cpp``), on one line or several.

    None where it names the option and lists no values, as ik_llama.cpp's does: then the engine says so when it is asked
    for one that it does not know. Raises UnparsableOutput for a help that is none.
    """
    allowed = _ALLOWED.search(help_text)
    if allowed is None and "--cache-type-k" in help_text and "allowed values" not in help_text:
        return None
    if allowed is None:
        raise UnparsableOutput("the engine's --help does not list the allowed values of --cache-type-k")
    types = tuple(name for name in re.split(r",\s*", allowed[1]) if name)
    if not all(re.fullmatch(r"\w+", name) for name in types):
        raise UnparsableOutput(f"the engine's --help lists unknown cache types: {allowed[1]!r}")
    return types


_VERBOSITY = re.compile(r"^ *(-lv|--verbosity)\b.*\n(?:(?! *-{1,2}[a-z]).*\n)*", re.M)
_DEBUG_LEVEL = re.compile(r"^ *- (\d+): debug\b", re.M)


def verbose_arguments(help_text: str) -> tuple[str, str]:
    """How llama-perplexity is told to print what it does with every layer, by its ``--help``.

    The level called debug is 5 since 2026-05-14 (pull request 23021) and was 4; builds whose help does not number the
    levels print all of it at 4. ik_llama.cpp calls the option ``--verbosity``.
    """
    option = _VERBOSITY.search(help_text)
    level = option and _DEBUG_LEVEL.search(option[0])
    return option[1] if option else "-lv", level[1] if level else "4"
