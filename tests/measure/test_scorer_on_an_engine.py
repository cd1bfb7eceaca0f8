"""The scorer itself, on a real engine: it finds what llama-perplexity finds, and a window that is done is done."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

import pytest
from kvsweep.engine import commands
from kvsweep.engine.identity import SCORER
from kvsweep.engine.perplexity_output import parse_kl
from kvsweep.inputs.demo_text import generate
from kvsweep.study.pairs import BASELINE_PAIR, Pair
from support import ROOT

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("demo")]

ENGINE = ROOT / "results" / "engines" / "mainline" / "bin"
MODEL = str(ROOT / "resources" / "demo" / "kvsweep-demo-3.7M-F16.gguf")
N_CTX, WINDOWS = 256, 8
CONTROL, CLOSE, COARSE = BASELINE_PAIR, Pair("q8_0", "q8_0"), Pair("q4_0", "q4_0")
THREADS = 1  # more of them wait for each other on a busy machine
# Half of the last of six decimals, and what two orders of a sum of floats leave of it.
PRINTED = 6e-7


@pytest.fixture
def text(tmp_path: Path) -> str:
    path = tmp_path / "text.txt"
    path.write_text(generate(1, 4096), encoding="utf-8")
    return str(path)


def command(text: str, pairs: Sequence[Pair], output: Path, *more: str) -> list[str]:
    request = commands.ScorerRequest(N_CTX, WINDOWS, "half")
    return [*commands.scorer(ENGINE / SCORER, MODEL, text, request, pairs, output, THREADS), *more]


def run(line: Sequence[str]) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done


def windows(output: Path, pair: Pair) -> list[Path]:
    return sorted((output / f"k-{pair.ctk}" / f"v-{pair.ctv}").glob("w*.scores"))


def mean_kld(done: subprocess.CompletedProcess[str], pair: Pair) -> float:
    """Over all windows, from what the scorer prints of each."""
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"window": ')]
    found = [line["kld_mean"] for line in lines if line["pair"] == f"{pair.ctk}/{pair.ctv}"]
    assert len(found) == WINDOWS
    return fmean(found)


def test_it_finds_what_llama_perplexity_finds(text: str, tmp_path: Path) -> None:
    exact = run(command(text, [CONTROL, CLOSE, COARSE], tmp_path / "exact"))
    rounded = run(command(text, [CLOSE, COARSE], tmp_path / "rounded", "--round-base"))
    assert mean_kld(exact, CONTROL) == 0.0
    request = commands.PerplexityRequest(MODEL, text, N_CTX, THREADS)
    tool, logits = ENGINE / "llama-perplexity", tmp_path / "logits.kld"
    run(commands.baseline(tool, request, WINDOWS, logits))
    for pair in (CLOSE, COARSE):
        done = run(commands.kl_divergence(tool, request, pair, logits))
        printed = parse_kl(done.stdout, done.stderr).kld_mean
        # Rounded to 16 bits as its file is, to the last printed digit; and the rounding explains the rest.
        assert mean_kld(rounded, pair) == pytest.approx(printed, abs=PRINTED)
        assert mean_kld(exact, pair) == pytest.approx(printed, rel=0.003, abs=PRINTED)


def test_bounded_logits_change_no_result(text: str, tmp_path: Path) -> None:
    whole, bounded = (
        run(command(text, [CONTROL, COARSE], tmp_path / name, "--rows", rows))
        for name, rows in (("whole", "512"), ("bounded", "64"))
    )
    first = [json.loads(done.stdout.splitlines()[0]) for done in (whole, bounded)]
    assert [line["most_outputs"] for line in first] == [N_CTX // 2 - 1, 64]
    assert mean_kld(bounded, CONTROL) == 0.0
    assert mean_kld(bounded, COARSE) == pytest.approx(mean_kld(whole, COARSE), rel=1e-3)


def test_killed_between_windows_it_decodes_no_finished_window_again(text: str, tmp_path: Path) -> None:
    output, pairs = tmp_path / "scores", [CONTROL, COARSE]
    with subprocess.Popen(
        command(text, pairs, output), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if '"window": 1,' in line and str(COARSE.ctv) in line:
                os.kill(process.pid, signal.SIGKILL)
                break
    left = {path: path.stat().st_mtime_ns for pair in pairs for path in windows(output, pair)}
    assert 4 <= len(left) < 2 * WINDOWS
    done = run(command(text, pairs, output))
    again = [line for line in done.stdout.splitlines() if line.startswith('{"window": ')]
    assert len(again) == 2 * WINDOWS - len(left)
    assert {path: path.stat().st_mtime_ns for path in left} == left
    whole = tmp_path / "whole"
    run(command(text, pairs, whole))
    for pair in pairs:
        assert [path.read_bytes() for path in windows(output, pair)] == [
            path.read_bytes() for path in windows(whole, pair)
        ]
