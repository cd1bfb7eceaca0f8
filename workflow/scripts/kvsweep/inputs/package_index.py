"""Files from a package index: source distributions and wheels, by the sha256 of the one that is meant."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from kvsweep.errors import KvsweepError
from kvsweep.files import check_room, make_directory, sha256, write_text
from kvsweep.machine.children import run_to_its_end

_PIP = Path(__file__).with_name("pip_download.py")
# What pip says, and what that means. It says the second of a host whose name does not resolve and of an error of the
# index alike.
_REFUSALS = {
    "WARNING: Retrying (": ": the package index does not answer, so {package} {version} cannot be fetched; check the "
    "network, the index and the proxy that pip is told to use, and run again.",
    "(from versions: none)": ": the package index gave no file of {package}: it has none for this machine, or did not "
    "answer; correct package, or check the network and the index that pip is told to use, and run again.",
    "No matching distribution": ".version: the package index has no {package} {version} for this machine; correct "
    "package or version.",
}


def fetch(package: str, version: str, digest: str, directory: Path, where: str) -> Path:
    """The file of ``package`` with this sha256, in ``directory``. pip fetches it, from the user's own index.

    Nothing of the package is executed, and nothing but this file is fetched. ``where`` is the configuration key to name
    in errors. Raises KvsweepError.
    """
    make_directory(directory)
    requirement = directory / "requirement.txt"
    write_text(requirement, f"{package}=={version} --hash=sha256:{digest}\n")
    done = run_pip(
        # -I: no module beside this one, and none of the shell's PYTHONPATH, stands in for one of pip's.
        *(sys.executable, "-I", str(_PIP), "download", "--disable-pip-version-check", "--no-input"),
        *("--no-deps", "--no-build-isolation", "--ignore-requires-python", "--progress-bar", "off"),
        *("--require-hashes", "--requirement", str(requirement), "--dest", str(directory)),
    )
    if done.returncode != 0:
        check_room(done.stdout, directory)
        raise KvsweepError(_sentence(done.stdout, package, version, digest, where))
    requirement.unlink()
    for path in directory.iterdir():
        if path.is_file() and sha256(path) == digest:
            return path
    raise KvsweepError(f"{where}: {package} {version}: pip brought no file with the sha256 {digest}.")


def run_pip(*command: str) -> subprocess.CompletedProcess[str]:
    """Run pip, or venv before it, so that it asks nobody. ``stdout`` has what it says on both streams."""
    return run_to_its_end(command, together=True)


def _sentence(output: str, package: str, version: str, digest: str, where: str) -> str:
    """The sentence that says what pip's refusal means."""
    got = re.search(r"Got\s+([0-9a-f]{64})", output)
    if got:
        return (
            f"{where}.sha256: {package} {version} has sha256 {got[1]}, the configuration says {digest}; "
            "nothing was taken from it."
        )
    for said, means in _REFUSALS.items():
        if said in output:
            return where + means.format(package=package, version=version)
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith("error")]
    if not errors or errors[-1] == "ERROR: Exception:":
        errors = lines[-1:]  # of a traceback, whose last line says what happened
    said = " ".join(errors).removeprefix("ERROR: ")[:400] or "no reason given"
    return f"{where}: pip cannot fetch {package} {version} ({said})."
