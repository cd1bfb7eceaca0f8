"""Programs that end with the one that started them, whatever ends that, and the signals that do."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

from kvsweep.errors import Interrupted


class Signals:
    """Signals that end the runner, held back until its engine can be ended with it."""

    def __init__(self) -> None:
        self._raise = False
        self.came: int | None = None

    def handle(self, signum: int, _frame: object) -> None:
        self.came = self.came or signum
        if self._raise:
            self._raise = False
            raise Interrupted(signum)

    def raise_now(self) -> None:
        """Raise Interrupted where a signal has come, and as soon as one comes."""
        self._raise = True
        if self.came is not None:
            self._raise = False
            raise Interrupted(self.came)

    def hold(self) -> None:
        self._raise = False


@contextmanager
def ending_signals() -> Iterator[Signals]:
    """Handle SIGINT, SIGTERM and SIGHUP inside the block. Raises Interrupted behind it if one came."""
    signals = Signals()
    before = {}
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # What is ignored stays ignored: that is how nohup works.
        if signal.getsignal(signum) not in (signal.SIG_IGN, None):
            before[signum] = signal.signal(signum, signals.handle)
    try:
        yield signals
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
    # One that came while the engine was being ended anyway.
    if signals.came is not None:
        raise Interrupted(signals.came)


def run_to_its_end(
    command: Sequence[str],
    environment: Mapping[str, str] | None = None,
    *,
    together: bool = False,
    hear: Callable[[str], None] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a program that asks nobody, in a process group of its own, and wait for its end.

    ``together`` joins both streams in ``stdout``. ``hear`` gets each line as it comes, and ``stdout`` is empty then. On
    SIGINT, SIGTERM or SIGHUP the group is killed and KeyboardInterrupt raised; the group also ends if this program is
    killed. Raises OSError if the program cannot be started.
    """
    try:
        with ending_signals() as signals, guard() as watch:
            child = subprocess.Popen(
                command,
                env=None if environment is None else dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT if together else subprocess.PIPE,
                text=True,
                errors="replace",
                start_new_session=True,
                preexec_fn=watch,
            )
            try:
                signals.raise_now()
                if hear is not None and child.stdout is not None:
                    for line in child.stdout:
                        hear(line)
                stdout, stderr = child.communicate()
            finally:
                signals.hold()
                signal_group(child.pid, signal.SIGKILL)
                child.wait()
    except Interrupted:
        raise KeyboardInterrupt from None
    return subprocess.CompletedProcess(command, child.returncode, stdout, stderr)


# Reads which process group it watches over, then waits for the end of the pipe.
GUARD = ["/bin/sh", "-c", 'read -r group && { read -r _ || kill -s KILL -- "-$group"; }', "kvsweep-guard"]


@contextmanager
def guard() -> Iterator[Callable[[], None]]:
    """A process that kills a group when this program disappears without having said so.

    This gives a function for the ``preexec_fn`` of a program that is started in a session of its own. That program
    tells the guard its group before it becomes the program, so that at no moment a kill of this one leaves it. The
    function is safe beside other threads, because it takes no lock.
    """
    guard = subprocess.Popen(
        # `kill -s KILL --`: dash does not take `kill -KILL --`.
        GUARD,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        bufsize=0,
    )
    pipe = guard.stdin
    assert pipe is not None
    descriptor = pipe.fileno()

    def watch() -> None:
        os.write(descriptor, b"%d\n" % os.getpid())

    try:
        yield watch
        with suppress(OSError):
            pipe.write(b"done\n")
    finally:
        # Not told that all is done, it kills the group once more: nothing can go wrong here that leaves one.
        with suppress(OSError):
            pipe.close()
        guard.wait()


def signal_group(group: int, signum: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):  # macOS: PermissionError for a group of zombies
        os.killpg(group, signum)


def hold_awake(pid: int) -> bool:
    """Start ``caffeinate`` for as long as the process ``pid`` lives; False where there is no such thing.

    It keeps the system from idling to sleep (-i), on mains from sleeping at all (-s), and the disk awake (-m). The
    display may sleep, and a laptop that is closed on battery does.
    """
    if platform.system() != "Darwin":
        return False
    try:
        subprocess.Popen(
            ["caffeinate", "-i", "-m", "-s", "-w", str(pid)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError:
        return False
    return True
