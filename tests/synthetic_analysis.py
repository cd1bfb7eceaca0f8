"""Small tables of answers with made-up but plausible values, for tests and for looking at figures and the report.

    rows = [answer("advice", workload="rag", rank=2, verdict="runner-up", ctk="turbo3", ctv="turbo3")]
    tables = answers()  # every table of ANALYSIS but claims, a few rows each

`answer` fills every column of a schema, with null where neither the caller nor the defaults say anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow as pa
from kvsweep.analysis.repetitions import repetitions
from kvsweep.analysis.schemas import ANALYSIS
from kvsweep.analysis.speed import over_rounds, speeds
from kvsweep.figures import draw as draw_module
from kvsweep.figures.catalogue import FIGURES
from synthetic_tables import in_rounds, study

K = 1024
GIB = 2**30
SET_UP: dict[str, Any] = {
    "source": "measured",
    "engine": "fork-metal",
    "engine_commit": "11a241d0db78a68e0a5b99fe6f36de6683100f6a",
    "backend": "metal",
    "machine": "Apple M5 Max 128GB",
    "model": "Qwen3.6-35B-A3B-Q8_0",
    "model_sha256": "5b" * 32,
}
PUBLISHED: dict[str, Any] = SET_UP | {
    "source": "published:m5max-part2",
    "engine": "TheTom/llama-cpp-turboquant, branch feature/turboquant-kv-cache",
    "engine_commit": None,
    "model_sha256": None,
}
SCORED: dict[str, Any] = {"corpus": "wikitext-2-raw-test", "n_ctx": 4096}


def answer(table: str, **values: Any) -> dict[str, Any]:
    """A row of `table` in the synthetic set-up; KeyError for a column that it does not have."""
    names = ANALYSIS[table].names
    unknown = set(values) - set(names)
    if unknown:
        raise KeyError(f"{table} has no columns {sorted(unknown)}")
    return {name: (SET_UP | values).get(name) for name in names}


def answers_of(table: str, rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist([dict(row) for row in rows], schema=ANALYSIS[table])


def _comparisons() -> list[dict[str, Any]]:
    theirs = {"published": "published:m5max-part2", "published_machine": "Apple M5 Max 128GB"}
    theirs["published_model"] = "Qwen3.6-35B-A3B-Q8_0"
    speed = theirs | {"quantity": "tokens_per_second", "unit": "tokens/s", "depth": 64 * K}
    return [
        answer(
            "comparisons", **speed, ctk="q8_0", ctv="turbo4", phase="decode", ours=55.1, theirs=55.9, ratio=0.98569,
            ratio_low=0.9801, ratio_high=0.9914, interval="95 % interval of our repetitions and the published rounding",
            our_status="measured", their_status="measured", comparable=True, differs=[],
            unknown=["engine commit", "effective pair"],
        ),
        answer(
            "comparisons", **speed | {"depth": 256 * K}, ctk="f16", ctv="f16", phase="decode", ours=31.2,
            our_status="measured", their_status="oom", comparable=False,
            differs=["machine: ours AMD EPYC 2 cores 24GB, theirs Apple M5 Max 128GB"], unknown=["engine commit"],
        ),
        answer(
            "comparisons", **theirs, **SCORED, quantity="kld_mean", unit="nats", ctk="q8_0", ctv="q8_0", ours=0.00162,
            theirs=0.0016, ratio=1.0125, ratio_low=0.97, ratio_high=1.06, our_status="measured",
            interval="1.96 standard errors of ours and the published rounding", their_status="measured",
            comparable=True, differs=[], unknown=["windows"],
        ),
    ]  # fmt: skip


def _across() -> list[dict[str, Any]]:
    there = {f"other_{name}": value for name, value in SET_UP.items()}
    there |= {"other_source": "slice:attic", "other_machine": "NVIDIA H200", "other_backend": "cuda"}
    beside = ["back end: ours metal, theirs cuda", "machine: ours Apple M5 Max 128GB, theirs NVIDIA H200"]
    same = there | {"reference": "each its own f16", "comparable": True, "prevents": []}
    same |= {"differs": beside, "unknown": []}
    windows = "windows: ours 16, theirs 4"
    return [
        answer(
            "across", **same, ctk="q8_0", ctv="q8_0", depth=64 * K, phase="decode", quantity="speed relative to f16",
            unit="", value=0.968, other_value=1.012, ratio=0.9565, ratio_low=0.94, ratio_high=0.973,
            interval="95 % of both, in quadrature",
        ),
        answer(
            "across", **same, **SCORED, ctk="q8_0", ctv="q8_0", quantity="top1_agreement", unit="fraction", value=0.986,
            other_value=0.984, ratio=1.002,
        ),
        answer(
            "across", **same | {"comparable": False, "prevents": [windows], "differs": [windows, *beside]}, **SCORED,
            ctk="q4_0", ctv="q4_0", quantity="kld_mean", unit="nats", value=0.126, other_value=0.105,
        ),
    ]  # fmt: skip


def _bandwidth() -> list[dict[str, Any]]:
    peak = {"depth_from": 0, "depth_to": 64 * K, "peak_gigabytes_per_second": 614.0}
    return [
        answer("bandwidth", **peak, ctk="f16", ctv="f16", cache_bytes=1_342_177_280, seconds=0.0046,
               gigabytes_per_second=291.8, share=0.475, seconds_low=0.0044, seconds_high=0.0048,
               gigabytes_per_second_low=279.6, gigabytes_per_second_high=305.0,
               interval="95 % interval over rounds"),
        answer("bandwidth", **peak, ctk="q8_0", ctv="q8_0", cache_bytes=713_031_680, seconds=0.0051,
               gigabytes_per_second=139.8, share=0.228, seconds_low=-0.0002, seconds_high=0.0104,
               gigabytes_per_second_low=68.6, interval="95 % interval over rounds"),
        answer("bandwidth", **peak, ctk="q8_0", ctv="turbo4", cache_bytes=534_773_760, seconds=-0.0001),
    ]  # fmt: skip


def _head_to_head() -> list[dict[str, Any]]:
    duel = {
        "order": 1,
        "pair_a": "q4_0",
        "pair_b": "turbo4",
        "bits_a": 4.5,
        "bits_b": 4.25,
        "bits_from": "log",
    }
    kld = {"quantity": "kld_mean", "unit": "nats", "better": "lower", "interval": "95 %, paired by window"}
    top1 = {"quantity": "top1_agreement", "unit": "fraction", "better": "higher"}
    decode = {
        "quantity": "decode",
        "unit": "tokens/s",
        "better": "higher",
        "interval": "95 % of the repetitions",
    }
    kv = {"quantity": "kv_bytes_per_token", "unit": "bytes", "better": "lower"}
    return [
        answer(
            "head_to_head", **duel, **SCORED, **kld, value_a=0.00809, value_b=0.00963, difference=-0.00154,
            difference_low=-0.00171, difference_high=-0.00137, ratio=0.840, ratio_low=0.824, ratio_high=0.856,
            ahead="q4_0", winner="q4_0", verdict="better",
        ),
        answer(
            "head_to_head", **duel, **SCORED, **kld | {"quantity": "kld_p999", "interval": None}, value_a=0.61,
            value_b=0.72, difference=-0.11, ratio=0.847, ahead="q4_0", verdict="error unknown",
        ),
        answer(
            "head_to_head", **duel, **SCORED, **top1, value_a=0.9633, value_b=0.9628, difference=0.0005,
            difference_low=-0.0008, difference_high=0.0018, ratio=1.0005, interval="1.96 standard errors",
            ahead="q4_0", verdict="no difference shown",
        ),
        answer(
            "head_to_head", **duel, **decode, depth=64 * K, value_a=54.0, value_b=55.2, difference=-1.2,
            difference_low=-1.5, difference_high=-0.9, ratio=0.978, ratio_low=0.973, ratio_high=0.984,
            ahead="turbo4", winner="turbo4", verdict="better",
        ),
        answer(
            "head_to_head", **duel, **kv, value_a=5760.0, value_b=5440.0, difference=320.0, difference_low=320.0,
            difference_high=320.0, ratio=1.0588, ratio_low=1.0588, ratio_high=1.0588, interval="exact",
            ahead="turbo4", winner="turbo4", verdict="better",
        ),
    ]  # fmt: skip


def _pareto() -> list[dict[str, Any]]:
    found = [
        ("f16", "f16", 16.0, 0.0, 59.8, []),
        ("q8_0", "q8_0", 8.5, 0.0016, 57.9, []),
        ("q8_0", "turbo4", 6.375, 0.0074, 55.9, []),
        ("turbo4", "turbo4", 4.25, 0.0131, 55.2, []),
        ("q4_1", "q4_1", 5.0, 0.0132, 53.1, ["turbo4"]),
        ("turbo3", "turbo3", 3.125, 0.0199, 49.9, []),
    ]
    rows = [
        answer(
            "pareto", **SCORED, ctk=ctk, ctv=ctv, depth=64 * K, bits_per_value=bits, bits_from="log", kld_mean=kld,
            decode=decode, on_front=not better, dominated_by=better, missing=[],
            kld_mean_low=0.9 * kld, kld_mean_high=1.2 * kld, decode_low=0.97 * decode, decode_high=1.02 * decode,
        )
        for ctk, ctv, bits, kld, decode, better in found
    ]  # fmt: skip
    unknown = {"bits_per_value": 10.125, "bits_from": "log", "dominated_by": [], "depth": 64 * K}
    rows.append(
        answer(
            "pareto", **SCORED, ctk="f16", ctv="turbo4", **unknown, missing=["decode: work left the device"]
        )
    )
    return rows


def _k_or_v() -> list[dict[str, Any]]:
    floor = {"f16": 0.0, "q8_0": 0.0008, "q4_0": 0.0041}
    rows = []
    for ctk, k in floor.items():
        for ctv, v in floor.items():
            blank = (ctk, ctv) == ("q4_0", "q8_0")
            from_k, from_v = 1.4 * k, 0.6 * v
            values: dict[str, Any] = {
                "status": "not asked for",
                "reason": "no such pair in the configuration",
            }
            if not blank:
                values = {"status": "measured", "kld_mean": 1.03 * (from_k + from_v), "kld_mean_stderr": 1e-5}
                values |= {"interaction": 0.03 * (from_k + from_v), "interaction_stderr": 2e-5}
            if from_k + from_v > 0:
                share = from_k / (from_k + from_v)
                values |= {
                    "share_k": share,
                    "share_k_low": max(share - 0.03, 0),
                    "share_k_high": min(share + 0.03, 1),
                }
            rows.append(
                answer(
                    "k_or_v", **SCORED, ctk=ctk, ctv=ctv, from_k=from_k, from_k_stderr=1e-5, from_v=from_v,
                    from_v_stderr=1e-5, estimator="one-sided cells", **values,
                )
            )  # fmt: skip
    return rows


def _crossovers() -> list[dict[str, Any]]:
    prefill = {"phase": "prefill", "n_tokens": 512, "pair_a": "q8_0", "pair_b": "turbo3"}
    depths = [0, 8 * K, 32 * K, 64 * K, 128 * K]
    return [
        answer(
            "crossovers", **prefill, depths=depths, verdict="crosses", number=1, depth=78_300.0, depth_low=74_100.0,
            depth_high=83_900.0, between_low=64 * K, between_high=128 * K, ahead_before="q8_0", ahead_after="turbo3",
            interval="95 % of the repetitions",
        ),
        answer(
            "crossovers", **prefill | {"phase": "decode", "n_tokens": 128}, depths=depths, verdict="none",
            ahead_before="q8_0",
        ),
        answer(
            "crossovers", **prefill | {"pair_b": "f16/turbo4"}, depths=[0], verdict="too few depths",
            ahead_before="q8_0",
        ),
    ]  # fmt: skip


def _memory() -> list[dict[str, Any]]:
    weights, machine = 36_903_138_080, 128 * GIB
    rows = []
    for ctk, ctv, per_token in (
        ("f16", "f16", 20_480.0),
        ("q8_0", "q8_0", 10_880.0),
        ("turbo3", "turbo3", 4_000.0),
    ):
        for depth in (0, 64 * K, 256 * K, 512 * K):
            ran_out = per_token * depth > 5.0 * GIB - 1
            kv = int(per_token * (depth + 512))
            rows.append(
                answer(
                    "memory", ctk=ctk, ctv=ctv, depth=depth, status="oom" if ran_out else "measured", kv_bytes=kv,
                    kv_from="computed" if ran_out else "log", kv_bytes_per_token=per_token, weights_bytes=weights,
                    compute_bytes=520 * 2**20, compute_from="log", needed_bytes=weights + kv + 520 * 2**20,
                    machine_memory_bytes=machine, fits=True, surprise="ran out although it fits" if ran_out else None,
                )
            )  # fmt: skip
    return rows


def _largest_context() -> list[dict[str, Any]]:
    rows = []
    for ctk, ctv, per_token in (
        ("f16", "f16", 20_480.0),
        ("q8_0", "q8_0", 10_880.0),
        ("turbo3", "turbo3", 4_000.0),
    ):
        for memory in (24 * GIB, 48 * GIB, 128 * GIB):
            room = memory - 36_903_138_080 - 520 * 2**20
            rows.append(
                answer(
                    "largest_context", ctk=ctk, ctv=ctv, memory_bytes=memory, kv_bytes_per_token=per_token,
                    memory_is="the machine's own" if memory == 128 * GIB else "from the configuration",
                    weights_bytes=36_903_138_080, compute_bytes=520 * 2**20, n_ctx_train=262_144,
                    largest_context=max(int(room / per_token) // 256 * 256, 0), deepest_measured=128 * K,
                    shallowest_oom=256 * K if ctk == "f16" else None,
                )
            )  # fmt: skip
    return rows


def _advice() -> list[dict[str, Any]]:
    coding = {
        "workload": "coding-agent", "title": "coding agent: deep context, many generated tokens", "depth": 64 * K,
        "prompt_tokens": 2 * K, "generated_tokens": 2 * K, "highest_kld": 0.02, "goal": "seconds",
        "memory_bytes": 128 * GIB,
    }  # fmt: skip
    longest = coding | {"workload": "longest-context", "title": "longest context", "goal": "context"}
    longest |= {"depth": 0, "prompt_tokens": 512, "generated_tokens": 128}
    times = {"request_seconds": 41.0, "request_seconds_low": 40.6, "request_seconds_high": 41.4}
    times |= {"prefill_seconds": 4.4, "decode_seconds": 36.6}
    return [
        answer(
            "advice", **coding, **SCORED, **times, ctk="q8_0", ctv="q8_0", rank=1, verdict="pick", kld_mean=0.0016,
            why="fastest: 41.0 s a request, 1.9 % ahead of q8_0/turbo4", bits_per_value=8.5,
            would_change="below 40 GiB of memory q8_0/turbo4; from 90K of context q8_0/turbo4", missing=[],
            needed_bytes=38 * GIB, largest_depth=256 * K,
        ),
        answer(
            "advice", **coding, **SCORED, **times | {"request_seconds": 41.8}, ctk="q8_0", ctv="turbo4", rank=2,
            verdict="runner-up", kld_mean=0.0074, why="41.8 s a request", bits_per_value=6.375, missing=[],
            needed_bytes=37 * GIB, largest_depth=512 * K,
        ),
        answer(
            "advice", **coding, **SCORED, ctk="turbo2", ctv="turbo2", verdict="not feasible", kld_mean=0.061,
            why="KLD 0.061 is above 0.02", bits_per_value=2.125, missing=[], largest_depth=128 * K,
        ),
        answer(
            "advice", **coding, **SCORED, ctk="f16", ctv="turbo4", verdict="no data",
            why="not measured as f16/turbo4: work left the device", missing=["decode at 64K", "prefill at 64K"],
        ),
        answer(
            "advice", **longest, **SCORED, ctk="turbo3", ctv="turbo3", rank=1, verdict="pick", kld_mean=0.0199,
            why="the only pair that was measured at 1M", bits_per_value=3.125, missing=[], largest_depth=1024 * K,
        ),
        answer("advice", **PUBLISHED, **coding, verdict="no data", why="KLD of the asymmetric pairs was not published",
               missing=["kld_mean of q8_0/turbo4"]),
    ]  # fmt: skip


def _depth() -> list[dict[str, Any]]:
    return [
        answer(
            "depth", **SCORED | {"n_ctx": 32 * K}, ctk=cache_type, ctv=cache_type, chunks=4, positions="16x256",
            depth_from=depth - 255, depth_to=depth, depth_tokens=depth - 127.5, tokens=1024, error_by="blocks",
            kld_mean=kld, kld_mean_stderr=kld / 20, kld_mean_low=0.9 * kld, kld_mean_high=1.1 * kld,
            kld_median=kld / 3, kld_p90=2 * kld, kld_p99=9 * kld, top1_agreement=1 - 2 * kld,
            top1_agreement_stderr=kld / 5, ln_ppl_ratio=kld / 4, ln_ppl_ratio_stderr=kld / 10,
        )
        for cache_type, at_once in (("q8_0", 0.0008), ("q4_0", 0.0101))
        for depth, kld in ((2 * K, at_once), (16 * K, 1.3 * at_once), (32 * K - 1, 1.4 * at_once))
    ]  # fmt: skip


def _agreement() -> list[dict[str, Any]]:
    def row(cache_type: str, printed: float, scored: float, verdict: str) -> dict[str, Any]:
        return answer(
            "agreement", **SCORED, ctk=cache_type, ctv=cache_type, kld_perplexity=printed, kld_scorer=scored,
            difference=printed - scored, relative=(printed - scored) / scored, expected_low=-0.003 * scored,
            expected_high=0.003 * scored, basis="left out below e^-16: 0.3 %", verdict=verdict,
        )  # fmt: skip

    return [
        row("q8_0", 0.003651, 0.00365278, "agrees"),
        row("q4_0", 0.047041, 0.04695866, "agrees"),
        row("turbo4", 0.0512, 0.0468, "disagrees"),
    ]


def speed_of(throughput: Iterable[Mapping[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Rows of the tables that are made of throughput alone, as the workflow makes them."""
    rows = list(throughput)
    # Most tests have none, and of none it takes as long.
    return {"repetitions": repetitions(rows), "speed": speeds(over_rounds(rows))} if rows else {}


def draw_figures(tables: Mapping[str, pa.Table], folder: Path) -> None:
    """NAME.svg and NAME.csv of every figure: what the report takes. The other forms take five times as long."""
    folder.mkdir(exist_ok=True)
    with mock.patch.object(draw_module, "FORMS", (".svg", ".csv")):
        for name, listed in FIGURES.items():
            draw_module.save(draw_module.draw(name, tables[listed.table].to_pylist()), folder, name)


def _task_shares() -> list[dict[str, Any]]:
    """One fact, of 100: f16, a pair that is not told from it, and one that is."""
    asked = {"task": "recall", "kind": "recall", "context": 1024, "question": "one", "items": 100}
    f16 = {"right": 90, "share": 0.9, "share_low": 0.826, "share_high": 0.945}
    beside = {"compared": 100, "only_pair": 1, "only_f16": 3, "difference": -0.02, "p_value": 0.625}
    return [
        answer("task_shares", **asked, **f16, ctk="f16", ctv="f16"),
        answer(
            "task_shares", **asked, **f16, **beside, ctk="q8_0", ctv="q8_0", verdict="no difference shown"
        ),
        answer(
            "task_shares",
            **asked,
            right=60,
            share=0.6,
            share_low=0.502,
            share_high=0.691,
            compared=100,
            only_pair=0,
            only_f16=30,
            difference=-0.3,
            p_value=2e-9,
            q_value=4e-9,
            ctk="q4_0",
            ctv="q4_0",
            verdict="worse than f16",
        ),
    ]


def answers() -> dict[str, pa.Table]:
    """Every table of ANALYSIS but claims, with a few rows each."""
    return dict(_answers())


@cache
def _answers() -> dict[str, pa.Table]:
    rows = {
        **speed_of(in_rounds(study()["throughput"].to_pylist())),
        "comparisons": _comparisons(),
        "across": _across(),
        "bandwidth": _bandwidth(),
        "head_to_head": _head_to_head(),
        "pareto": _pareto(),
        "k_or_v": _k_or_v(),
        "crossovers": _crossovers(),
        "memory": _memory(),
        "largest_context": _largest_context(),
        "advice": _advice(),
        "depth": _depth(),
        "agreement": _agreement(),
        "task_shares": _task_shares(),
    }
    return {name: answers_of(name, found) for name, found in rows.items()}
