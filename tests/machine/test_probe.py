"""Programs that are asked about the machine: what they print, and when that counts."""

from pathlib import Path

import pytest
from kvsweep.machine.probe import output


@pytest.mark.parametrize(
    ("prints", "status", "expected"),
    [
        ("said", 0, "said"),
        ("said", 1, None),
        ("", 0, None),
        # rocm-smi, where it cannot tell one field of several.
        ('{"card0": {"Card Series": "x"}}', 1, '{"card0": {"Card Series": "x"}}'),
        ("ERROR: half of it\n{", 2, None),
    ],
)
def test_what_a_program_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prints: str, status: int, expected: str | None
) -> None:
    program = tmp_path / "some-smi"
    program.write_text(f"#!/bin/sh\ncat <<'END'\n{prints}\nEND\nexit {status}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert output("some-smi") == expected
    assert output("no-such-program") is None
