"""The scorer beside llama-perplexity: the same windows, pairs and micro-batch, one after the other on this machine.

    python benchmarks/scorer.py --engine results/engines/mainline/bin --model m.gguf --text wiki.test.raw \\
        --context 4096 --windows 4 --pairs q8_0 q5_1 q4_0 q8_0/q4_0

llama-perplexity's baseline run counts: without it there is nothing to compare. Printed are wall time, the largest
resident memory of a process, the disk that is needed on the way, and each pair's mean divergence by both.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "workflow" / "scripts"))

from kvsweep.engine import commands  # noqa: E402
from kvsweep.engine.commands import PerplexityRequest, ScorerRequest  # noqa: E402
from kvsweep.study.pairs import BASELINE_PAIR, Pair  # noqa: E402
from kvsweep.units import format_bytes  # noqa: E402


def run(command: list[str], log: Path) -> tuple[float, int, str]:
    """Seconds, peak resident bytes and what was printed. Stops where the program fails."""
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
    return seconds, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024), text


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--engine", type=Path, required=True, help="directory with llama-perplexity and the scorer"
    )
    parser.add_argument("--model", required=True)
    parser.add_argument("--text", required=True)
    parser.add_argument("--context", type=int, default=4096)
    parser.add_argument("--windows", type=int, default=2)
    parser.add_argument(
        "--pairs",
        nargs="+",
        type=Pair.parse,
        default=[Pair.parse(p) for p in ("q8_0", "q5_1", "q4_0", "q8_0/q4_0")],
    )
    parser.add_argument("--threads", type=int)
    parser.add_argument(
        "--scorer-only", action="store_true", help="where llama-perplexity's memory does not suffice"
    )
    given = parser.parse_args()
    perplexity, scorer = (given.engine / name for name in ("llama-perplexity", "kvsweep-scorer"))
    request = ScorerRequest(given.context, given.windows, "half")
    print(
        f"load average before: {os.getloadavg()[0]:.1f}; {len(given.pairs)} pairs, "
        f"{given.windows} windows of {given.context}"
    )
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        logits, by_tool, tool_seconds, tool_rss = place / "logits", {}, 0.0, 0
        if not given.scorer_only:
            common = PerplexityRequest(given.model, given.text, given.context, given.threads)
            tool_seconds, tool_rss, _ = run(
                commands.baseline(perplexity, common, given.windows, logits), place / "log"
            )
            print(
                f"llama-perplexity baseline: {tool_seconds:.1f} s, {format_bytes(logits.stat().st_size)} of disk"
            )
            for pair in given.pairs:
                command = commands.kl_divergence(perplexity, common, pair, logits)
                seconds, rss, text = run(command, place / "log")
                found = re.search(r"Mean    KLD:\s+(\S+)", text)
                by_tool[pair] = float(found[1]) if found else None
                tool_seconds, tool_rss = tool_seconds + seconds, max(tool_rss, rss)
                print(f"llama-perplexity {pair}: {seconds:.1f} s")
        # The control is no part of llama-perplexity's set either.
        command = commands.scorer(
            scorer, given.model, given.text, request, given.pairs, place / "scores", given.threads
        )
        scorer_seconds, scorer_rss, text = run(command, place / "log")
        disk = sum(path.stat().st_size for path in (place / "scores").rglob("*.scores"))
        lines = [json.loads(line) for line in text.splitlines() if line.startswith('{"window"')]
    print(f"scorer: {scorer_seconds:.1f} s, {format_bytes(scorer_rss)}, {format_bytes(disk)} of disk")
    for pair in given.pairs:
        name = f"{pair.ctk}/{pair.ctv}"
        values = [line["kld_mean"] for line in lines if line["pair"] == name]
        mean, tool = sum(values) / len(values), by_tool.get(pair)
        beside = "" if not tool else f", llama-perplexity {tool:.6f} ({100 * (mean / tool - 1):+.2f} %)"
        print(f"{pair}: KLD {mean:.6f}{beside}")
    if not given.scorer_only:
        print(f"llama-perplexity in all: {tool_seconds:.1f} s, {format_bytes(tool_rss)}")
        print(
            f"the scorer is {tool_seconds / scorer_seconds:.2f} times as fast ({BASELINE_PAIR} counted in both)"
        )


if __name__ == "__main__":
    main()
