"""Results directories in which something is missing, equal, broken or of two kinds, made of the recorded study's raw
files: what an engine printed is written anew, with other times and other windows.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import recorded_study

SUBJECT = Path("mainline", "kvsweep-demo")
TEXT = "demo-text"
Numbers = np.ndarray


def copied(place: Path) -> Path:
    """The recorded study: 7 pairs, two contexts, three depths, one round."""
    results = place / "results"
    shutil.copytree(recorded_study.RESULTS, results)
    return results


def configure(results: Path, **changes: Any) -> None:
    """Another configuration of the same study; of ``throughput`` single keys."""
    config = json.loads((results / "config.json").read_text())
    config["throughput"] |= changes.pop("throughput", {})
    (results / "config.json").write_text(json.dumps(config | changes))


def speed_cell(results: Path, pair: str, depth: int, round_: int = 1) -> Path:
    ctk, _, ctv = pair.partition("/")
    rounds = [f"round-{round_}"] if round_ > 1 else []
    return results.joinpath("throughput", SUBJECT, *rounds, f"d{depth}", f"k-{ctk}", f"v-{ctv or ctk}")


def quality_cell(results: Path, pair: str, n_ctx: int) -> Path:
    ctk, _, ctv = pair.partition("/")
    return results.joinpath("quality", SUBJECT, TEXT, f"c{n_ctx}", f"k-{ctk}", f"v-{ctv or ctk}")


def speed_cells(results: Path) -> list[Path]:
    return sorted(path.parent for path in (results / "throughput").rglob("run.json"))


def quality_cells(results: Path) -> list[Path]:
    return sorted(path.parent for path in (results / "quality").rglob("run.json"))


def rewrite(cell: Path, name: str, change: Callable[[str], str], **run: Any) -> None:
    """Changes one stream of a cell, and its record so that it is of that stream."""
    text = change((cell / name).read_text(encoding="utf-8"))
    data = text.encode()
    (cell / name).write_bytes(data)
    record = json.loads((cell / "run.json").read_text())
    for stream in record["streams"]:
        if stream["name"] == name:
            stream |= {"size_bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (cell / "run.json").write_text(json.dumps(record | run, indent=1))


def failed(cell: Path) -> None:
    """The engine was killed before it printed a result."""
    name = "bench.jsonl" if (cell / "bench.jsonl").exists() else "stdout.log"
    rewrite(cell, name, lambda _: "", exit_status=None, signal="SIGSEGV")


def add_rounds(results: Path, n: int) -> None:
    """Rounds 2 to ``n`` of the first-round cells, each process slower or faster than the recorded one."""
    configure(results, throughput={"rounds": n})
    for cell in speed_cells(results):
        for round_ in range(2, n + 1):
            other = Path(str(cell).replace(f"{SUBJECT}/", f"{SUBJECT}/round-{round_}/"))
            shutil.copytree(cell, other)
            by = np.random.default_rng([*str(other.relative_to(results)).encode()])
            rewrite(other, "bench.jsonl", partial(timed, by=by), round=round_)


def timed(bench: str, by: np.random.Generator) -> str:
    """The same tests in a process that is 3 % slower or faster, with repetitions that differ by 1 % more."""
    process = by.normal(0, 0.03)
    return "".join(
        _with_times(line, [round(ns * np.exp(process + by.normal(0, 0.01))) for ns in _times(line)])
        for line in _lines(bench)
    )


def constant(bench: str) -> str:
    """Every repetition took as long, to the last digit."""
    return "".join(_with_times(line, [50_000_000] * len(_times(line))) for line in _lines(bench))


def _lines(bench: str) -> Iterator[dict[str, Any]]:
    return map(json.loads, bench.splitlines())


def _times(test: dict[str, Any]) -> list[int]:
    return [int(ns) for ns in test["samples_ns"]]


def _with_times(test: dict[str, Any], samples: Sequence[int]) -> str:
    tokens = test["n_prompt"] + test["n_gen"]
    rates = [tokens * 1e9 / ns for ns in samples]
    spread = [float(np.std(values, ddof=1)) for values in (samples, rates)]
    changed = test | {
        "samples_ns": list(samples),
        "samples_ts": [float(f"{rate:.6g}") for rate in rates],
        "avg_ns": int(np.mean(samples)),
        "stddev_ns": int(spread[0]),
        "avg_ts": round(float(np.mean(rates)), 6),
        "stddev_ts": round(spread[1], 6),
    }
    return json.dumps(changed) + "\n"


# --- what llama-perplexity prints -------------------------------------------------------------------------------


def windows_of(cell: Path) -> tuple[Numbers, Numbers, Numbers, Numbers]:
    """ln PPL, ln PPL ratio, divergence and agreeing share of each window, from the printed running means."""
    rows = [line.split() for line in (cell / "stdout.log").read_text().splitlines()]
    rows = [row for row in rows if len(row) == 18 and row[0].isdigit()]
    number = np.arange(1, len(rows) + 1)
    columns = np.array([[float(row[at]) for at in (1, 4, 7, 14)] for row in rows]).T
    means = [np.log(columns[0]), columns[1], columns[2], columns[3] / 100]
    return tuple(np.diff(number * mean, prepend=0) for mean in means)


def score(cell: Path, n_ctx: int, nll: Numbers, ratio: Numbers, kld: Numbers, share: Numbers) -> None:
    """Replaces what a quality cell printed by a run over these windows."""
    text = printed_run(n_ctx, nll, ratio, kld, share)
    rewrite(cell, "stdout.log", lambda _: text, chunks=len(kld))
    announced = f"over {len(kld)} chunks"
    rewrite(cell, "stderr.log", lambda log: re.sub(r"over \d+ chunks", announced, log))


def printed_run(n_ctx: int, nll: Numbers, ratio: Numbers, kld: Numbers, share: Numbers) -> str:
    """A run of llama-perplexity with these values of its windows. Errors of tokens are a tenth of the value."""
    tokens = n_ctx - 1 - n_ctx // 2
    lines = ["chunk             PPL               ln(PPL(Q)/PPL(base))          KL Divergence"]
    counts = np.cumsum(np.round(share * tokens))
    for i in range(1, len(kld) + 1):
        ppl, ln, d = np.exp(nll[:i].mean()), ratio[:i].mean(), kld[:i].mean()
        same = counts[i - 1] / (i * tokens)
        top_error = np.sqrt(same * (1 - same) / (i * tokens - 1))
        lines.append(
            f"{i:4}    {ppl:9.4f} ± {ppl / 50:9.4f}    {ln:10.5f} ± {abs(ln) / 10:10.5f}    {d:10.5f} ± {d / 10:10.5f}"
            f"    {0.1:6.3f} ± {0.01:6.3f} %    {100 * same:6.3f} ± {100 * top_error:6.3f} %"
        )
    base, rms = ppl / np.exp(ln), 0.001
    mean_error = rms / np.sqrt(i * tokens - 1)
    zero = f"{0:10.6f}"
    lines += [
        "====== Perplexity statistics ======",
        f"Mean PPL(Q)                   : {ppl:10.6f} ± {ppl / 50:10.6f}",
        f"Mean PPL(base)                : {base:10.6f} ± {base / 50:10.6f}",
        f"Cor(ln(PPL(Q)), ln(PPL(base))): {_correlation(ln):6.2f}%",
        f"Mean ln(PPL(Q)/PPL(base))     : {ln:10.6f} ± {abs(ln) / 10:10.6f}",
        f"Mean PPL(Q)/PPL(base)         : {ppl / base:10.6f} ± {abs(ln) / 10:10.6f}",
        f"Mean PPL(Q)-PPL(base)         : {ppl - base:10.6f} ± {_error_of_difference(ppl, base, ln):10.6f}",
        "====== KL divergence statistics ======",
        f"Mean    KLD: {d:10.6f} ± {d / 10:10.6f}",
        *(f"{name} KLD: {20 * max(kld.max(), 1e-5):10.6f}" for name in ("Maximum", "99.9%  ")),
        *(f"{name} KLD: {d:10.6f}" for name in ("99.0%  ", "95.0%  ", "90.0%  ")),
        *(
            f"{name} KLD: {zero}"
            for name in ("Median ", "10.0%  ", " 5.0%  ", " 1.0%  ", " 0.1%  ", "Minimum")
        ),
        "====== Token probability statistics ======",
        f"Mean    Δp: {0:6.3f} ± {100 * mean_error:5.3f} %",
        f"RMS Δp    : {0.1:6.3f} ± {0.01:5.3f} %",
        f"Same top p: {100 * same:6.3f} ± {100 * top_error:5.3f} %",
    ]
    return "\n".join(lines) + "\n"


def _correlation(ln: float) -> float:
    return 100 * (1 - (abs(ln) / 10) ** 2 / (2 * 0.02**2))


def _error_of_difference(ppl: float, base: float, ln: float) -> float:
    e, b = ppl / 50, base / 50
    return float(
        np.sqrt(max(e**2 * (1 - base / ppl) + b**2 * (1 - ppl / base) + ppl * base * (ln / 10) ** 2, 0))
    )


def cut(cell: Path, n_ctx: int, n: int) -> None:
    """The run scored only the first windows."""
    score(cell, n_ctx, *(values[:n] for values in windows_of(cell)))


# --- the odd runs -----------------------------------------------------------------------------------------------


def with_nan_and_inf(results: Path) -> None:
    """What was computed is no number, in one cell of each kind; the log of one says inf."""
    add_rounds(results, 3)
    for cell, name, found, put in (
        (speed_cell(results, "q4_0", 512), "bench.jsonl", r'"avg_ts": [\d.]+', '"avg_ts": nan'),
        (speed_cell(results, "q4_1", 0, 2), "bench.jsonl", r'"samples_ns": \[\d+', '"samples_ns": [Infinity'),
        (quality_cell(results, "q8_0", 256), "stdout.log", r"(Mean    KLD: ).{10}", r"\1       nan"),
        (quality_cell(results, "q4_0", 1024), "stdout.log", r"(99.9%   KLD: ).{10}", r"\1       inf"),
        # Only the error that takes tokens as independent is no number.
        (quality_cell(results, "q4_1", 1024), "stdout.log", r"(Mean    KLD: .{10} ±).{11}", r"\1        nan"),
        (
            quality_cell(results, "q4_1", 1024),
            "stdout.log",
            r"(?m)^( +\d+ (?:.*? ±){3}).{11}",
            r"\1        nan",
        ),
    ):
        rewrite(cell, name, partial(re.sub, found, put))


def on_two_machines(results: Path) -> None:
    """Half of the cells of three rounds ran elsewhere, as where a results directory was carried to another machine."""
    add_rounds(results, 3)
    for cell in (*speed_cells(results), *quality_cells(results)):
        if not {"round-2", "round-3", "c1024"}.isdisjoint(cell.parts):
            record = json.loads((cell / "run.json").read_text())
            record["machine"] |= {
                "name": "Ampere Altra 80 cores 64GB",
                "cpu": "Ampere Altra",
                "host": "other",
            }
            (cell / "run.json").write_text(json.dumps(record))


def one_round_beside_three(results: Path) -> None:
    """f16 and three pairs ran three times, of the others the second and third round failed."""
    three = ("k-f16/v-f16", "k-q8_0/v-q8_0", "k-q4_0/v-q4_0", "k-q4_1/v-q4_1")
    add_rounds(results, 3)
    for cell in speed_cells(results):
        if not {"round-2", "round-3"}.isdisjoint(cell.parts) and not str(cell).endswith(three):
            failed(cell)


def some_rounds_failed(results: Path) -> None:
    """f16 has two rounds left at one depth and one at another; pairs have other rounds left than f16 has."""
    add_rounds(results, 3)
    for pair, depth, round_ in (
        *(("f16", 512, 2), ("f16", 1024, 1), ("f16", 1024, 3), ("q8_0", 0, 3), ("q8_0", 1024, 2)),
        *(("q4_0", 512, 1), ("q4_0", 512, 3), *(("q4_1", 0, r) for r in (1, 2, 3))),
    ):
        failed(speed_cell(results, pair, depth, round_))


def without_f16_of_a_depth(results: Path) -> None:
    add_rounds(results, 3)
    for round_ in (1, 2, 3):
        failed(speed_cell(results, "f16", 512, round_))


def without_the_control(results: Path) -> None:
    """The quality cell f16 against itself failed; so did one pair's."""
    add_rounds(results, 3)
    failed(quality_cell(results, "f16", 256))
    failed(quality_cell(results, "f16", 1024))
    failed(quality_cell(results, "q4_0", 256))


def all_failed(results: Path) -> None:
    add_rounds(results, 2)
    for cell in (*speed_cells(results), *quality_cells(results)):
        failed(cell)


def only_f16(results: Path) -> None:
    add_rounds(results, 3)
    configure(results, pairs=["f16"])


def no_f16(results: Path) -> None:
    """Nobody asked for f16: the divergence is from it nevertheless."""
    add_rounds(results, 3)
    configure(results, pairs=[pair for pair in recorded_study.PAIRS if pair != "f16"])


def other_windows(results: Path) -> None:
    """Pairs of one text were scored on other numbers of windows, as where the text grew longer in between."""
    add_rounds(results, 2)
    for pair, n in (("q8_0", 10), ("q4_0", 5), ("q4_1", 1), ("f16/q4_0", 2)):
        cut(quality_cell(results, pair, 1024), 1024, n)
    cut(quality_cell(results, "f16", 256), 256, 32)


def one_window_bears_most(results: Path) -> None:
    """Of q8_0, at both contexts; of q4_0 a few do."""
    add_rounds(results, 2)
    for pair, n_ctx, spikes in (("q8_0", 256, 1), ("q8_0", 1024, 1), ("q4_0", 1024, 4)):
        cell = quality_cell(results, pair, n_ctx)
        nll, ratio, kld, share = windows_of(cell)
        kld = 0.001 + 0.0001 * np.sin(np.arange(len(kld)))
        kld[3 : 3 + spikes] = 0.5
        score(cell, n_ctx, nll, ratio, kld, share)


def one_window(results: Path) -> None:
    for cell in quality_cells(results):
        cut(cell, int(re.findall(r"c(\d+)", str(cell))[-1]), 1)


def all_equal(results: Path) -> None:
    """Every time and every window is the same, to the last digit."""
    add_rounds(results, 3)
    for cell in speed_cells(results):
        rewrite(cell, "bench.jsonl", constant)
    for cell in quality_cells(results):
        n_ctx = int(re.findall(r"c(\d+)", str(cell))[-1])
        same = np.ones(16 if n_ctx == 1024 else 64)
        score(cell, n_ctx, 0.6 * same, 0.002 * same, 0.004 * same, 0.9 * same)


ODD: dict[str, Callable[[Path], None]] = {
    "NaN and inf": with_nan_and_inf,
    "two machines": on_two_machines,
    "one round beside three": one_round_beside_three,
    "some rounds failed": some_rounds_failed,
    "no f16 of a depth": without_f16_of_a_depth,
    "no control": without_the_control,
    "all failed": all_failed,
    "only f16": only_f16,
    "no f16": no_f16,
    "other windows": other_windows,
    "one window": one_window,
    "one window bears most": one_window_bears_most,
    "all equal": all_equal,
}
