"""One engine process: its end, its streams, its limits, and nothing of it left behind.

The engines are small Python programs. A program says ``ready`` when it may be disturbed, so no test waits for a time.
"""

import hashlib
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from kvsweep.errors import Interrupted, KvsweepError
from kvsweep.measure import clock, process
from kvsweep.measure.process import ProcessRecord
from support import SCRIPTS

PATIENCE_SECONDS = 30


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """The runner looks at its engine more often than in earnest, so that the tests are quick."""
    monkeypatch.setattr(process, "_POLL_SECONDS", 0.02)


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., ProcessRecord]:
    def run_python(code: str, environment: dict[str, str] | None = None, **options: Any) -> ProcessRecord:
        return process.run(
            [sys.executable, "-c", textwrap.dedent(code)],
            {"PATH": os.environ["PATH"]} | (environment or {}),
            tmp_path / "out",
            tmp_path / "err",
            **options,
        )

    return run_python


def until(condition: Callable[[], Any], what: str) -> Any:
    """Wait for something that must happen."""
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.02)
    pytest.fail(f"waited for {what}")


def text_of(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def alive(pid: int) -> bool:
    """Whether a process still runs; one that is dead and only not yet reaped does not."""
    state = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout
    return state.strip() != "" and not state.strip().startswith("Z")


def gone(pid: int) -> None:
    until(lambda: not alive(pid), f"the end of process {pid}")


def open_files() -> int:
    return len(list(Path("/dev/fd").iterdir()))


def test_a_good_end(run: Callable[..., ProcessRecord], tmp_path: Path) -> None:
    record = run("import sys; print('to stdout'); print('to stderr', file=sys.stderr)")
    assert (record.exit_status, record.signal, record.ended_by) == (0, None, None)
    assert (tmp_path / "out").read_text() == "to stdout\n"
    assert (tmp_path / "err").read_text() == "to stderr\n"
    assert [(stream.name, stream.size_bytes, stream.left_out_bytes) for stream in record.streams] == [
        ("out", 10, 0),
        ("err", 10, 0),
    ]
    assert record.streams[0].sha256 == hashlib.sha256(b"to stdout\n").hexdigest()
    assert record.started_at.endswith("+00:00")


def test_an_exit_status(run: Callable[..., ProcessRecord]) -> None:
    record = run("raise SystemExit(3)")
    assert (record.exit_status, record.signal) == (3, None)


def test_a_signal(run: Callable[..., ProcessRecord]) -> None:
    record = run("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    assert (record.exit_status, record.signal, record.ended_by) == (None, "SIGSEGV", None)


def test_nothing_but_the_given_environment(run: Callable[..., ProcessRecord], tmp_path: Path) -> None:
    run("import os; print(sorted(set(os.environ) - {'LC_CTYPE', '__CF_USER_TEXT_ENCODING'}))", {"A": "1"})
    assert (tmp_path / "out").read_text() == "['A', 'PATH']\n"


def test_no_input(run: Callable[..., ProcessRecord], tmp_path: Path) -> None:
    run("import sys; print(repr(sys.stdin.read()))")
    assert (tmp_path / "out").read_text() == "''\n"


def test_bytes_that_are_no_text_are_kept_as_they_are(
    run: Callable[..., ProcessRecord], tmp_path: Path
) -> None:
    run("import sys; sys.stdout.buffer.write(bytes(range(256)))")
    assert (tmp_path / "out").read_bytes() == bytes(range(256))


def test_time_and_memory(run: Callable[..., ProcessRecord]) -> None:
    record = run("x = b'x' * 50_000_000; sum(range(2_000_000))")
    assert 50_000_000 < record.peak_rss_bytes < 1_000_000_000
    assert record.cpu_seconds > 0
    assert 0 < record.wall_seconds < PATIENCE_SECONDS


def test_on_tick_is_called_while_the_engine_runs(run: Callable[..., ProcessRecord], tmp_path: Path) -> None:
    ticks: list[str] = []

    def tick() -> None:
        ticks.append("tick")
        if len(ticks) == 3:
            (tmp_path / "go").touch()

    run(f"import os\nwhile not os.path.exists({str(tmp_path / 'go')!r}): pass", on_tick=tick)
    assert len(ticks) >= 3


# -- limits -----------------------------------------------------------------------------------------------------------

WITH_A_CHILD = """
    import subprocess, sys, time
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
    print(child.pid, "ready", flush=True)
"""


def child_of(path: Path) -> int:
    return int(until(lambda: "ready" in text_of(path) and text_of(path), "the engine").split()[0])


def test_the_time_limit_ends_the_whole_group(run: Callable[..., ProcessRecord], tmp_path: Path) -> None:
    # The limit begins to count when the engine is started; it must be long enough to print the child's number.
    record = run(WITH_A_CHILD + "    time.sleep(3600)", time_limit_seconds=1.5)
    assert (record.exit_status, record.signal, record.ended_by) == (None, "SIGKILL", "time limit")
    gone(child_of(tmp_path / "out"))


def stop_for(seconds: float) -> Callable[[], None]:
    """What a tick does: stop the engine at the first one, and let it go on after ``seconds``."""
    stopped: list[psutil.Process] = []
    since = time.monotonic()

    def tick() -> None:
        if not stopped:
            children = psutil.Process().children(recursive=True)
            stopped.extend(child for child in children if "stopped_here" in " ".join(child.cmdline()))
            stopped[0].suspend()
        elif time.monotonic() - since > seconds:
            stopped[0].resume()

    return tick


def test_an_engine_that_was_stopped_is_seen_as_sleep_is(run: Callable[..., ProcessRecord]) -> None:
    code = """
    stopped_here = True
    import time
    end = time.monotonic() + 1
    while time.monotonic() < end:
        pass
    """
    record = run(code, time_limit_seconds=2, on_tick=stop_for(2.5))
    # The time limit is no time that the engine could not use.
    assert record.ended_by is None
    assert record.suspended_seconds == pytest.approx(2.5, abs=0.5)
    assert record.wall_seconds < 2


def test_a_time_limit_counts_no_sleep(
    run: Callable[..., ProcessRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a closed laptop nor a date that is set forward makes a timeout."""
    hours = iter([0.0, 36_000.0])
    monkeypatch.setattr(clock, "with_sleep_seconds", lambda: time.monotonic() + next(hours))
    monkeypatch.setattr(time, "time", lambda: 4e9)
    record = run("print('done')", time_limit_seconds=PATIENCE_SECONDS)
    assert (record.exit_status, record.ended_by) == (0, None)
    assert record.suspended_seconds == pytest.approx(36_000, abs=1)
    assert record.wall_seconds < PATIENCE_SECONDS


def test_a_machine_that_is_awake(run: Callable[..., ProcessRecord]) -> None:
    assert run("print('done')").suspended_seconds == 0


def test_what_the_engine_leaves_behind_is_ended(run: Callable[..., ProcessRecord], tmp_path: Path) -> None:
    record = run(WITH_A_CHILD)
    assert (record.exit_status, record.ended_by) == (0, None)
    gone(child_of(tmp_path / "out"))


def test_beyond_its_cap_a_stream_loses_its_middle(run: Callable[..., ProcessRecord], tmp_path: Path) -> None:
    record = run(
        "import sys; sys.stdout.buffer.write(b'a' * 200_000 + b'b' * 200_000 + b'the end')",
        stream_limit_bytes=256 * 1024,
    )
    kept = (tmp_path / "out").read_bytes()
    marker = re.search(rb"\n\[kvsweep: (\d+) bytes left out here\]\n", kept)
    assert marker is not None
    (stream, _) = record.streams
    assert stream.left_out_bytes == int(marker[1]) == 400_007 - 256 * 1024
    assert kept.startswith(b"a" * 190_000)
    assert kept.endswith(b"bbbbthe end")
    assert len(kept) == stream.size_bytes == 256 * 1024 + len(marker[0])
    assert stream.sha256 == hashlib.sha256(kept).hexdigest()


@pytest.mark.parametrize("size", [0, 1, 65536, 131072, 256 * 1024])
def test_up_to_its_cap_a_stream_is_complete(
    run: Callable[..., ProcessRecord], tmp_path: Path, size: int
) -> None:
    record = run(
        f"import sys; sys.stdout.buffer.write(bytes(i % 251 for i in range({size})))",
        stream_limit_bytes=256 * 1024,
    )
    assert (tmp_path / "out").read_bytes() == bytes(i % 251 for i in range(size))
    assert record.streams[0].left_out_bytes == 0


def test_an_engine_that_prints_without_end_is_ended_at_the_limit(
    run: Callable[..., ProcessRecord], tmp_path: Path
) -> None:
    record = run(
        "while True: print('the same line again and again')",
        time_limit_seconds=0.5,
        stream_limit_bytes=256 * 1024,
    )
    assert record.ended_by == "time limit"
    assert (tmp_path / "out").stat().st_size < 300_000


# -- what stops the runner --------------------------------------------------------------------------------------------


def test_a_program_that_cannot_be_started(tmp_path: Path) -> None:
    no_program = tmp_path / "no-program"
    with pytest.raises(KvsweepError, match=r"no-program: cannot be started \(No such file or directory\)\."):
        process.run([str(no_program)], {}, tmp_path / "out", tmp_path / "err")
    no_program.write_text("text")
    with pytest.raises(KvsweepError, match=r"no-program: cannot be started \(Permission denied\)\."):
        process.run([str(no_program)], {}, tmp_path / "out", tmp_path / "err")


def test_an_output_file_that_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(KvsweepError, match=r"out: cannot be written \(Is a directory\)"):
        process.run([sys.executable, "-c", ""], {}, tmp_path / "out", tmp_path / "err")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_stops_the_runner_and_ends_the_engine(tmp_path: Path) -> None:
    code = "import time, os; print(os.getpid(), flush=True); time.sleep(3600)"
    started: list[int] = []
    popen = subprocess.Popen

    class Remembered(popen):  # type: ignore[misc,valid-type]
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            started.append(self.pid)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(subprocess, "Popen", Remembered)
        with pytest.raises(KvsweepError, match=r"/dev/full: cannot be written \(No space left on device\)"):
            process.run([sys.executable, "-c", code], {}, Path("/dev/full"), tmp_path / "err")
    guard, engine = started
    gone(engine)
    gone(guard)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_disk_that_is_full_at_the_very_end(tmp_path: Path) -> None:
    with pytest.raises(KvsweepError, match="No space left on device"):
        process.run([sys.executable, "-c", "print('short')"], {}, Path("/dev/full"), tmp_path / "err")


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_the_runner_ends_the_engine(
    run: Callable[..., ProcessRecord], tmp_path: Path, signum: signal.Signals
) -> None:
    def send() -> None:
        child_of(tmp_path / "out")
        os.kill(os.getpid(), signum)

    handlers = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    threading.Thread(target=send).start()
    with pytest.raises(Interrupted) as caught:
        run(WITH_A_CHILD + "    time.sleep(3600)")
    assert caught.value.signum == signum
    gone(child_of(tmp_path / "out"))
    assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == handlers


def test_a_signal_that_comes_before_the_engine_runs_is_not_lost(
    run: Callable[..., ProcessRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    popen = subprocess.Popen

    def interrupted(*arguments: Any, **options: Any) -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        return popen(*arguments, **options)

    monkeypatch.setattr(subprocess, "Popen", interrupted)
    with pytest.raises(Interrupted):
        run("import time; time.sleep(3600)")


def test_a_second_signal_does_not_stop_the_ending(run: Callable[..., ProcessRecord], tmp_path: Path) -> None:
    def send() -> None:
        child_of(tmp_path / "out")
        for _ in range(5):
            os.kill(os.getpid(), signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        threading.Thread(target=send).start()
        with pytest.raises(Interrupted):
            run(WITH_A_CHILD + "    time.sleep(3600)")
    finally:
        signal.signal(signal.SIGTERM, before)
    gone(child_of(tmp_path / "out"))


def test_a_signal_that_is_ignored_stays_ignored(run: Callable[..., ProcessRecord]) -> None:
    """``nohup snakemake`` goes on when the terminal is closed."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        record = run("print('x')", on_tick=lambda: os.kill(os.getpid(), signal.SIGHUP))
    finally:
        signal.signal(signal.SIGHUP, before)
    assert record.exit_status == 0


def test_the_end_of_the_workflow_ends_the_engine(run: Callable[..., ProcessRecord], tmp_path: Path) -> None:
    workflow = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)

    def end_workflow() -> None:
        child_of(tmp_path / "out")
        workflow.kill()

    threading.Thread(target=end_workflow).start()
    with pytest.raises(Interrupted):
        run(WITH_A_CHILD + "    time.sleep(3600)", workflow_pid=workflow.pid)
    workflow.wait()  # which nobody had done until now
    gone(child_of(tmp_path / "out"))


RUNNER = f"""
import os, sys
sys.path.insert(0, {str(SCRIPTS)!r})
from pathlib import Path
from kvsweep.measure import process
engine = '''{textwrap.dedent(WITH_A_CHILD)}time.sleep(3600)'''
place = Path(sys.argv[1])
process.run([sys.executable, "-c", engine], dict(os.environ), place / "out", place / "err")
"""


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM])
def test_a_runner_that_is_killed_leaves_no_engine(tmp_path: Path, signum: signal.Signals) -> None:
    runner = subprocess.Popen([sys.executable, "-c", RUNNER, str(tmp_path)], stderr=subprocess.PIPE)
    child = child_of(tmp_path / "out")
    listed = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True
    ).stdout
    parents = {int(pid): int(parent) for pid, parent in map(str.split, listed.splitlines())}
    of_the_runner = [pid for pid, parent in parents.items() if parent == runner.pid]
    assert len(of_the_runner) == 2  # the engine and its guard
    runner.send_signal(signum)
    runner.communicate()
    for pid in (child, *of_the_runner):
        gone(pid)


def test_nothing_is_left_open_and_no_thread_runs_on(run: Callable[..., ProcessRecord]) -> None:
    run("print('once, so that everything is imported')")
    files, threads = open_files(), threading.active_count()
    for code in ("print('x')", "raise SystemExit(1)"):
        run(code)
    with pytest.raises(Interrupted):
        run("import time; time.sleep(3600)", on_tick=lambda: os.kill(os.getpid(), signal.SIGTERM))
    until(
        lambda: (open_files(), threading.active_count()) == (files, threads), "files and threads to be closed"
    )
