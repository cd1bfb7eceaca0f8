"""Raw records to table rows: what each cell measured, how it ended, what really ran.

Rows are plain dictionaries with the columns of ``schemas``; a value that is not known is left out, which makes it null.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from kvsweep.engine.baseline_file import scored_tokens
from kvsweep.engine.bench_output import BenchTest, failed_computations, logs_of_phases, parse_bench
from kvsweep.engine.family import family_of
from kvsweep.engine.log import parse_engine_log
from kvsweep.engine.logged import EngineContext, EngineLog, on_device
from kvsweep.engine.perplexity_output import parse_kl
from kvsweep.engine.perplexity_results import KlStatistics
from kvsweep.errors import UnparsableOutput
from kvsweep.machine.description import machine_record
from kvsweep.measure.record import Recorded
from kvsweep.statistics import drift, window_counts, window_stderr, window_values
from kvsweep.study.cells import Cell, QualityCell, ThroughputCell
from kvsweep.tables import scored
from kvsweep.tables.columns import as_schema
from kvsweep.tables.quality_schemas import PRINTED
from kvsweep.tables.status import MEASURED, Verdict, without_result
from kvsweep.tables.where_it_ran import names_no_device, weights_on_device, where_it_ran

Row = dict[str, Any]

# Decimals of the running means in llama-perplexity's table of windows.
_WINDOW_DECIMALS = 5


def throughput_rows(
    cell: ThroughputCell, recorded: Recorded, build: Mapping[str, Any], model: Mapping[str, Any]
) -> list[Row]:
    """Two rows, prefill and decode; either can be measured without the other."""
    run = recorded.run
    log, problem_of_log = log_of(recorded.stderr)
    contexts = contexts_of(log)
    tests: dict[str, BenchTest] = {}
    problem = "llama-bench ended without this result"
    try:
        found = _asked_for(parse_bench(recorded.stdout), cell, run, log)
        tests = {test.phase: test for test in found}
    except UnparsableOutput as error:
        problem = str(error)
    failed = failed_computations(recorded.stdout, recorded.stderr)
    rows = []
    for index, (phase, own_log) in enumerate(logs_of_phases(recorded.stderr).items()):
        test = tests.get(phase)
        row = common(cell, recorded, build, model)
        row |= {
            "engine_family": family_of(build),
            "depth": cell.depth,
            "phase": phase,
            "n_tokens": run["prompt" if phase == "prefill" else "generate"],
            "round": cell.round,
        }
        if test is not None and phase in failed:
            test, problem = None, "a computation failed, so what was printed is no result"
        if test is not None and problem_of_log is None:
            trend = drift(test.samples_tokens_per_second)
            row |= outcome(MEASURED)
            row |= {
                "tokens_per_second": test.tokens_per_second,
                "tokens_per_second_stddev": test.tokens_per_second_stddev,
                "samples": list(test.samples_tokens_per_second),
                "repetitions": len(test.samples_ns),
                "drift_per_repetition": trend and trend.slope,
                "drift_stderr": trend and trend.stderr,
            }
        else:
            text = f"{recorded.stdout}\n{own_log}"
            row |= outcome(without_result(run, text, problem_of_log or problem))
        # llama-bench makes one context for each test, in the order of the tests.
        if len(contexts) <= 2 and index < len(contexts):
            row |= where_it_ran(contexts[index], log, recorded, build, model)
            row["compute_buffer_bytes"] = on_device(contexts[index].compute_buffers_mib)
        if test is not None and row.get("fallback") is None and names_no_device(test, build):
            row |= {"fallback": True, "fallback_why": "llama-bench names no device"}
        row |= {
            "model_buffer_bytes": weights_on_device(log, model),
            "device_free_bytes": on_device(log.devices_free_mib),
            "machine_memory_bytes": run["machine"].get("memory_bytes"),
        }
        rows.append(row)
    return rows


def quality_row(
    cell: QualityCell, recorded: Recorded, build: Mapping[str, Any], model: Mapping[str, Any]
) -> Row:
    """The row of a quality cell, by whichever method it was measured."""
    run = recorded.run
    text = f"{recorded.stdout}\n{recorded.stderr}"
    log, problem = log_of(text)
    contexts = contexts_of(log)
    found: Row | None = None
    try:
        found = (scored.columns_of if cell.method == "scorer" else _printed)(recorded)
    except UnparsableOutput as error:
        problem = problem or str(error)
    row = common(cell, recorded, build, model)
    row |= {"method": cell.method, "positions": run.get("positions", "half")}
    row |= {"corpus": cell.corpus, "n_ctx": cell.n_ctx, "chunks": run["chunks"]}
    row |= {"corpus_sha256": run.get("corpus_sha256"), **_reference(cell, run)}
    row["engine_family"] = family_of(build)
    if found is not None and problem is None:
        row |= outcome(MEASURED) | found
    else:
        row |= outcome(without_result(run, text, problem or "no result"))
    # A trial without memory can come before the context that is measured.
    if contexts:
        row |= where_it_ran(contexts[-1], log, recorded, build, model)
    return row


def _reference(cell: QualityCell, run: Mapping[str, Any]) -> Row:
    """Whose f16 the divergence is from; every cell's own before there was another."""
    if cell.reference is None:
        return {"reference": cell.engine}
    source = ((run["reference"].get("engine_definition") or {}).get("source") or {}).get("git") or {}
    return {"reference": cell.reference, "reference_commit": source.get("commit")}


def _printed(recorded: Recorded) -> Row:
    """What llama-perplexity printed. Raises UnparsableOutput unless it is what was asked for, all of it."""
    found = parse_kl(recorded.stdout, recorded.stderr)
    if found.n_chunks != recorded.run["chunks"]:
        raise UnparsableOutput(
            f"{found.n_chunks} windows were scored, {recorded.run['chunks']} were asked for"
        )
    return _statistics(found)


def _asked_for(
    tests: Iterable[BenchTest], cell: ThroughputCell, run: Mapping[str, Any], log: EngineLog
) -> list[BenchTest]:
    """The tests, after making sure that they are the ones that were asked for.

    The types are the ones that were asked for, or in the TurboQuant fork since 2026-08 (pull request 301) those that
    ran.
    """
    tests = list(tests)
    asked_types = {(cell.pair.types.ctk, cell.pair.types.ctv)}
    if log.kv_upgrades:
        asked_types |= {(cache.type_k, cache.type_v) for cache in log.kv_caches}
    for test in tests:
        asked = (run["prompt"], 0) if test.phase == "prefill" else (0, run["generate"])
        if (test.n_prompt, test.n_gen) != asked or test.n_depth != cell.depth:
            raise UnparsableOutput(
                f"llama-bench reports pp{test.n_prompt} tg{test.n_gen} at depth {test.n_depth}, which was not asked for"
            )
        if (test.type_k, test.type_v) not in asked_types:
            raise UnparsableOutput(
                f"llama-bench reports {test.type_k}/{test.type_v}, {cell.pair} was asked for"
            )
        if len(test.samples_ns) != run["repetitions"]:
            raise UnparsableOutput(
                f"llama-bench reports {len(test.samples_ns)} repetitions, {run['repetitions']} were asked for"
            )
    return tests


def log_of(text: str) -> tuple[EngineLog, str | None]:
    """What the log says, and what is wrong with it, if anything is: then it says nothing."""
    try:
        return parse_engine_log(text), None
    except UnparsableOutput as error:
        return EngineLog(), f"the engine's log cannot be trusted: {error}"


def contexts_of(log: EngineLog) -> list[EngineContext]:
    """The contexts that have a KV cache."""
    return [context for context in log.contexts if context.kv_caches]


def common(cell: Cell, recorded: Recorded, build: Mapping[str, Any], model: Mapping[str, Any]) -> Row:
    """The columns that a row of every kind of cell has: what was run, where, when, and under which conditions."""
    run = recorded.run
    knobs = [f"{name}={shlex.quote(value)}" for name, value in run["environment"].items()]
    return {
        "engine": cell.engine,
        "engine_commit": build["commit"],
        "backend": build["backend"],
        "machine": run["machine"]["name"],
        "model": cell.model,
        "model_sha256": run["model_sha256"],
        "ctk": cell.pair.ctk,
        "ctv": cell.pair.ctv,
        "n_ctx_train": model.get("n_ctx_train"),
        **{name: run.get(name) for name in _OF_THE_PROCESS},
        "started_at": _time(run.get("started_at")),
        "source": "measured",
        "command": " ".join([*knobs, shlex.join(run["command"])]),
        "attempts": run["attempts"],
        "host": run["machine"].get("host"),
        "machine_record": machine_record(run["machine"]),
        **{name: (run.get("conditions") or {}).get(name) for name in _CONDITIONS},
    }


_OF_THE_PROCESS = tuple("wall_seconds peak_rss_bytes suspended_seconds load_before busy_cores_before".split())
_CONDITIONS = (
    *("power_source", "low_power_mode", "thermal_state", "slowed_by", "gpu_users"),
    *("available_memory_bytes", "swap_used_bytes"),
)


def outcome(verdict: Verdict) -> Row:
    return {"status": verdict.status, "reason": verdict.reason, "log_line": verdict.log_line}


def _statistics(found: KlStatistics) -> Row:
    names = (*as_schema(PRINTED).names, "ppl_difference", "ppl_difference_stderr")
    row = {name: getattr(found, name) for name in names}
    for name, means in (
        ("kld", [window.kld_mean for window in found.windows]),
        ("ln_ppl_ratio", [window.ln_ppl_ratio for window in found.windows]),
    ):
        error = window_stderr(means, _WINDOW_DECIMALS)
        row[f"{name}_window_stderr"] = error and error.stderr
        row[f"{name}_window_rounding"] = error and error.rounding
        row[f"{name}_windows"] = window_values(means) or None
    if found.n_ctx is not None:
        row["window_tokens"] = scored_tokens(found.n_ctx)
        shares = [window.top1_agreement for window in found.windows]
        row["top1_windows"] = window_counts(shares, scored_tokens(found.n_ctx))
    return row


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
