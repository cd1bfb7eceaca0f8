"""The columns of the tables that answer questions: made from the tables of ``schemas``, never from raw records.

A set-up is what must be equal for two numbers to be compared: source, engine and its commit, back end, machine, model.
No row mixes two of them, except ``comparisons``, which is about just that. A pair is written as in the configuration:
``q8_0/turbo4``, or ``q8_0`` for both. A row whose cell ran as another pair, or whose work left the device, is never
used as the pair that was asked for. Intervals hold 95 % unless the column ``interval`` says otherwise.
"""

from __future__ import annotations

import pyarrow as pa

from kvsweep.tables.columns import FLAG, INTEGER, INTEGERS, REAL, REALS, TEXT, TEXTS, Column, as_schema
from kvsweep.tables.schemas import CLAIMS, PART

_SET_UP: list[Column] = [
    ("source", TEXT, "", "measured, published:NAME or slice:NAME"),
    (
        "engine",
        TEXT,
        "",
        "name of the engine in the configuration; of published rows as its source states it",
    ),
    ("engine_commit", TEXT, "", "commit of the engine's source; null where not known"),
    ("backend", TEXT, "", "back end that the engine was built for"),
    ("machine", TEXT, "", "name of the machine"),
    ("model", TEXT, "", "name of the model"),
    ("model_sha256", TEXT, "", "sha256 of the model's GGUF file"),
]
_TEXT_SCORED: list[Column] = [
    ("corpus", TEXT, "", "corpus that was scored; null for what is about speed or memory"),
    ("n_ctx", INTEGER, "tokens", "context of the quality cells; null for what is about speed or memory"),
]
_PAIR: list[Column] = [
    ("ctk", TEXT, "", "cache type of K"),
    ("ctv", TEXT, "", "cache type of V"),
]
_TWO_PAIRS: list[Column] = [
    ("pair_a", TEXT, "", "the one pair, K/V"),
    ("pair_b", TEXT, "", "the other pair, K/V"),
]


def _ends(name: str, unit: str) -> list[Column]:
    return [
        (f"{name}_low", REAL, unit, f"lower end of the interval of {name}; null where no error is known"),
        (f"{name}_high", REAL, unit, f"upper end of the interval of {name}; null where no error is known"),
    ]


_PHASE: list[Column] = [
    ("phase", TEXT, "", "prefill or decode"),
    ("n_tokens", INTEGER, "tokens", "tokens that one repetition processes or generates"),
]

SPEED = as_schema(
    [
        *_SET_UP,
        *_PAIR,
        ("effective_ctk", TEXT, "", "cache type of K that really ran; null where not known"),
        ("effective_ctv", TEXT, "", "cache type of V that really ran; null where not known"),
        ("depth", INTEGER, "tokens", "tokens in the KV cache before the timed ones"),
        *_PHASE,
        ("status", TEXT, "", "measured if a round is, else how the first one ended"),
        ("fallback", FLAG, "", "work left the device; null where not known"),
        ("rounds", INTEGERS, "", "rounds that count, one process each; empty in published rows"),
        (
            "seconds_per_token",
            REALS,
            "s",
            "of each of these rounds: mean time of its repetitions, by the token",
        ),
        (
            "first_dropped",
            FLAG,
            "",
            "the first repetition is not counted, because it is told from the others over the run",
        ),
        (
            "tokens_per_second",
            REAL,
            "tokens/s",
            "tokens over mean time, geometric mean over rounds; of published rows as published",
        ),
        (
            "tokens_per_second_rounding",
            REAL,
            "tokens/s",
            "half a unit of the last printed digit; published rows only",
        ),
        ("tokens_per_second_low", REAL, "tokens/s", "lower end over rounds; null for one round"),
        ("tokens_per_second_high", REAL, "tokens/s", "upper end over rounds; null for one round"),
        (
            "spread_within",
            REAL,
            "fraction",
            "sample standard deviation of the repetitions within a process, of their mean time; no error of the speed",
        ),
        ("mean_rate", REAL, "tokens/s", "mean of the repetitions' rates instead of tokens over mean time"),
        (
            "means_differ",
            FLAG,
            "",
            "mean_rate and tokens_per_second differ by more than the repetitions' standard error",
        ),
        ("ratio", REAL, "", "speed as a multiple of f16/f16's at this depth, in the rounds of both"),
        ("ratio_low", REAL, "", "lower end of the ratio's interval; null for one round"),
        ("ratio_high", REAL, "", "upper end of the ratio's interval; null for one round"),
        ("ratio_interval", TEXT, "", "what the interval is made of; null where there is none"),
        ("ratio_rounds", INTEGERS, "", "rounds that the ratio is made of"),
        (
            "verdict",
            TEXT,
            "",
            "faster or slower than f16, no difference shown, or one round; null without f16 or without an error",
        ),
    ]
)

REPETITIONS = as_schema(
    [
        *_SET_UP,
        *_PHASE,
        ("depth", INTEGER, "tokens", "depth; null for all depths of the phase together"),
        ("processes", INTEGER, "", "processes with at least two repetitions"),
        ("first", REAL, "fraction", "by how much the first repetition takes longer than the others"),
        ("first_low", REAL, "fraction", "lower end of its interval, 95 % for phase and depths together"),
        ("first_high", REAL, "fraction", "upper end of its interval"),
        ("first_dropped", FLAG, "", "first repetitions are not counted here"),
        (
            "trend",
            REAL,
            "fraction",
            "by how much each repetition that is counted takes longer than the one before",
        ),
        ("trend_low", REAL, "fraction", "lower end of its interval, as of first"),
        ("trend_high", REAL, "fraction", "upper end of its interval"),
        ("drifts", FLAG, "", "the trend is told from 0; null where there are too few processes"),
    ]
)

COMPARISONS = as_schema(
    [
        *_SET_UP,
        *_TEXT_SCORED,
        *_PAIR,
        ("depth", INTEGER, "tokens", "depth of a throughput cell; null for quality"),
        ("phase", TEXT, "", "prefill or decode; null for quality"),
        ("quantity", TEXT, "", "tokens_per_second, ppl, kld_mean or top1_agreement"),
        ("unit", TEXT, "", "unit of ours and theirs; empty for a plain number"),
        ("published", TEXT, "", "the published source, published:NAME"),
        ("published_machine", TEXT, "", "its machine"),
        ("published_model", TEXT, "", "its model"),
        ("ours", REAL, "see unit", "our value; null where our status is not 'measured'"),
        ("theirs", REAL, "see unit", "the published value; null where its status is not 'measured'"),
        ("ratio", REAL, "", "ours / theirs"),
        ("ratio_low", REAL, "", "lower end of the ratio's interval; null where no error of ours is known"),
        ("ratio_high", REAL, "", "upper end of the ratio's interval; null where no error of ours is known"),
        ("interval", TEXT, "", "what the interval is made of"),
        ("our_status", TEXT, "", "how our cell ended"),
        ("their_status", TEXT, "", "how theirs ended, as published"),
        (
            "comparable",
            FLAG,
            "",
            "nothing is known to differ between the set-ups; see `unknown` for what may",
        ),
        ("differs", TEXTS, "", "what differs, each with both sides: 'machine: ours X, theirs Y'"),
        ("unknown", TEXTS, "", "what may differ, because a side does not say"),
    ]
)

HEAD_TO_HEAD = as_schema(
    [
        *_SET_UP,
        *_TEXT_SCORED,
        (
            "order",
            INTEGER,
            "",
            "place of this duel in a report: q4_0 against turbo4, then turbo3, come first",
        ),
        *_TWO_PAIRS,
        ("bits_a", REAL, "bits", "bits per value of pair_a, K and V averaged by their number of values"),
        ("bits_b", REAL, "bits", "bits per value of pair_b"),
        ("bits_from", TEXT, "", "log: both from logged sizes; types: from the types' definition"),
        (
            "quantity",
            TEXT,
            "",
            "kld_mean, kld_p999, top1_agreement, ln_ppl_ratio, prefill, decode or kv_bytes_per_token",
        ),
        ("unit", TEXT, "", "unit of value_a, value_b and difference"),
        ("better", TEXT, "", "lower or higher: which value is the better one"),
        ("depth", INTEGER, "tokens", "depth of prefill and decode; null for quality and memory"),
        ("n_tokens", INTEGER, "tokens", "tokens that one repetition processes or generates; null likewise"),
        ("value_a", REAL, "see unit", "value of pair_a"),
        ("value_b", REAL, "see unit", "value of pair_b"),
        ("difference", REAL, "see unit", "value_a - value_b"),
        ("difference_low", REAL, "see unit", "lower end of its interval; null where no error is known"),
        ("difference_high", REAL, "see unit", "upper end of its interval; null where no error is known"),
        ("ratio", REAL, "", "value_a / value_b; null where value_b is 0"),
        ("ratio_low", REAL, "", "lower end of its interval"),
        ("ratio_high", REAL, "", "upper end of its interval"),
        ("interval", TEXT, "", "what the interval is made of; null where no error is known"),
        ("ahead", TEXT, "", "the pair with the better value, whether or not the errors tell; null if equal"),
        (
            "winner",
            TEXT,
            "",
            "the pair that is better beyond the error, with q_value up to 0.05; null where that is not shown",
        ),
        (
            "verdict",
            TEXT,
            "",
            "better, no difference shown, one round, error unknown, or equal (sizes that are the same)",
        ),
        ("p_value", REAL, "", "chance of so large a difference between equals; null where no error is known"),
        (
            "q_value",
            REAL,
            "",
            "p_value as the rate of false discoveries among the duels of this set-up and quantity (Benjamini-Hochberg)",
        ),
    ]
)

PARETO = as_schema(
    [
        *_SET_UP,
        *_TEXT_SCORED,
        *_PAIR,
        (
            "depth",
            INTEGER,
            "tokens",
            "depth of decode: the configured one, else the deepest that the most pairs have",
        ),
        ("bits_per_value", REAL, "bits", "bits per value, K and V averaged by their number of values"),
        ("bits_from", TEXT, "", "log or types, as in head_to_head"),
        ("kld_mean", REAL, "nats", "mean KL divergence"),
        ("decode", REAL, "tokens/s", "decode at the depth"),
        (
            "on_front",
            FLAG,
            "",
            "no other pair is better in one and worse in none, beyond the errors; null where a value is missing",
        ),
        ("dominated_by", TEXTS, "", "pairs that are better in one of the three and worse in none"),
        ("missing", TEXTS, "", "which of the three is missing, and why"),
    ]
)

K_OR_V = as_schema(
    [
        *_SET_UP,
        *_TEXT_SCORED,
        *_PAIR,
        ("status", TEXT, "", "how the cell ended; 'not asked for' where the grid has no such cell"),
        ("reason", TEXT, "", "why kld_mean is null"),
        (
            "kld_mean",
            REAL,
            "nats",
            "mean KL divergence of this K with this V; null is a blank of the heat map",
        ),
        ("kld_mean_stderr", REAL, "nats", "its standard error"),
        ("from_k", REAL, "nats", "how much of it this K does"),
        ("from_k_stderr", REAL, "nats", "standard error of from_k"),
        ("from_v", REAL, "nats", "how much of it this V does"),
        ("from_v_stderr", REAL, "nats", "standard error of from_v"),
        (
            "share_k",
            REAL,
            "fraction",
            "from_k / (from_k + from_v); null where the two together are not told from 0, and where a side is f16",
        ),
        ("share_k_low", REAL, "fraction", "lower end of its interval"),
        ("share_k_high", REAL, "fraction", "upper end of its interval"),
        (
            "interaction",
            REAL,
            "nats",
            "kld_mean - from_k - from_v - the control's, from one-sided cells; null where there are none",
        ),
        ("interaction_stderr", REAL, "nats", "standard error of interaction"),
        ("estimator", TEXT, "", "one-sided cells or main effects; null where neither can be had"),
        *_ends("kld_mean", "nats"),
        *_ends("from_k", "nats"),
        *_ends("from_v", "nats"),
        *_ends("interaction", "nats"),
        ("residual", REAL, "nats", "the same of main effects: what the fit leaves over, no interaction"),
        ("residual_stderr", REAL, "nats", "standard error of residual"),
        *_ends("residual", "nats"),
    ]
)

CROSSOVERS = as_schema(
    [
        *_SET_UP,
        ("phase", TEXT, "", "prefill or decode"),
        ("n_tokens", INTEGER, "tokens", "tokens that one repetition processes or generates"),
        *_TWO_PAIRS,
        (
            "verdict",
            TEXT,
            "",
            "crosses, crosses within the errors, crosses, errors unknown (one round), none, or too few depths",
        ),
        (
            "number",
            INTEGER,
            "",
            "1 for the first crossing of these two, 2 for one that the data show beyond it; null where there is none",
        ),
        ("depth", REAL, "tokens", "where the two are equally fast; null where there is no crossing"),
        ("depth_low", REAL, "tokens", "lower end of the depth's interval; at least the shallowest depth"),
        ("depth_high", REAL, "tokens", "upper end of the depth's interval; at most the deepest depth"),
        ("between_low", INTEGER, "tokens", "the measured depth before the crossing"),
        ("between_high", INTEGER, "tokens", "the measured depth after the crossing"),
        (
            "ahead_before",
            TEXT,
            "",
            "the faster pair at between_low; without a crossing the faster at every depth",
        ),
        ("ahead_after", TEXT, "", "the faster pair at between_high; null without a crossing"),
        ("depths", pa.list_(INTEGER), "tokens", "depths at which both were measured"),
        ("interval", TEXT, "", "what the interval is made of; null where no error is known"),
    ]
)

MEMORY = as_schema(
    [
        *_SET_UP,
        *_PAIR,
        ("depth", INTEGER, "tokens", "depth of a throughput cell"),
        (
            "status",
            TEXT,
            "",
            "how the cell ended: what its first phase that was not measured did, else measured",
        ),
        (
            "remark",
            TEXT,
            "",
            "what sets the cell apart from its pair: ran as another, or work left the device",
        ),
        ("kv_bytes", INTEGER, "bytes", "KV cache of the larger of the cell's two tests"),
        ("kv_from", TEXT, "", "log, or computed: from the model's header and the types"),
        ("kv_bytes_per_token", REAL, "bytes", "what a token adds to the KV cache, once windows are full"),
        ("weights_bytes", INTEGER, "bytes", "weights as logged, else the size of the GGUF file"),
        (
            "compute_bytes",
            INTEGER,
            "bytes",
            "compute buffers as logged at this depth; else carried from another cell",
        ),
        (
            "compute_from",
            TEXT,
            "",
            "log; log, at other depths; the pair whose log it is; or from where on it is not known; else null",
        ),
        (
            "needed_bytes",
            INTEGER,
            "bytes",
            "weights + KV cache + recurrent state + compute buffers, as known",
        ),
        (
            "machine_memory_bytes",
            INTEGER,
            "bytes",
            "memory for the model: free on the devices as logged, else the machine's if the back end shares it",
        ),
        (
            "fits",
            FLAG,
            "",
            "needed_bytes is not more than the machine's memory; null where that is not known",
        ),
        ("surprise", TEXT, "", "'ran out although it fits' or 'ran although it does not fit'; null else"),
    ]
)

LARGEST_CONTEXT = as_schema(
    [
        *_SET_UP,
        *_PAIR,
        ("memory_bytes", INTEGER, "bytes", "memory that is there for weights, KV cache and compute buffers"),
        ("memory_is", TEXT, "", "the machine's own, or one from the configuration"),
        ("kv_bytes_per_token", REAL, "bytes", "what a token adds to the KV cache, once windows are full"),
        ("weights_bytes", INTEGER, "bytes", "weights"),
        (
            "compute_bytes",
            INTEGER,
            "bytes",
            "compute buffers at that context, along the logged sizes; null if unknown",
        ),
        (
            "largest_context",
            INTEGER,
            "tokens",
            "largest context that fits, a multiple of 256; 0 where weights do not; null where it is not known",
        ),
        ("n_ctx_train", INTEGER, "tokens", "context that the model was trained for"),
        ("deepest_measured", INTEGER, "tokens", "deepest depth at which this pair was measured"),
        (
            "shallowest_oom",
            INTEGER,
            "tokens",
            "shallowest depth at which it ran out of memory; null if it never did",
        ),
        ("note", TEXT, "", "what the number leaves out or assumes"),
        (
            "recommended_context",
            INTEGER,
            "tokens",
            "largest context that fits and that the model was trained for; null where it is not known",
        ),
    ]
)

ADVICE = as_schema(
    [
        *_SET_UP,
        ("corpus", TEXT, "", "corpus of the KL divergence"),
        ("n_ctx", INTEGER, "tokens", "context of the KL divergence: the largest that was measured"),
        ("workload", TEXT, "", "name of the workload in the configuration"),
        ("title", TEXT, "", "what the workload is, for a person"),
        ("prompt_tokens", INTEGER, "tokens", "tokens that a request adds and that are processed as prompt"),
        ("generated_tokens", INTEGER, "tokens", "tokens that a request generates"),
        ("depth", INTEGER, "tokens", "tokens in the cache before the request"),
        ("memory_bytes", INTEGER, "bytes", "memory there is; null: the machine's own, which is not known"),
        ("highest_kld", REAL, "nats", "highest acceptable mean KL divergence; null: any"),
        (
            "goal",
            TEXT,
            "",
            "what decides the rank: seconds per request, or context: the largest that is shown to run",
        ),
        (
            "rank",
            INTEGER,
            "",
            "1 is the quickest or deepest; null for a pair that is not feasible or has no data",
        ),
        (
            "verdict",
            TEXT,
            "",
            "pick: the only one that no other is told to be better than; not told from the best: one of several; "
            "feasible: another is told to be better; not feasible; no data",
        ),
        *_PAIR,
        ("why", TEXT, "", "why this pair has this place, in one sentence"),
        ("would_change", TEXT, "", "what would change the answer; of the pick only"),
        ("missing", TEXTS, "", "what was not measured and is needed to say more"),
        ("request_seconds", REAL, "s", "time of one request, from the interpolated curves"),
        ("request_seconds_low", REAL, "s", "lower end of its interval; null where no error is known"),
        ("request_seconds_high", REAL, "s", "upper end of its interval"),
        ("prefill_seconds", REAL, "s", "part of it that goes to the prompt"),
        ("decode_seconds", REAL, "s", "part of it that goes to the generated tokens"),
        ("kld_mean", REAL, "nats", "mean KL divergence of the pair"),
        ("bits_per_value", REAL, "bits", "bits per value, K and V averaged by their number of values"),
        (
            "needed_bytes",
            INTEGER,
            "bytes",
            "weights + KV cache + compute buffers at depth + prompt + generated",
        ),
        ("largest_depth", INTEGER, "tokens", "deepest depth at which the pair was measured in both phases"),
        (
            "decides",
            TEXT,
            "",
            "what would tell the best ones apart, and how long that takes; of the first one only",
        ),
        (
            "rounds",
            INTEGER,
            "",
            "rounds in which all of the request was measured; null for published numbers",
        ),
        (
            "kld_depth",
            INTEGER,
            "tokens",
            "tokens in the cache that kld_mean is of, by the scorer; null: it is of whole windows of n_ctx",
        ),
    ]
)

DEPTH = as_schema(
    [
        *_SET_UP,
        *_TEXT_SCORED,
        *_PAIR,
        ("chunks", INTEGER, "", "windows that were scored"),
        ("positions", TEXT, "", "what was scored of each window: half, or BLOCKSxTOKENS spread over it"),
        *PART,
    ]
)

AGREEMENT = as_schema(
    [
        *_SET_UP,
        *_TEXT_SCORED,
        *_PAIR,
        ("kld_perplexity", REAL, "nats", "mean KL divergence by llama-perplexity, against its file of f16"),
        ("kld_scorer", REAL, "nats", "the same by the scorer, against f16 itself"),
        ("difference", REAL, "nats", "kld_perplexity less kld_scorer"),
        ("relative", REAL, "fraction", "difference as a part of kld_scorer; null where that is 0"),
        (
            "expected_low",
            REAL,
            "nats",
            "least difference that the 16 bits of llama-perplexity's file explain",
        ),
        ("expected_high", REAL, "nats", "largest difference that they explain"),
        ("basis", TEXT, "", "what expected_low and expected_high are made of"),
        (
            "verdict",
            TEXT,
            "",
            "agrees: the difference is explained; disagrees: it is not; not comparable: why says so",
        ),
        ("why", TEXT, "", "why the two cannot be compared; null where they can"),
    ]
)

TASK_SHARES = as_schema(
    [
        *_SET_UP,
        *_PAIR,
        ("task", TEXT, "", "name of the task in the configuration"),
        ("kind", TEXT, "", "recall, tool-call or trajectory"),
        ("context", INTEGER, "tokens", "room for prompt and answer"),
        ("question", TEXT, "", "kind of question"),
        ("items", INTEGER, "", "items that were answered"),
        ("right", INTEGER, "", "answers that are right; null for a trajectory"),
        ("share", REAL, "fraction", "right / items"),
        ("share_low", REAL, "fraction", "lower end of the interval of share (Wilson)"),
        ("share_high", REAL, "fraction", "upper end of it"),
        ("compared", INTEGER, "", "items of which f16 was asked the same; null for f16 itself"),
        ("only_pair", INTEGER, "", "of compared: right with this pair and wrong with f16"),
        ("only_f16", INTEGER, "", "of compared: wrong with this pair and right with f16"),
        ("difference", REAL, "fraction", "share of compared minus f16's"),
        ("difference_low", REAL, "fraction", "lower end of the interval of difference (Agresti and Min)"),
        ("difference_high", REAL, "fraction", "upper end of it"),
        ("p_value", REAL, "", "of McNemar's exact test"),
        ("q_value", REAL, "", "the same among all comparisons of the table (Benjamini and Hochberg)"),
        (
            "detectable",
            REAL,
            "fraction",
            "difference that the test (p < 0.05) would have shown in 4 of 5 runs; 1 where it would have shown none",
        ),
        ("verdict", TEXT, "", "worse than f16, better than f16, or no difference shown; null for f16 itself"),
        ("same_tokens", REAL, "fraction", "share of f16's tokens at the same place; trajectories only"),
        ("median_first_difference", REAL, "tokens", "where the median one leaves f16's, from 0"),
        ("never_left", INTEGER, "", "trajectories that are f16's to the end"),
    ]
)

ANALYSIS: dict[str, pa.Schema] = {
    "claims": CLAIMS,
    "speed": SPEED,
    "repetitions": REPETITIONS,
    "comparisons": COMPARISONS,
    "head_to_head": HEAD_TO_HEAD,
    "pareto": PARETO,
    "k_or_v": K_OR_V,
    "crossovers": CROSSOVERS,
    "memory": MEMORY,
    "largest_context": LARGEST_CONTEXT,
    "advice": ADVICE,
    "depth": DEPTH,
    "agreement": AGREEMENT,
    "task_shares": TASK_SHARES,
}
