"""Where code is run that a model wrote: in bubblewrap, docker or podman, without a network or this machine's files.

What is inside talks to who started it through stdin and stdout, a JSON object a line, and ends when that one is gone.
"""

from __future__ import annotations

import json
import os
import queue
import shutil
import subprocess
import threading
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from kvsweep.errors import KvsweepError, printable
from kvsweep.program import last_line

KINDS = ("bubblewrap", "docker", "podman")
PROGRAMS = {"bubblewrap": "bwrap", "docker": "docker", "podman": "podman"}
# Of one line from inside: a request with all messages of an exercise, or a result.
MOST_LINE_BYTES = 8 * 2**20
_SCRATCH_BYTES, _MEMORY_BYTES, _PROCESSES = 2 * 2**30, 6 * 2**30, 1024
_INSIDE = Path(__file__).parents[3] / "inside_sandbox.py"
# Of this machine, where programs and what they need lie: compilers and languages are run where they were installed.
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/opt", "/nix/store", "/npm-install")
_SETTINGS = ("alternatives", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "passwd", "group", "ssl", "java")
_PATH = "/usr/local/go/bin:/usr/local/bin:/usr/bin:/bin"
# What docker and podman have to know to find containers and images; no proxy, which podman would pass on.
_CLIENT = (
    "PATH HOME DOCKER_HOST DOCKER_CONTEXT DOCKER_CONFIG DOCKER_TLS_VERIFY DOCKER_CERT_PATH CONTAINER_HOST "
    "CONTAINERS_CONF CONTAINERS_STORAGE_CONF XDG_RUNTIME_DIR XDG_CONFIG_HOME XDG_DATA_HOME DBUS_SESSION_BUS_ADDRESS"
).split()
_CHECK_SECONDS, _END_SECONDS = 60, 10


class Sandbox(NamedTuple):
    """``image`` is None for bubblewrap, which has no other programs than this machine's."""

    kind: str
    program: str
    image: str | None


class Places(NamedTuple):
    """What a sandbox has to read: the harness, the exercises, and for bubblewrap the Python that has its packages."""

    aider: Path
    exercises: Path
    python: Path | None
    base: Path | None


def find(asked: str, image: str, where: str) -> Sandbox:
    """The sandbox of a kind, or for ``auto`` the first that works here. Raises KvsweepError, which names ``where``."""
    why = []
    for kind in KINDS if asked == "auto" else (asked,):
        program = shutil.which(PROGRAMS[kind])
        problem = "not installed" if program is None else _problem(kind, program, image)
        if problem is None:
            assert program is not None
            return Sandbox(kind, program, None if kind == "bubblewrap" else image)
        why.append(f"{PROGRAMS[kind]}: {problem}")
    raise KvsweepError(
        f"{where}.sandbox: no sandbox works here ({'; '.join(why)}), and nothing that a model wrote is run outside "
        f"one; install bubblewrap, or start docker or podman and give it the image {image} (docs/polyglot.md)."
    )


def _problem(kind: str, program: str, image: str) -> str | None:
    """Why a sandbox does not work here; None if it does."""
    command = [program, "--unshare-all", "--ro-bind", "/", "/", "true"]
    if kind != "bubblewrap":
        # An image that is there need not be one that starts, nor have the harness' packages.
        command = _container(program, image, _new_name(), {}, "-c", "import aider")
    return _ask(command)[1]


def _ask(command: list[str]) -> tuple[str, str | None]:
    """What the sandbox's program says to this, and what is wrong if it fails."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_CHECK_SECONDS,
            check=False,
            env=_client_environment(),
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return "", str(error)
    failed = last_line(done.stderr) or f"exit status {done.returncode}"
    return done.stdout.strip(), failed if done.returncode else None


def image_id(sandbox: Sandbox) -> str | None:
    """Which image its name means here; None for bubblewrap. Raises KvsweepError where that is not said."""
    if sandbox.image is None:
        return None
    said, problem = _ask([sandbox.program, "image", "inspect", "--format", "{{.Id}}", sandbox.image])
    if problem is not None or not said:
        problem = problem or "it says nothing"
        raise KvsweepError(f"{sandbox.image}: {sandbox.kind} does not say which image that is ({problem}).")
    return said.removeprefix("sha256:")


def command(sandbox: Sandbox, places: Places, name: str) -> list[str]:
    """``name`` is the container's, by which it can be ended."""
    if sandbox.kind == "bubblewrap":
        return _bubblewrap(sandbox, places)
    # Not the whole of /aider: in Aider's image its package lies there, too.
    mounts = {places.aider / "benchmark": "/aider/benchmark", places.exercises: "/exercises"}
    mounts[_INSIDE] = "/inside.py"
    return _container(sandbox.program, str(sandbox.image), name, mounts, "/inside.py")


def _container(program: str, image: str, name: str, mounts: Mapping[Path, str], *arguments: str) -> list[str]:
    """Python with ``arguments`` in a new container."""
    return [
        *(program, "run", "--rm", "--interactive", "--name", name, "--network", "none", "--read-only"),
        *("--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--pids-limit", str(_PROCESSES)),
        *("--memory", str(_MEMORY_BYTES), "--oom-score-adj", "1000", "--pull", "never"),
        *("--tmpfs", f"/scratch:exec,mode=1777,size={_SCRATCH_BYTES}"),
        *("--tmpfs", f"/tmp:exec,mode=1777,size={_SCRATCH_BYTES}"),
        *(word for here, there in mounts.items() for word in ("--volume", f"{here}:{there}:ro")),
        *("--entrypoint", "python3", image, *arguments),
    ]


def _bubblewrap(sandbox: Sandbox, places: Places) -> list[str]:
    assert places.python is not None and places.base is not None
    environment = places.python.parents[1]
    readable = [*_SYSTEM, *(f"/etc/{name}" for name in _SETTINGS), str(environment), str(places.base)]
    return [
        *(sandbox.program, "--unshare-all", "--die-with-parent", "--new-session", "--clearenv"),
        *("--setenv", "PATH", f"{places.python.parent}:{_PATH}"),
        *("--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"),
        *("--size", str(_SCRATCH_BYTES), "--tmpfs", "/scratch"),
        *(word for path in readable for word in ("--ro-bind-try", path, path)),
        *("--ro-bind", str(places.aider), "/aider", "--ro-bind", str(places.exercises), "/exercises"),
        *("--ro-bind", str(_INSIDE), "/inside.py", str(places.python), "/inside.py"),
    ]


def _new_name() -> str:
    return f"kvsweep-{uuid.uuid4().hex}"


def _client_environment() -> dict[str, str]:
    return {name: os.environ[name] for name in _CLIENT if name in os.environ}


class Confined:
    """What runs inside a sandbox, from its start to its end."""

    def __init__(self, sandbox: Sandbox, places: Places) -> None:
        self._sandbox, self._name = sandbox, _new_name()
        try:
            self._process = subprocess.Popen(
                command(sandbox, places, self._name),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                # Not of the terminal: Ctrl-C is for the runner to act on.
                start_new_session=True,
                env=_client_environment(),
            )
        except OSError as error:
            raise KvsweepError(f"{sandbox.program}: cannot be started ({error.strerror}).") from error
        stdin, stdout, stderr = self._process.stdin, self._process.stdout, self._process.stderr
        assert stdin is not None and stdout is not None and stderr is not None
        self._stdin, self._stdout, self._stderr = stdin, stdout, stderr
        self._lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._said = b""
        self._threads = [threading.Thread(target=one, daemon=True) for one in (self._read, self._hear)]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Confined:
        return self

    def __exit__(self, *_error: object) -> None:
        with suppress(OSError):
            self._stdin.close()  # what is inside ends with it
        if self._process.poll() is None:
            self._process.kill()  # bubblewrap takes all that is inside along
            if self._sandbox.kind != "bubblewrap":  # a client that is killed leaves its container
                _ask([self._sandbox.program, "rm", "--force", self._name])
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_SECONDS)

    def send(self, message: Mapping[str, Any]) -> None:
        """Send a message. If the program inside has ended, the message is lost, and how it ended says why."""
        with suppress(OSError):
            self._stdin.write(json.dumps(message).encode() + b"\n")
            self._stdin.flush()

    def receive(self, seconds: float) -> dict[str, Any] | None:
        """The next message: empty if none came within ``seconds``, None if none will come any more."""
        try:
            line = self._lines.get(timeout=seconds)
        except queue.Empty:
            return {}
        if line is None:
            return None
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            return None
        return found if isinstance(found, dict) and found else None

    def last_words(self) -> str:
        """How it ended, and the last line that it said of itself."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_SECONDS)
        self._threads[1].join(_END_SECONDS)
        said = last_line(self._said.decode("utf-8", errors="replace"))
        return f"exit status {self._process.returncode}" + (f": {printable(said[:300])}" if said else "")

    def _read(self) -> None:
        with suppress(ValueError):  # closed meanwhile
            while line := self._stdout.readline(MOST_LINE_BYTES):
                self._lines.put(line if line.endswith(b"\n") else None)
        self._lines.put(None)

    def _hear(self) -> None:
        with suppress(ValueError):
            while piece := self._stderr.read1(65536):  # type: ignore[attr-defined]
                self._said = (self._said + piece)[-65536:]
