"""The columns of what was measured, and every table's schema by name.

Times are seconds, memory is bytes, shares are fractions from 0 to 1, time stamps are UTC. An absent value is null.
"""

from __future__ import annotations

import pyarrow as pa

from kvsweep.tables.columns import (
    FLAG,
    FLAGS,
    FROM,
    INTEGER,
    INTEGERS,
    REAL,
    REALS,
    TEXT,
    TEXTS,
    TIME,
    Column,
    as_schema,
)
from kvsweep.tables.set_up_schemas import ENGINES, MACHINES, MODELS

_ENGINE_AND_MODEL: list[Column] = [
    ("engine", TEXT, "", "name of the engine in the configuration"),
    ("engine_commit", TEXT, "", "commit of the engine's source; null where the source has none"),
    ("backend", TEXT, "", "back end that the engine was built for"),
    ("machine", TEXT, "", "name of the machine that the cell ran on"),
    ("model", TEXT, "", "name of the model in the configuration"),
    ("model_sha256", TEXT, "", "sha256 of the model's GGUF file"),
]

_PAIR: list[Column] = [
    ("ctk", TEXT, "", "cache type of K that was asked for; TYPE+NAME of a pair with arguments of its own"),
    ("ctv", TEXT, "", "cache type of V that was asked for, likewise"),
    ("effective_ctk", TEXT, "", "cache type of K that really ran, from the engine's log"),
    ("effective_ctv", TEXT, "", "cache type of V that really ran, from the engine's log"),
]

_OUTCOME: list[Column] = [
    ("status", TEXT, "", "measured, oom, unsupported, timeout, crashed or skipped"),
    ("reason", TEXT, "", "why the status is not 'measured', for a person; null where it is"),
]

_CACHE: list[Column] = [
    ("kv_bytes", INTEGER, "bytes", "size of the KV cache, from the engine's log"),
    ("bits_per_value_k", REAL, "bits", "bits that one value of K takes, from the logged size"),
    ("bits_per_value_v", REAL, "bits", "bits that one value of V takes, from the logged size"),
    (
        "rotated_k",
        FLAG,
        "",
        "whether K was rotated before it was quantized, from the engine's log; null where caches differ",
    ),
    (
        "rotated_v",
        FLAG,
        "",
        "whether V was rotated before it was quantized, from the engine's log; null where caches differ",
    ),
    ("graph_splits", INTEGER, "", "splits of the compute graph, from the engine's log"),
    ("kv_devices", TEXTS, "", "devices that hold layers of the KV cache, from the engine's log"),
    (
        "fallback",
        FLAG,
        "",
        "work left the device: by the engine's own log (weights, cache or compute on the host, graph splits in every "
        "layer), or beside the f16/f16 cell of the same engine, model and size; null where neither tells",
    ),
]

# Each cache of the context by itself. A model with sliding windows or an indexer has several.
_CACHES: list[Column] = [
    (
        "cache_kinds",
        TEXTS,
        "",
        "kind of each KV cache: full, window, indexer; null in it where not known; as logged",
    ),
    ("cache_layers", INTEGERS, "", "layers of each of cache_kinds"),
    ("cache_cells", INTEGERS, "tokens", "cells of each of cache_kinds, in each stream"),
    ("cache_streams", INTEGERS, "", "streams of each of cache_kinds"),
    (
        "cache_bytes",
        INTEGERS,
        "bytes",
        "size of each of cache_kinds, to the two decimals of a MiB in the log",
    ),
    ("recurrent_bytes", INTEGER, "bytes", "state of recurrent layers, as logged; no part of kv_bytes"),
    ("n_ctx_train", INTEGER, "tokens", "context that the model was trained for"),
]

_PROOFS: list[Column] = [
    ("fallback_why", TEXT, "", "what shows that work left the device; null where nothing does"),
    (
        "cache_rotated_k",
        FLAGS,
        "",
        "whether K of each of cache_kinds is rotated; null in it where not logged",
    ),
    (
        "cache_rotated_v",
        FLAGS,
        "",
        "whether V of each of cache_kinds is rotated; null in it where not logged",
    ),
]

_PROCESS: list[Column] = [
    ("wall_seconds", REAL, "s", "wall time of the cell's engine process"),
    ("peak_rss_bytes", INTEGER, "bytes", "largest resident memory of the cell's engine process"),
    ("started_at", TIME, "UTC", "when the cell's engine process was started"),
    ("source", TEXT, "", "measured, published:NAME or slice:NAME"),
]

# Null in what was measured: what is known of a printed number instead of its repetitions.
_PUBLISHED: list[Column] = [
    ("likely_engine_commit", TEXT, "", "commit that was likely run but not stated; published rows only"),
]


def _rounding(column: str, unit: str) -> Column:
    return (
        f"{column}_rounding",
        REAL,
        unit,
        f"half a unit of {column}'s last printed digit; published rows only",
    )


# Behind the columns that every reader may rely on: what the report needs to show the evidence.
_EVIDENCE: list[Column] = [
    ("log_line", TEXT, "", "the line of the engine's output that the status rests on; null where none"),
    ("command", TEXT, "", "the engine's command line, with the environment it was given"),
    ("load_before", REAL, "", "the machine's load average (1 minute) before the engine was started"),
    (
        "busy_cores_before",
        REAL,
        "cores",
        "cores that other programs kept busy in the tenth of a second before the engine was started",
    ),
    ("attempts", INTEGER, "", "how often the engine was started for this cell"),
    ("host", TEXT, "", "host or node that the cell ran on"),
    ("machine_record", TEXT, "", "row of the table of machines: what the machine was when the cell ran"),
    ("power_source", TEXT, "", "AC Power, Battery Power or UPS Power; null where the machine does not say"),
    ("low_power_mode", FLAG, "", "whether the machine saved power"),
    ("thermal_state", TEXT, "", "nominal, or what the machine limited because it was hot"),
    ("slowed_by", TEXTS, "", "what held an NVIDIA GPU's clocks down before the engine was started"),
    ("gpu_users", TEXTS, "", "other programs that used the GPU before the engine was started"),
    (
        "available_memory_bytes",
        INTEGER,
        "bytes",
        "memory that was free for a new program before the engine was started",
    ),
    ("swap_used_bytes", INTEGER, "bytes", "memory that was swapped out before the engine was started"),
    (
        "suspended_seconds",
        REAL,
        "s",
        "how long the machine slept, or the engine was stopped, while it ran; not part of wall_seconds",
    ),
]

THROUGHPUT = as_schema(
    [
        *_ENGINE_AND_MODEL,
        *_PAIR,
        ("depth", INTEGER, "tokens", "tokens in the KV cache before the timed ones"),
        ("phase", TEXT, "", "prefill (prompt processing, pp) or decode (text generation, tg)"),
        ("n_tokens", INTEGER, "tokens", "tokens that one repetition processes or generates"),
        *_OUTCOME,
        (
            "tokens_per_second",
            REAL,
            "tokens/s",
            "mean of the repetitions' rates; over rounds see the table speed",
        ),
        ("tokens_per_second_stddev", REAL, "tokens/s", "sample standard deviation over the repetitions"),
        ("samples", REALS, "tokens/s", "each repetition's rate, in order"),
        ("repetitions", INTEGER, "", "repetitions that were measured"),
        *_CACHE,
        *_PROCESS,
        *_EVIDENCE,
        (
            "drift_per_repetition",
            REAL,
            "",
            "trend of the rate over the repetitions, as a fraction of the mean",
        ),
        ("drift_stderr", REAL, "", "standard error of the trend"),
        (
            "model_buffer_bytes",
            INTEGER,
            "bytes",
            "weights on the device; without one, on the host; as logged, null where that leaves out part of the file",
        ),
        ("compute_buffer_bytes", INTEGER, "bytes", "compute buffers, likewise"),
        (
            "device_free_bytes",
            INTEGER,
            "bytes",
            "free memory of the devices before the model was loaded, as logged",
        ),
        ("machine_memory_bytes", INTEGER, "bytes", "memory of the machine that the cell ran on"),
        _rounding("tokens_per_second", "tokens/s"),
        *_PUBLISHED,
        *_CACHES,
        (
            "round",
            INTEGER,
            "",
            "round in which the cell's process ran, 1 for the first; null in published rows and older slices",
        ),
        *_PROOFS,
        *FROM,
    ]
)


def _with_interval(name: str, unit: str, meaning: str) -> list[Column]:
    return [
        (name, REAL, unit, meaning),
        (f"{name}_low", REAL, unit, "lower end of its 95 % interval; null where the tokens are too few"),
        (f"{name}_high", REAL, unit, "upper end of it"),
    ]


_STDERR = "its standard error; error_by says of what"

# A part of the scored positions of a cell: of all its windows, the tokens that were predicted at about one depth.
PART: list[Column] = [
    ("depth_from", INTEGER, "tokens", "tokens in the cache when the first token of the part was predicted"),
    ("depth_to", INTEGER, "tokens", "likewise of the last one"),
    ("depth_tokens", REAL, "tokens", "mean of that over the part"),
    ("tokens", INTEGER, "tokens", "tokens that were scored in the part, of all windows"),
    *_with_interval("kld_mean", "nats", "mean KL divergence"),
    ("kld_mean_stderr", REAL, "nats", _STDERR),
    *_with_interval("kld_median", "nats", "median KL divergence; null where fewer than 10 tokens lie beyond"),
    *_with_interval("kld_p90", "nats", "90 % of the tokens have a lower one; null likewise"),
    *_with_interval("kld_p99", "nats", "99 % of the tokens have a lower one; null likewise"),
    *_with_interval("kld_p999", "nats", "99.9 % of the tokens have a lower one; null likewise"),
    *_with_interval("top1_agreement", "fraction", "tokens whose most likely next token is f16's"),
    ("top1_agreement_stderr", REAL, "fraction", _STDERR),
    *_with_interval("ln_ppl_ratio", "", "mean of ln(PPL/PPL(f16)), paired by token"),
    ("ln_ppl_ratio_stderr", REAL, "", _STDERR),
    (
        "error_by",
        TEXT,
        "",
        "windows: Student's t over them; blocks: of a single window, of 64 neighbouring tokens, which knows nothing of "
        "other windows",
    ),
]

# How it was measured, and what only the scorer tells: from each token's record instead of printed digits.
_SCORED: list[Column] = [
    (
        "method",
        TEXT,
        "",
        "perplexity (llama.cpp's own tool) or scorer (kvsweep's); null in older slices and published rows",
    ),
    (
        "positions",
        TEXT,
        "",
        "what was scored of each window: half, or BLOCKSxTOKENS spread over it; null in older slices, published rows",
    ),
    ("scored_tokens", INTEGER, "tokens", "tokens that were scored; null by perplexity"),
    (
        "kld_block_stderr",
        REAL,
        "nats",
        "standard error of kld_mean by a bootstrap of blocks of 64 neighbouring tokens; null by perplexity",
    ),
    (
        "kld_p99_low",
        REAL,
        "nats",
        "lower end of kld_p99's 95 % interval, block bootstrap; null by perplexity, and where fewer than 10 tokens lie "
        "beyond",
    ),
    ("kld_p99_high", REAL, "nats", "upper end of it"),
    ("kld_p999_low", REAL, "nats", "lower end of kld_p999's 95 % interval, likewise"),
    ("kld_p999_high", REAL, "nats", "upper end of it"),
    (
        "depth_tokens",
        REALS,
        "tokens",
        "mean tokens in the cache for each of up to 16 parts of the scored positions; null by perplexity",
    ),
    ("kld_by_depth", REALS, "nats", "mean KL divergence of each part"),
    (
        "kld_by_depth_stderr",
        REALS,
        "nats",
        "its standard error: over windows, of a single one by a bootstrap of blocks",
    ),
    ("top1_by_depth", REALS, "fraction", "top-1 agreement of each part"),
    ("top1_by_depth_stderr", REALS, "fraction", "its standard error, likewise"),
    *(
        column
        for name, share in (("median", 50), ("p90", 90), ("p95", 95))
        for column in (
            (
                f"kld_{name}_low",
                REAL,
                "nats",
                f"lower end of the 95 % interval of the {share} % quantile, likewise",
            ),
            (f"kld_{name}_high", REAL, "nats", "upper end of it"),
        )
    ),
    (
        "by_position",
        pa.list_(pa.struct(list(as_schema(PART)))),
        "",
        "each part of depth_tokens with all that is known of it, in units of the table depth; null by perplexity",
    ),
]

QUALITY = as_schema(
    [
        *_ENGINE_AND_MODEL,
        ("corpus", TEXT, "", "name of the corpus in the configuration"),
        ("n_ctx", INTEGER, "tokens", "context: length of a window"),
        ("chunks", INTEGER, "", "windows that were scored"),
        *_PAIR,
        *_OUTCOME,
        ("ppl", REAL, "", "perplexity"),
        ("ppl_stderr", REAL, "", "standard error of the perplexity"),
        ("ppl_base", REAL, "", "perplexity of the f16/f16 baseline on the same tokens"),
        ("ln_ppl_ratio", REAL, "", "mean of ln(PPL/PPL(base)) over tokens, paired"),
        ("ln_ppl_ratio_stderr", REAL, "", "standard error of ln_ppl_ratio, with the covariance"),
        ("kld_mean", REAL, "nats", "mean KL divergence from the baseline"),
        ("kld_mean_stderr", REAL, "nats", "standard error of kld_mean, tokens taken as independent"),
        ("kld_median", REAL, "nats", "median KL divergence"),
        ("kld_p90", REAL, "nats", "90 % of the tokens have a lower KL divergence"),
        ("kld_p95", REAL, "nats", "95 % of the tokens have a lower KL divergence"),
        ("kld_p99", REAL, "nats", "99 % of the tokens have a lower KL divergence"),
        ("kld_p999", REAL, "nats", "99.9 % of the tokens have a lower KL divergence"),
        ("kld_max", REAL, "nats", "largest KL divergence of a token"),
        ("top1_agreement", REAL, "fraction", "tokens whose most likely next token is the baseline's"),
        ("top1_agreement_stderr", REAL, "fraction", "standard error of top1_agreement"),
        ("delta_p_rms", REAL, "fraction", "root mean square of the change of the true token's probability"),
        *_CACHE,
        *_PROCESS,
        *_EVIDENCE,
        ("ppl_difference", REAL, "", "PPL - PPL(base), paired"),
        ("ppl_difference_stderr", REAL, "", "standard error of ppl_difference, with the covariance"),
        ("kld_window_stderr", REAL, "nats", "standard error of kld_mean from per-window values"),
        (
            "kld_window_rounding",
            REAL,
            "nats",
            "part of kld_window_stderr that the printed precision of the running means can account for",
        ),
        ("ln_ppl_ratio_window_stderr", REAL, "", "standard error of ln_ppl_ratio from per-window values"),
        (
            "ln_ppl_ratio_window_rounding",
            REAL,
            "",
            "part of ln_ppl_ratio_window_stderr that the printed precision can account for",
        ),
        ("kld_windows", REALS, "nats", "each window's mean KL divergence, in order, from the running means"),
        _rounding("ppl", ""),
        _rounding("ppl_stderr", ""),
        _rounding("kld_mean", "nats"),
        _rounding("top1_agreement", "fraction"),
        *_PUBLISHED,
        ("window_tokens", INTEGER, "tokens", "tokens scored in each window"),
        ("ln_ppl_ratio_windows", REALS, "", "each window's mean of ln(PPL/PPL(base)), likewise"),
        (
            "top1_windows",
            INTEGERS,
            "tokens",
            "tokens of each window whose most likely next token is the baseline's; from shares that are printed to "
            "a thousandth of a percent: exact up to 100,000 scored tokens",
        ),
        *_CACHES,
        *_PROOFS,
        *_SCORED,
        *FROM,
    ]
)

# Not in TABLES: a file a cell.
TOKENS = as_schema(
    [
        *_ENGINE_AND_MODEL,
        ("corpus", TEXT, "", "name of the corpus in the configuration"),
        ("n_ctx", INTEGER, "tokens", "context: length of a window"),
        ("positions", TEXT, "", "what was scored of each window: half, or BLOCKSxTOKENS spread over it"),
        *_PAIR[:2],
        ("window", pa.int32(), "", "number of the window in the text, from 0"),
        ("depth", pa.int32(), "tokens", "tokens of the window in the cache when the token was predicted"),
        ("token", pa.int32(), "", "id of the token that the text has there"),
        ("nll_base", pa.float32(), "nats", "negative log-likelihood of the token under f16"),
        ("nll", pa.float32(), "nats", "the same under the pair"),
        ("kld", pa.float32(), "nats", "KL divergence of the pair's distribution from f16's"),
        ("delta_p", pa.float32(), "fraction", "change of the token's probability: pair less f16"),
        ("entropy_base", pa.float32(), "nats", "entropy of f16's distribution"),
        ("same_top", FLAG, "", "whether the most likely token is f16's"),
    ]
)

TASKS = as_schema(
    [
        *_ENGINE_AND_MODEL,
        ("task", TEXT, "", "name of the task in the configuration"),
        ("kind", TEXT, "", "recall, tool-call or trajectory"),
        ("n_ctx", INTEGER, "tokens", "context of the server: the longest of the task"),
        *_PAIR,
        *_OUTCOME,
        ("items", INTEGER, "", "items that were asked for"),
        ("answered", INTEGER, "", "items with a record, of an answer or of why there is none"),
        ("right", INTEGER, "", "items whose answer is right; null where an answer alone is neither"),
        ("share", REAL, "fraction", "right / items"),
        ("share_low", REAL, "fraction", "lower end of the 95 % interval of share (Wilson)"),
        ("share_high", REAL, "fraction", "upper end of the 95 % interval of share (Wilson)"),
        ("mean_score", REAL, "fraction", "mean score of the items, of which some are right in part"),
        ("chat", FLAG, "", "whether items were asked in the model's chat template"),
        ("seed", INTEGER, "", "what the items were drawn with"),
        ("items_seconds", REAL, "s", "time of all items, of every process that answered some"),
        *_CACHE,
        *_PROCESS,
        *_EVIDENCE,
        *_CACHES,
        *_PROOFS,
    ]
)

TASK_ITEMS = as_schema(
    [
        *_ENGINE_AND_MODEL,
        ("task", TEXT, "", "name of the task in the configuration"),
        ("kind", TEXT, "", "recall, tool-call or trajectory"),
        *_PAIR[:2],
        ("item", TEXT, "", "name of the item in the task: the same question with every pair"),
        ("context", INTEGER, "tokens", "room for prompt and answer"),
        ("question", TEXT, "", "kind of question"),
        (
            "place",
            REAL,
            "fraction",
            "where in the text the fact lies that is asked for; null where several do",
        ),
        ("prompt_sha256", TEXT, "", "of the prompt: where it is equal the same was asked"),
        (
            "expected",
            TEXT,
            "",
            "what is right, as JSON; null where an answer alone is neither right nor wrong",
        ),
        ("answer", TEXT, "", "what the model answered, as it is; null where it did not"),
        ("tokens", INTEGERS, "", "tokens of the answer"),
        ("stopped", TEXT, "", "why the answer ended, as the server says: eos, limit or word"),
        ("problem", TEXT, "", "why there is no answer; null where there is one"),
        ("score", REAL, "fraction", "share of what was asked for that the answer has"),
        ("right", FLAG, "", "whether the answer has all of it"),
        ("n_prompt", INTEGER, "tokens", "length of the prompt, as the server counts it"),
        ("n_answer", INTEGER, "tokens", "length of the answer"),
        ("seconds", REAL, "s", "from the request to the answer"),
        ("prompt_seconds", REAL, "s", "of them for the prompt, as the server says"),
        ("generate_seconds", REAL, "s", "of them for the answer, as the server says"),
        ("source", TEXT, "", "measured or slice:NAME"),
    ]
)

TABLES = {
    "machines": MACHINES,
    "engines": ENGINES,
    "models": MODELS,
    "throughput": THROUGHPUT,
    "quality": QUALITY,
    "tasks": TASKS,
    "task_items": TASK_ITEMS,
}

# Not in TABLES: it is made from two of them and from what was published.
CLAIMS = as_schema(
    [
        ("claim", INTEGER, "", "number of the statement"),
        ("statement", TEXT, "", "what the study says, in our words"),
        ("subject", TEXT, "", "what it is checked on: measured, published:NAME or slice:NAME"),
        (
            "verdict",
            TEXT,
            "",
            "holds, fails, or no data: cells are missing or their errors are too large to tell",
        ),
        ("value", REAL, "see unit", "the computed number that decides; null where there is none"),
        ("expected", REAL, "see unit", "what the statement makes of that number"),
        (
            "tolerance",
            REAL,
            "see unit",
            "about: how far value may be from expected; an order: its error",
        ),
        ("unit", TEXT, "", "unit of value, expected and tolerance; empty for a plain ratio"),
        ("cells", TEXTS, "", "the rows that were used"),
        (
            "note",
            TEXT,
            "",
            "every part of the statement with its number; what is missing and why; null if nothing",
        ),
        (
            "relation",
            TEXT,
            "",
            "how value must stand to expected: about, above, below or not below; null where there is no value",
        ),
        ("tolerance_reason", TEXT, "", "where the tolerance comes from"),
        *_ENGINE_AND_MODEL,
        ("corpus", TEXT, "", "corpus of the quality cells; null for a statement about speed"),
        (
            "basis",
            TEXT,
            "",
            "how far the verdict goes: on printed digits only, not decided, and what was not checked; null if in full",
        ),
    ]
)
