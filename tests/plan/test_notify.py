"""Telling a person that a run has ended, and keeping a Mac awake until then."""

import os
import platform
import time
from pathlib import Path

import pytest
from kvsweep.machine.children import hold_awake
from kvsweep.plan import hooks


def test_the_users_own_command_gets_the_message(tmp_path: Path) -> None:
    command = f'printf "%s" "$KVSWEEP_MESSAGE" > {tmp_path}/said'
    assert hooks.notify("kvsweep: done", os.environ | {hooks.COMMAND: command}) is None
    assert (tmp_path / "said").read_text() == "kvsweep: done"


def test_a_message_is_data_and_not_a_command(tmp_path: Path) -> None:
    environment = os.environ | {hooks.COMMAND: 'echo "$KVSWEEP_MESSAGE" > /dev/null'}
    assert hooks.notify(f'"; touch {tmp_path}/broken; "', environment) is None
    assert not (tmp_path / "broken").exists()


@pytest.mark.parametrize("environment", [{}, {hooks.COMMAND: ""}, {hooks.COMMAND: "  "}])
def test_without_a_command_nobody_is_told(environment: dict[str, str]) -> None:
    assert hooks.notify("done", environment) is None


def test_a_notification_that_fails_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    failing = os.environ | {hooks.COMMAND: "echo no route to host >&2; exit 7"}
    assert hooks.notify("done", failing) == (
        "the notification was not sent: the command in KVSWEEP_NOTIFY ended with 7 and said: no route to host"
    )
    silent = hooks.notify("done", os.environ | {hooks.COMMAND: "false"})
    assert silent is not None and silent.endswith("ended with 1 and said: nothing")
    monkeypatch.setattr(hooks, "_NOTIFY_SECONDS", 0.2)
    slow = hooks.notify("done", os.environ | {hooks.COMMAND: "exec sleep 60"})
    assert slow is not None and "took longer than 0.2 s" in slow


def test_a_mac_is_held_awake_as_long_as_the_run_lives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    caffeinate = tmp_path / "caffeinate"
    caffeinate.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\n')
    caffeinate.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert not hold_awake(4711)  # not a Mac
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    assert hold_awake(4711)
    end = time.monotonic() + 30
    while not (tmp_path / "asked").exists() or not (tmp_path / "asked").read_text():
        assert time.monotonic() < end
        time.sleep(0.02)
    assert (tmp_path / "asked").read_text() == "-i -m -s -w 4711\n"
    monkeypatch.setenv("PATH", "")
    assert not hold_awake(4711)
