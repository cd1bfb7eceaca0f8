#!/usr/bin/env python
"""Runs Aider's benchmark on one exercise, inside a sandbox without a network. It needs Python alone, not kvsweep.

What the harness asks of a model goes out on stdout and the answer comes in on stdin, a JSON object a line: that channel
is the sandbox's only way out. In, first: ``{"exercise", "edit_format", "tries", "answer_tokens"}``; with ``"example":
true`` the exercise's own solution is tested instead, and no model asked. Out: ``{"ask": request}``, for which
``{"status", "body"}`` comes in, and at last ``{"result": ...}``. At the end of stdin all is over.

Where things are: /aider and /exercises, the two trees; /scratch, which may be written to.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

SCRATCH = Path("/scratch")
BENCHMARKS = SCRATCH / "benchmarks"
MODEL = "openai/kvsweep"
# Of a form that the harness takes as it is: it goes into no prompt, and is the same at any time.
RUN = "2025-01-01-00-00-00--kvsweep"
MOST_ANSWER_BYTES, MOST_LOG_BYTES = 64 * 1024, 16 * 1024
# Of one process that a model wrote, so that it is not the server that the system has to end.
MOST_MEMORY_BYTES = 4 * 2**30
# As the harness has them.
TESTS_SECONDS = 180
TESTS = {
    ".py": ["pytest"],
    ".rs": ["cargo", "test", "--", "--include-ignored"],
    ".go": ["go", "test", "./..."],
    ".js": ["/aider/benchmark/npm-test.sh"],
    ".cpp": ["/aider/benchmark/cpp-test.sh"],
    ".java": ["./gradlew", "test"],
}
RUST = {"CARGO_HOME": ".cargo", "RUSTUP_HOME": ".rustup"}


class Channel:
    """One question at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def read(self) -> Any:
        line = sys.stdin.readline()
        if not line:
            os._exit(3)  # nobody is there any more; with this process all others of the sandbox end
        return json.loads(line)

    def send(self, message: object) -> None:
        sys.stdout.write(json.dumps(message) + "\n")
        sys.stdout.flush()

    def ask(self, request: object) -> Any:
        with self._lock:
            self.send({"ask": request})
            return self.read()


def main() -> None:
    become_the_first_to_end()
    channel = Channel()
    job = channel.read()
    original = copy_exercise(job["exercise"])
    channel.send(
        {"result": test_example(original) if job.get("example") else run_harness(channel, job, original)}
    )


def become_the_first_to_end() -> None:
    """Let the system end what is in here first where memory is short."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    for limit, value in ((resource.RLIMIT_DATA, MOST_MEMORY_BYTES), (resource.RLIMIT_CORE, 0)):
        with suppress(OSError, ValueError):
            resource.setrlimit(limit, (value, value))


def copy_exercise(name: str) -> Path:
    """Copy one exercise to where the harness looks, so that it finds no other."""
    language, exercise = name.split("/")
    place = Path(language, "exercises", "practice", exercise)
    shutil.copytree(Path("/exercises", place), BENCHMARKS / "original" / place)
    return BENCHMARKS / "original" / place


def environment(**more: str) -> dict[str, str]:
    home = SCRATCH / "home"
    home.mkdir(exist_ok=True)
    # rustup and cargo look into the home directory, unless they are told.
    before = Path(os.environ.get("HOME", home))
    rust = {name: str(before / place) for name, place in RUST.items() if (before / place).is_dir()}
    return {
        **rust,
        **{"PATH": os.environ["PATH"], "HOME": str(home), "TMPDIR": str(SCRATCH), "LANG": "C.UTF-8"},
        **{"SHELL": "/bin/bash", "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"},
        **{name: os.environ[name] for name in ("JAVA_HOME", "GOROOT", *RUST) if name in os.environ},
        **more,
    }


def run_harness(channel: Channel, job: dict[str, Any], original: Path) -> dict[str, Any]:
    settings = SCRATCH / "settings.yml"
    # JSON is YAML.
    asked = {
        **{"name": MODEL, "edit_format": job["edit_format"], "use_repo_map": False},
        "extra_params": {"max_tokens": job["answer_tokens"]},
    }
    settings.write_text(json.dumps([asked]))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(channel))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    command = [
        *(sys.executable, "/aider/benchmark/benchmark.py", RUN, "--model", MODEL, "--threads", "1"),
        *("--edit-format", job["edit_format"], "--tries", str(job["tries"]), "--exercises-dir", "original"),
        *("--read-model-settings", str(settings)),
    ]
    log = SCRATCH / "harness.log"
    told = {
        **{"OPENAI_API_BASE": f"http://127.0.0.1:{server.server_port}/v1", "OPENAI_API_KEY": "none"},
        **{
            "AIDER_DOCKER": "1",
            "AIDER_BENCHMARK_DIR": str(BENCHMARKS),
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        },
    }
    with log.open("wb") as file:
        done = run(command, repository(), stdout=file, told=told)
    # Not there where the harness ended before it began: its log says why.
    place = BENCHMARKS / RUN / original.relative_to(BENCHMARKS / "original")
    asked_for = [sys.executable, "-c", "import aider; print(aider.__version__)"]
    version = run(asked_for, SCRATCH, stderr=subprocess.DEVNULL)
    return {
        "exit_status": done.returncode,
        "version": version.stdout.decode(errors="replace").strip() or None,
        "results": text_of(place / ".aider.results.json", MOST_ANSWER_BYTES),
        "log": text_of(log, MOST_LOG_BYTES),
        "answer": "\n".join(
            text_of(place / name, MOST_ANSWER_BYTES) or "" for name in config_of(original)["solution"]
        ),
    }


def run(
    command: list[str],
    place: Path,
    *,
    stdout: Any = subprocess.PIPE,
    stderr: Any = subprocess.STDOUT,
    seconds: float | None = None,
    told: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """Run a command that asks nobody, in ``place``, with the variables ``told`` beside those of ``environment``."""
    streams = {"stdin": subprocess.DEVNULL, "stdout": stdout, "stderr": stderr}
    return subprocess.run(
        command, cwd=place, env=environment(**(told or {})), check=False, timeout=seconds, **streams
    )


def repository() -> Path:
    """Make an empty git repository. The harness asks for the commit of the one that it is started in, and /aider need
    not be one, or not a whole one."""
    place = SCRATCH / "repository"
    commit = ("-c", "user.name=kvsweep", "-c", "user.email=", "commit", "--quiet", "--allow-empty", "-m", "x")
    for words in (("init", "--quiet"), commit):
        place.mkdir(exist_ok=True)
        run(["git", *words], place, stdout=None, stderr=None).check_returncode()
    return place


def handler(channel: Channel) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_arguments: object) -> None:
            pass

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            came = channel.ask(asked)
            data = json.dumps(came["body"]).encode()
            self.send_response(came["status"])
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    return Handler


def test_example(original: Path) -> dict[str, Any]:
    """Whether the exercise's own solution passes here: where it does not, nothing can be said of a model's."""
    place = SCRATCH / "example" / original.name
    shutil.copytree(original, place)
    files = config_of(place)
    for source, target in zip(files["example"], solutions_for(files), strict=False):
        shutil.copy(place / source, place / target)
    if (place / ".meta/Cargo-example.toml").exists():
        shutil.copy(place / ".meta/Cargo-example.toml", place / "Cargo.toml")
    for name in files["test"]:
        if name.endswith(".java"):
            test = place / name
            test.write_text("".join(line for line in test.open() if "@Disabled(" not in line))
    command = next(TESTS[Path(name).suffix] for name in files["test"] if Path(name).suffix in TESTS)
    try:
        done = run(command, place, seconds=TESTS_SECONDS)
        said, passed = done.stdout.decode(errors="replace"), done.returncode == 0
    except subprocess.TimeoutExpired:
        said, passed = f"not done after {TESTS_SECONDS} s", False
    except OSError as error:
        said, passed = f"{command[0]}: {error.strerror}", False
    return {"passed": passed, "log": said[-MOST_LOG_BYTES:]}


def solutions_for(files: dict[str, list[str]]) -> list[str]:
    """For each file of the example, the one that it is a solution of: of the same ending, in the same order."""
    found, left = [], list(files["solution"])
    for name in files["example"]:
        same = [one for one in left if Path(one).suffix == Path(name).suffix]
        same = [one for one in same if Path(one).name == Path(name).name] or same
        target = same[0] if same else str(Path(files["solution"][0]).parent / Path(name).name)
        if target in left:
            left.remove(target)
        found.append(target)
    return found


def config_of(place: Path) -> dict[str, list[str]]:
    files = json.loads((place / ".meta/config.json").read_text())["files"]
    return {name: list(files.get(name, [])) for name in ("solution", "test", "example")}


def text_of(path: Path, most_bytes: int) -> str | None:
    """The end of a file; None where it is not there."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    return data[-most_bytes:].decode("utf-8", errors="replace")


if __name__ == "__main__":
    main()
