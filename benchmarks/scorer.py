"""The scorer beside llama-perplexity: the same windows, pairs and micro-batch, one after the other on this machine.

    python benchmarks/scorer.py --engine results/engines/mainline/bin --model m.gguf --text wiki.test.raw \\
        --context 4096 --windows 4 --pairs q8_0 q5_1 q4_0 q8_0/q4_0

llama-perplexity's baseline run counts: without it there is nothing to compare. Printed are wall time, processor time,
the largest resident memory of a process, the disk that is needed on the way, and each pair's mean divergence by both.
Where other work shares the processor, compare the processor times. ``--rounds`` repeats all of it, the order of the
two turned round each time. Memory of long windows: scorer_memory.py.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "workflow" / "scripts"))

from kvsweep.engine import commands  # noqa: E402
from kvsweep.engine.commands import PerplexityRequest, ScorerRequest  # noqa: E402
from kvsweep.engine.scorer_log import str_of  # noqa: E402
from kvsweep.study.pairs import Pair  # noqa: E402
from kvsweep.units import format_bytes  # noqa: E402


@dataclass(frozen=True)
class Run:
    """One process: wall and processor seconds, peak resident bytes, and what it printed."""

    seconds: float
    cpu_seconds: float
    rss_bytes: int
    text: str


def run(command: list[str], log: Path) -> Run:
    """Stops where the program fails."""
    start = time.perf_counter()
    with log.open("wb") as out:
        pid = os.posix_spawn(
            command[0],
            command,
            os.environ,
            file_actions=[(os.POSIX_SPAWN_DUP2, out.fileno(), fd) for fd in (1, 2)],
        )
        _, status, usage = os.wait4(pid, 0)
    seconds = time.perf_counter() - start
    text = log.read_text(errors="replace")
    if status != 0:
        sys.exit(f"{' '.join(command)}\nended with status {status}:\n{text[-1000:]}")
    rss = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return Run(seconds, usage.ru_utime + usage.ru_stime, rss, text)


def show(what: str, runs: list[Run], disk: int = 0) -> None:
    beside = f", {format_bytes(disk)} of disk" if disk else ""
    print(
        f"{what}: {sum(one.seconds for one in runs):.1f} s, {sum(one.cpu_seconds for one in runs):.1f} s of processor,"
        f" {format_bytes(max(one.rss_bytes for one in runs))} resident{beside}",
        flush=True,
    )


def by_tool(given: argparse.Namespace, place: Path) -> tuple[list[Run], dict[Pair, float]]:
    """The baseline, then each pair, by llama-perplexity; and the means that it printed."""
    program, logits = given.engine / "llama-perplexity", place / "logits"
    common = PerplexityRequest(given.model, given.text, given.context, given.threads)
    runs = [run(commands.baseline(program, common, given.windows, logits), place / "log")]
    show("llama-perplexity, baseline", runs, logits.stat().st_size)
    means = {}
    for pair in given.pairs:
        runs.append(run(commands.kl_divergence(program, common, pair, logits), place / "log"))
        show(f"llama-perplexity, {pair}", runs[-1:])
        if found := re.search(r"Mean    KLD:\s+(\S+)", runs[-1].text):
            means[pair] = float(found[1])
    logits.unlink()
    return runs, means


def by_scorer(given: argparse.Namespace, place: Path) -> tuple[list[Run], dict[Pair, float]]:
    """All pairs by one process of the scorer. The control is no part of llama-perplexity's set either."""
    request, scores = ScorerRequest(given.context, given.windows, "half"), place / "scores"
    command = commands.scorer(
        *(given.engine / "kvsweep-scorer", given.model, given.text, request),
        *(given.pairs, scores, given.threads),
    )
    runs = [run(command, place / "log")]
    show("scorer, all pairs", runs, sum(path.stat().st_size for path in scores.rglob("*.scores")))
    shutil.rmtree(scores)
    lines = [json.loads(line) for line in runs[0].text.splitlines() if line.startswith('{"')]
    print(f"  vocabulary {lines[0]['n_vocab']}, {lines[0]['threads']} threads")
    windows = {line["window"]: line for line in lines if "window" in line}.values()
    spent, compared = (sum(line[name] for line in windows) for name in ("window_seconds", "compare_seconds"))
    print(f"  windows: {spent:.1f} s, of which {100 * compared / spent:.1f} % comparing, the rest decoding")
    means = {}
    for pair in given.pairs:
        of_pair = [line["kld_mean"] for line in lines if "window" in line and line["pair"] == str_of(pair)]
        means[pair] = sum(of_pair) / len(of_pair)
    return runs, means


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--engine", type=Path, required=True, help="directory with llama-perplexity and kvsweep-scorer"
    )
    parser.add_argument("--model", required=True)
    parser.add_argument("--text", required=True)
    parser.add_argument("--context", type=int, default=4096)
    parser.add_argument("--windows", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument(
        "--pairs",
        nargs="+",
        type=Pair.parse,
        default=[Pair.parse(p) for p in ("q8_0", "q5_1", "q4_0", "q8_0/q4_0")],
    )
    parser.add_argument("--threads", type=int)
    given = parser.parse_args()
    print(
        f"load average before: {os.getloadavg()[0]:.1f}; {len(given.pairs)} pairs and llama-perplexity's baseline, "
        f"{given.windows} windows of {given.context}"
    )
    for turn in range(given.rounds):
        with tempfile.TemporaryDirectory() as name:
            order = (by_tool, by_scorer) if turn % 2 == 0 else (by_scorer, by_tool)
            found = {measure: measure(given, Path(name)) for measure in order}
        (tool, tool_means), (scorer, scorer_means) = found[by_tool], found[by_scorer]
        for pair, mean in scorer_means.items():
            printed = tool_means.get(pair)
            beside = f", llama-perplexity {printed} ({100 * (mean / printed - 1):+.2f} %)" if printed else ""
            print(f"{pair}: KLD {mean:.6f}{beside}")
        show("llama-perplexity, in all", tool)
        wall = sum(one.seconds for one in tool) / scorer[0].seconds
        cpu = sum(one.cpu_seconds for one in tool) / scorer[0].cpu_seconds
        print(f"the scorer is {wall:.2f} times as fast (by processor time {cpu:.2f})", flush=True)


if __name__ == "__main__":
    main()
