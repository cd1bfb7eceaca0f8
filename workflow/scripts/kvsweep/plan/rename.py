"""Another name for a model, an engine, a text or a machine: what was measured under the old one is kept.

Under ``results/`` a name is a directory (but a machine's) and a value in manifests and records. What is being renamed
stands in a journal until it is done, so that the same command finishes an interrupted renaming; no run begins before.
"""

from __future__ import annotations

import glob
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from kvsweep.errors import KvsweepError
from kvsweep.files import read_json, read_manifest, sha256, write_json
from kvsweep.plan.counts import LAST_RUN
from kvsweep.study.values import Name, Text

JOURNAL = "renaming.json"
# Where its manifest lies, its file's name, and the level of its directories under each kind of measurement.
_PLACES = {
    "ENGINE": ("engines", "build.json", 0),
    "MODEL": ("models", "model.json", 1),
    "CORPUS": ("corpora", "corpus.json", 2),
}
KINDS = (*_PLACES, "MACHINE")
_NO_MEASUREMENTS = (
    *("engines", "models", "corpora", "tables", "figures", "logs", "parsed", "published", "study"),
)


@dataclass(frozen=True)
class Renaming:
    kind: str
    old: str
    new: str

    def __str__(self) -> str:
        return f"{self.kind}={self.old}:{self.new}"


def parse_renaming(asked: Mapping[str, str]) -> Renaming:
    """What ``MODEL=old:new`` asks for. Raises KvsweepError with one sentence on anything else."""
    if len(asked) != 1 or next(iter(asked)) not in KINDS:
        raise KvsweepError(
            f"say what to rename, with one of {', '.join(f'{kind}=old:new' for kind in KINDS)}."
        )
    ((kind, names),) = asked.items()
    old, colon, new = names.partition(":")
    if not (colon and old and new) or ":" in new or old == new:
        raise KvsweepError(
            f"{kind}={names}: write the old name, a colon and another, new name: {kind}=old:new."
        )
    try:
        TypeAdapter(Text if kind == "MACHINE" else Name).validate_python(new)
    except ValidationError as error:
        problem = str(error.errors()[0]["msg"]).removeprefix("Value error, ")
        raise KvsweepError(f"{kind}: {problem}.") from None
    if not new.isprintable():
        raise KvsweepError(f"{kind}: {new!r} has characters that cannot be shown; choose another name.")
    return Renaming(kind, old, new)


def unfinished(results: Path) -> Renaming | None:
    """The renaming that was interrupted here, if one was. Raises KvsweepError where the journal does not say which."""
    path = results / JOURNAL
    if not path.exists():
        return None
    found = read_manifest(path) or {}
    try:
        return Renaming(found["kind"], found["old"], found["new"])
    except KeyError:
        example = json.dumps(asdict(Renaming("MODEL", "old", "new")))
        raise KvsweepError(
            f"{path}: a renaming was interrupted, and this file does not say which; write it there, as {example}."
        ) from None


def check_finished(results: Path) -> None:
    """Raise KvsweepError if a renaming was interrupted here."""
    if (left := unfinished(results)) is not None:
        raise KvsweepError(f"{results}: a renaming was interrupted; make rename {left} finishes it.")


def rename(asked: Renaming, results: Path) -> int:
    """Rename, or go on where it was interrupted. Returns how many records carry the new name after it.

    Raises KvsweepError, with nothing changed, where nothing has the old name, something has the new one already, or a
    file cannot be read that may have the old one.
    """
    left = unfinished(results)
    if left is None:
        _check_readable(asked, results, "nothing was renamed")
        _check(asked, results)
        write_json(results / JOURNAL, asdict(asked))
    elif left != asked:
        raise KvsweepError(f"{results}: another renaming was interrupted; make rename {left} finishes it.")
    else:
        _check_readable(asked, results, "the renaming is not finished")
    build_sha256 = _rename_manifest(asked, results)
    for directory in list(_directories(results, asked.kind, asked.old)):
        directory.rename(directory.with_name(asked.new))
    for directory in list(_compared_with(results, asked)):
        directory.rename(directory.with_name(f"against-{asked.new}"))
    renamed = [path for path in list(_records(results)) if _rename_record(path, asked, build_sha256)]
    _rename_in_last_run(asked, results)
    (results / JOURNAL).unlink()
    return sum(not path.parent.name.startswith(".") for path in renamed)


def _check_readable(asked: Renaming, results: Path, outcome: str) -> None:
    """Raise KvsweepError for a file that may hold the old name and cannot be read; ``outcome`` says what was done."""
    paths = [*_records(results), results / LAST_RUN]
    if asked.kind != "MACHINE":
        place, manifest, _ = _PLACES[asked.kind]
        paths += [results / place / name / manifest for name in (asked.old, asked.new)]
    for path in paths:
        if path.is_file() and read_manifest(path) is None:
            raise KvsweepError(
                f"{path}: cannot be read, and may hold the name {asked.old!r}, so {outcome}; make the file readable, "
                "or remove it, and give the same command again."
            )


def _check(asked: Renaming, results: Path) -> None:
    if asked.kind == "MACHINE":
        names = {_machine(read_json(path)) for path in _records(results)} - {None}
        if asked.old not in names:
            known = ", ".join(sorted(map(str, names))) or "none"
            raise KvsweepError(
                f"no cell was measured on a machine called {asked.old!r}; known here: {known}."
            )
        return
    place = results / _PLACES[asked.kind][0]
    old, new = (_what_has(results, asked.kind, name) for name in (asked.old, asked.new))
    if not old:
        known = ", ".join(sorted(path.name for path in place.glob("*") if path.is_dir())) or "none"
        raise KvsweepError(f"{asked.kind}: there is nothing of {asked.old!r} here; known here: {known}.")
    if new:
        raise KvsweepError(
            f"{asked.kind}: {asked.new!r} is there already ({new[0]}); two cannot become one. Choose another name, or "
            f"remove what is there."
        )


def _what_has(results: Path, kind: str, name: str) -> list[Path]:
    place = results / _PLACES[kind][0] / name
    return [path for path in (place, *_directories(results, kind, name)) if path.exists()]


def can_be_renamed(results: Path, kind: str, new: str) -> bool:
    """Whether nothing has the ``new`` name yet."""
    return not _what_has(results, kind, new)


def measured_cells(results: Path, kind: str, name: str) -> int:
    """How many cells were measured under a name."""
    return sum(
        not any(part.startswith(".") for part in path.relative_to(results).parts)
        for directory in _directories(results, kind, name)
        if directory.relative_to(results).parts[0] != "baseline"
        for path in directory.rglob("run.json")
    )


def _directories(results: Path, kind: str, name: str) -> Iterator[Path]:
    """The directories of this name under each kind of measurement."""
    if kind == "MACHINE" or not results.is_dir():
        return
    level = _PLACES[kind][2]
    for place in sorted(results.iterdir()):
        if place.is_dir() and not place.name.startswith(".") and place.name not in _NO_MEASUREMENTS:
            if kind == "CORPUS" and place.name == "tasks":
                continue  # there the third level is the task's name
            for parent in sorted(place.glob("/".join(["*"] * level)) if level else [place]):
                if (parent / name).is_dir() and (kind != "CORPUS" or _has_corpus(parent / name)):
                    yield parent / name


def _compared_with(results: Path, asked: Renaming) -> Iterator[Path]:
    """The directories of cells that are compared with the f16 of an engine that is not their own."""
    if asked.kind == "ENGINE":
        yield from results.glob(f"quality/*/*/*/c*/against-{glob.escape(asked.old)}")


def _has_corpus(directory: Path) -> bool:
    """Whether the third level is a text's here: for speed it is a depth."""
    first = next(directory.rglob("run.json"), None)
    return first is not None and "corpus" in (read_manifest(first) or {})


def _records(results: Path) -> Iterator[Path]:
    """Every run.json, second names included."""
    for place in sorted(results.iterdir()):
        if place.is_dir() and place.name not in _NO_MEASUREMENTS:
            yield from place.rglob("run.json")


def _rename_manifest(asked: Renaming, results: Path) -> tuple[str, str] | None:
    """The manifest, its directory and the paths in it. Of an engine, build.json's sha256 before and after."""
    if asked.kind == "MACHINE":
        return None
    place, name, _ = _PLACES[asked.kind]
    old, new = results / place / asked.old, results / place / asked.new
    if old.is_dir():
        # Written before the directory moves: what it says counts from then on.
        journal = read_json(results / JOURNAL)
        if (old / name).is_file() and "build_sha256" not in journal:
            write_json(results / JOURNAL, {**journal, "build_sha256": sha256(old / name)})
        old.rename(new)
    manifest = read_manifest(new / name)
    if manifest is None:
        return None
    key = asked.kind.lower()
    if manifest.get(key) != asked.new:
        was = json.dumps(str(old.resolve()) + "/")[1:-1]
        text = json.dumps(manifest).replace(f'"{was}', f'"{json.dumps(str(new.resolve()) + "/")[1:-1]}')
        write_json(new / name, {**json.loads(text), key: asked.new})
        if (checked := new / "pairs.checked").exists():
            checked.touch()  # of the same engine
    before = read_json(results / JOURNAL).get("build_sha256")
    return (before, sha256(new / name)) if asked.kind == "ENGINE" and before else None


def _rename_record(path: Path, asked: Renaming, build_sha256: tuple[str, str] | None) -> bool:
    """Whether the record is one of those that were renamed, now or before the interruption."""
    record = read_json(path)
    if asked.kind == "MACHINE":
        if _machine(record) != asked.old:
            return _machine(record) == asked.new
        record["machine"]["name"] = asked.new
    else:
        key = asked.kind.lower()
        is_reference = asked.kind == "ENGINE" and _reference(record).get("engine") == asked.old
        if is_reference:
            record["reference"]["engine"] = asked.new
        if record.get(key) != asked.old:
            if is_reference:
                write_json(path, record)
            return is_reference or record.get(key) == asked.new
        record[key] = asked.new
        if build_sha256 is not None and record.get("build_sha256") == build_sha256[0]:
            record["build_sha256"] = build_sha256[1]
    write_json(path, record)
    return True


def _reference(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a record says of the engine whose f16 the cell was compared with, where that is another one."""
    found = record.get("reference")
    return found if isinstance(found, dict) else {}


def _machine(record: Mapping[str, Any]) -> str | None:
    machine = record.get("machine")
    return machine.get("name") if isinstance(machine, dict) else None


def _rename_in_last_run(asked: Renaming, results: Path) -> None:
    """So that the status goes on counting until the next run."""
    last = read_manifest(results / LAST_RUN) or {}
    configuration = last.get("configuration")
    if not isinstance(configuration, dict):
        return
    if asked.kind == "MACHINE":
        if configuration.get("machine") == asked.old:
            configuration["machine"] = asked.new
    else:
        section = _PLACES[asked.kind][0]
        configuration[section] = {
            asked.new if name == asked.old else name: value
            for name, value in configuration.get(section, {}).items()
        }
        quality = configuration.get("quality") or {}
        if asked.kind == "ENGINE" and quality.get("reference") == asked.old:
            quality["reference"] = asked.new
    write_json(results / LAST_RUN, last)
