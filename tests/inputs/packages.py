"""A package index on disk, with a source distribution and a wheel."""

from __future__ import annotations

import hashlib
import io
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path


def sdist(index: Path, name: str, version: str, files: Mapping[str, bytes]) -> str:
    """Adds a source distribution; the answer is its sha256."""
    root = f"{name}-{version}"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for path, content in {"PKG-INFO": metadata, **files}.items():
            entry = tarfile.TarInfo(f"{root}/{path}")
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return _add(index, name, f"{root}.tar.gz", packed.getvalue())


def wheel(index: Path, name: str, version: str, files: Mapping[str, bytes]) -> str:
    """Adds a wheel for any machine; the answer is its sha256."""
    stem = f"{name.replace('-', '_')}-{version}"
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path, content in files.items():
            archive.writestr(path, content)
        info = f"{stem}.dist-info"
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return _add(index, name, f"{stem}-py3-none-any.whl", packed.getvalue())


def _add(index: Path, name: str, file_name: str, content: bytes) -> str:
    directory = index / name
    directory.mkdir(parents=True, exist_ok=True)
    (directory / file_name).write_bytes(content)
    links = "".join(
        f'<a href="{path.name}#sha256={hashlib.sha256(path.read_bytes()).hexdigest()}">{path.name}</a>\n'
        for path in sorted(directory.iterdir())
        if path.name != "index.html"
    )
    (directory / "index.html").write_text(f"<!DOCTYPE html><html><body>{links}</body></html>")
    return hashlib.sha256(content).hexdigest()
