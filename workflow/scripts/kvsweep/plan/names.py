"""Names that stand for the same thing: two in one configuration, or an old and a new one for what was measured."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from pathlib import Path
from typing import Any

from kvsweep.engine.identity import engine_identity
from kvsweep.files import read_manifest
from kvsweep.plan.current import Current
from kvsweep.study.config import Study
from kvsweep.study.engines import Engine
from kvsweep.study.input_shape import Corpus, Model

_KINDS = {"engines": "ENGINE", "models": "MODEL", "corpora": "CORPUS"}


def two_names(study: Study, now: Current) -> list[str]:
    """A sentence for each thing that a configuration has under two names, and that would be measured twice."""
    lines = []
    for section in _KINDS:
        seen: dict[Hashable, str] = {}
        for name, keys in _things(section, study, now).items():
            other = next((seen[key] for key in keys if key in seen), None)
            seen |= dict.fromkeys(keys, name) if other is None else {}
            if other is not None:
                lines.append(
                    f"twice: {section}.{other} and {section}.{name} are the same; all of it is measured under both "
                    "names. Remove one"
                )
    return lines


def new_names(last: Study, study: Study) -> Iterator[tuple[str, str, str]]:
    """What has another name now than in the ``last`` configuration: ("MODEL", old, new)."""
    for section, kind in _KINDS.items():
        then, now = (_things(section, one, Current()) for one in (last, study))
        for old, keys in then.items():
            if old not in now:
                for new in now:
                    if new not in then and set(keys) & set(now[new]):
                        yield kind, old, new
                        break


def measured_as(study: Study, now: Current, results: Path) -> Iterator[tuple[str, str, str]]:
    """What was measured under a name that the configuration does not have: ("MODEL", old, new).

    The same content says so, of models and texts their sha256, wherever the file lies now.
    """
    for section, manifest in (("models", "model.json"), ("corpora", "corpus.json")):
        names = {one.sha256: name for name, one in getattr(now, section).items() if one.sha256 is not None}
        for path in sorted((results / section).glob(f"*/{manifest}")):
            new = names.get((read_manifest(path) or {}).get("sha256"))
            if new is not None and path.parent.name not in getattr(study, section):
                yield _KINDS[section], path.parent.name, new


def _things(section: str, study: Study, now: Current) -> dict[str, list[Hashable]]:
    """What makes each thing of a section the same as another one, by name."""
    things: Mapping[str, Any] = getattr(study, section)
    return {name: list(_keys(name, thing, now)) for name, thing in things.items()}


def _keys(name: str, thing: Engine | Model | Corpus, now: Current) -> Iterator[Hashable]:
    if isinstance(thing, Engine):
        source = repr(thing.source) if thing.source_kind == "path" else ""
        yield repr(engine_identity(thing)) + source
        return
    yield thing.origin if isinstance(thing, Model) else (thing.origin, thing.member, thing.generate)
    known = (now.models if isinstance(thing, Model) else now.corpora).get(name)
    if known is not None and known.sha256 is not None:
        yield known.sha256
