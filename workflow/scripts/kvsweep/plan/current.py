"""What a cell would be measured with now, as far as the configuration and the files on this machine say."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from kvsweep.engine.identity import engine_files, engine_identity, measuring_files
from kvsweep.files import read_manifest, sha256_once
from kvsweep.study.config import Study
from kvsweep.study.engines import Engine
from kvsweep.study.input_shape import Corpus, Model
from kvsweep.study.origin import Origin
from kvsweep.study.split_models import checksum_memory, model_sha256, part_paths


@dataclass(frozen=True)
class EngineNow:
    """``definition`` is ``engine_identity``'s; ``files`` (sha256 by name) is None as long as they are not known."""

    definition: Mapping[str, Any]
    files: Mapping[str, str] | None


@dataclass(frozen=True)
class InputNow:
    """A model or a corpus. ``sha256`` is None as long as it is not known.

    ``source`` says what it will be made from if that is another one than what is there was made from, else None.
    """

    sha256: str | None
    source: str | None = None


@dataclass(frozen=True)
class Current:
    engines: Mapping[str, EngineNow] = field(default_factory=dict)
    models: Mapping[str, InputNow] = field(default_factory=dict)
    corpora: Mapping[str, InputNow] = field(default_factory=dict)


def look(study: Study, results: Path, base: Path) -> Current:
    """What engines, models and texts are now. Reads a big file only if its size or time stamp changed.

    Relative paths of the configuration start at ``base``. Nothing is written beside the manifests of another study's
    models and texts that happen to have the same names.
    """
    return Current(
        {name: _engine(engine, results, base) for name, engine in study.engines.items()},
        {name: _model(name, model, results, base) for name, model in study.models.items()},
        {name: _corpus(name, corpus, results, base) for name, corpus in study.corpora.items()},
    )


def build_of(engine: Engine, results: Path) -> dict[str, Any] | None:
    """build.json of an engine, if that is of the engine as the configuration defines it."""
    build = read_manifest(results / "engines" / engine.name / "build.json")
    return build if build is not None and build.get("definition") == engine_identity(engine) else None


def ready_files(engine: Engine, results: Path, base: Path) -> dict[str, str] | None:
    """sha256 of the files of an engine of ready binaries; None for another, or where its programs are missing."""
    directory = Path(base, Path(engine.source.get("path", "")).expanduser())
    if engine.source_kind != "path" or not all((directory / name).is_file() for name in engine.programs):
        return None
    manifests = results / "engines" / engine.name
    ours = (read_manifest(manifests / "build.json") or {}).get("directory") == str(directory.resolve())
    return {
        path.name: sha256_once(path, manifests / "checksums" / f"{path.name}.json", remember=ours)
        for path in engine_files(directory, engine.programs)
    }


def _engine(engine: Engine, results: Path, base: Path) -> EngineNow:
    if engine.source_kind == "path":
        files = ready_files(engine, results, base)
    else:
        build = build_of(engine, results)
        files = None if build is None else build["files"]
    return EngineNow(
        engine_identity(engine), None if files is None else measuring_files(files, engine.programs)
    )


def _model(name: str, model: Model, results: Path, base: Path) -> InputNow:
    made = read_manifest(results / "models" / name / "model.json")
    if model.origin.path is not None:
        parts = part_paths(Path(base, Path(model.origin.path).expanduser()))
        if not all(part.is_file() for part in parts):
            return InputNow(None)
        # Reading tens of GB tells nothing as long as there is nothing to compare with.
        if (
            made is None
            and not any(results.glob(f"*/*/{glob.escape(name)}"))
            and not _has_another_name(parts, results)
        ):
            return InputNow(None)
        ours = made is not None and made.get("source") == model.origin.at(base).as_dict()
        memory = results / "models" / name
        return InputNow(
            model_sha256(sha256_once(part, checksum_memory(memory, part), remember=ours) for part in parts)
        )
    return _fetched(made, model.origin, model.origin.as_dict(), model.sha256)


def _has_another_name(parts: Iterable[Path], results: Path) -> bool:
    """Whether there are results of a model of this size; its sha256 will tell whether it is the same."""
    size = sum(part.stat().st_size for part in parts)
    return any(
        (read_manifest(path) or {}).get("size_bytes") == size for path in results.glob("models/*/model.json")
    )


def _corpus(name: str, corpus: Corpus, results: Path, base: Path) -> InputNow:
    made = read_manifest(results / "corpora" / name / "corpus.json")
    if corpus.generate is not None:
        asked = asdict(corpus.generate)
        said = f"generated, seed {asked['seed']}, {asked['bytes']} bytes"
        return _fetched(made, said, {"generate": asked}, corpus.sha256)
    assert corpus.origin is not None
    source = corpus.origin.as_dict() | ({} if corpus.member is None else {"member": corpus.member})
    if corpus.origin.path is None:
        return _fetched(made, corpus.origin, source, corpus.sha256)
    ours = made is not None and made.get("source") == source | {"path": corpus.origin.at(base).path}
    path = Path(base, Path(corpus.origin.path).expanduser())
    if not path.is_file():
        return InputNow(None)
    memory = "checksum.json" if corpus.member is None else "archive-checksum.json"
    found = sha256_once(path, results / "corpora" / name / memory, remember=ours)
    if corpus.member is None:
        return InputNow(found)
    others = [made] if made else [read_manifest(path) for path in results.glob("corpora/*/corpus.json")]
    for one in others:
        if one and (one.get("archive_sha256"), one["source"].get("member")) == (found, corpus.member):
            return InputNow(one["sha256"])
    return InputNow(corpus.sha256, None if made is None else f"{corpus.member} of another archive")


def _fetched(
    made: Mapping[str, Any] | None, origin: Origin | str, source: Mapping[str, Any], declared: str | None
) -> InputNow:
    """A model or text that is fetched or generated as the configuration says, and then stays."""
    if made is not None and made.get("source") == source:
        return InputNow(made["sha256"])
    return InputNow(declared, None if made is None or declared is not None else str(origin))
