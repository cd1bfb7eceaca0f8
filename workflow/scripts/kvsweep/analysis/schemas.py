"""The columns of the tables that answer questions: made from the measured tables, never from raw records.

No row mixes two set-ups (``tables/row.py``), except those of ``comparisons`` and ``across``, which are about just that.
A row whose cell ran as another pair, or whose work left the device, is never used as the pair that was asked for.
Intervals hold 95 % unless the column ``interval`` says otherwise.
"""

from __future__ import annotations

import pyarrow as pa

from kvsweep.analysis.pair_schemas import CROSSOVERS, HEAD_TO_HEAD, K_OR_V, PARETO, REPETITIONS, SPEED
from kvsweep.tables.columns import (
    ASKED_PAIR,
    ENGINE_AND_MODEL,
    POSITIONS,
    SCORED,
    SET_UP,
    TASK,
    as_schema,
    ends,
)
from kvsweep.tables.quality_schemas import PART
from kvsweep.tables.schemas import TABLES

CLAIMS = as_schema(
    """
claim | integer | | number of the statement
statement | text | | what the study says, in our words
subject | text | | what it is checked on: measured, published:NAME or slice:NAME
verdict | text | | holds, fails, or no data: cells are missing or their errors are too large to tell
value | real | see unit | the computed number that decides; null where there is none
expected | real | see unit | what the statement makes of that number
tolerance | real | see unit | about: how far value may be from expected; an order: its error
unit | text | | unit of value, expected and tolerance; empty for a plain ratio
cells | texts | | the rows that were used
note | text | | every part of the statement with its number; what is missing and why; null if nothing
relation | text | | how value must stand to expected: about, above, below or not below; null where there is no value
tolerance_reason | text | | where the tolerance comes from
""",
    ENGINE_AND_MODEL,
    """
corpus | text | | corpus of the quality cells; null for a statement about speed
basis | text | | how far the verdict goes: on printed digits only, not decided, and what was not checked; null if in
    full
""",
)

COMPARISONS = as_schema(
    SET_UP,
    SCORED,
    ASKED_PAIR,
    """
depth | integer | tokens | depth of a throughput cell; null for quality
phase | text | | prefill or decode; null for quality
quantity | text | | tokens_per_second, ppl, kld_mean or top1_agreement
unit | text | | unit of ours and theirs; empty for a plain number
published | text | | the published source, published:NAME
published_machine | text | | its machine
published_model | text | | its model
ours | real | see unit | our value; null where our status is not 'measured'
theirs | real | see unit | the published value; null where its status is not 'measured'
ratio± | real | | ours / theirs
interval | text | | what the interval is made of
our_status | text | | how our cell ended
their_status | text | | how theirs ended, as published
comparable | flag | | whether model, text, context, windows, the pair that ran and the family of the engine agree; null
    where nothing of them is known to differ and a side does not say all
differs | texts | | what differs, each with both sides: 'machine: ours X, theirs Y'
unknown | texts | | what may differ, because a side does not say
prevents | texts | | those of differs that have to agree
""",
)

ACROSS = as_schema(
    SET_UP,
    """
other_source | text | | the set-up that it is beside: measured, published:NAME or slice:NAME
other_engine | text | | its engine
other_engine_commit | text | | commit of its source; null where not known
other_backend | text | | its back end
other_machine | text | | its machine
other_model | text | | its name of the model
other_model_sha256 | text | | sha256 of its GGUF file
""",
    SCORED,
    ASKED_PAIR,
    """
depth | integer | tokens | depth of a throughput cell; null for quality
phase | text | | prefill or decode; null for quality
quantity | text | | speed relative to f16, kld_mean or top1_agreement
unit | text | | unit of value and other_value; empty for a plain ratio
reference | text | | which f16 the two values are from: each its own, or that of the engine of quality.reference
value | real | see unit | in this set-up
other_value | real | see unit | in the other one
ratio± | real | | value / other_value; null where the two are not comparable
interval | text | | what the interval is made of
comparable | flag | | as in the table comparisons
prevents | texts | | what has to agree and does not, each with both sides
differs | texts | | all that differs, each with both sides
unknown | texts | | what may differ, because a side does not say
""",
    ends("see unit", "value", "other_value"),
)

MEMORY = as_schema(
    SET_UP,
    ASKED_PAIR,
    """
depth | integer | tokens | depth of a throughput cell
status | text | | how the cell ended: what its first phase that was not measured did, else measured
remark | text | | what sets the cell apart from its pair: ran as another, or work left the device
kv_bytes | integer | bytes | KV cache of the larger of the cell's two tests
kv_from | text | | log, or computed: from the model's header and the types
kv_bytes_per_token | real | bytes | what a token adds to the KV cache, once windows are full
weights_bytes | integer | bytes | weights as logged, else the size of the GGUF file
compute_bytes | integer | bytes | compute buffers as logged at this depth; else carried from another cell
compute_from | text | | log; log, at other depths; the pair whose log it is; or from where on it is not known; else
    null
needed_bytes | integer | bytes | weights + KV cache + recurrent state + compute buffers, as known
machine_memory_bytes | integer | bytes | memory for the model: free on the devices as logged, else the machine's if
    the back end shares it
fits | flag | | needed_bytes is not more than the machine's memory; null where that is not known
surprise | text | | 'ran out although it fits' or 'ran although it does not fit'; null else
""",
)

BANDWIDTH = as_schema(
    SET_UP,
    ASKED_PAIR,
    """
depth_from | integer | tokens | the pair's shallowest depth
depth_to | integer | tokens | a deeper one
cache_bytes | integer | bytes | what the cache grows by between them, of which each token of decode reads all
seconds | real | s | by how much a token of decode takes longer; not above 0 where it does not
gigabytes_per_second | real | GB/s | cache_bytes over seconds; null where a token does not take longer
peak_gigabytes_per_second | real | GB/s | of the machine's memory (resources/bandwidths.csv); null where it is not known
share | real | | gigabytes_per_second over the peak
""",
    ends("s", "seconds"),
    ends("GB/s", "gigabytes_per_second"),
    """
interval | text | | what the intervals are made of, those of a time within rounds; where that of seconds reaches 0
    the rate has no upper end
""",
)

LARGEST_CONTEXT = as_schema(
    SET_UP,
    ASKED_PAIR,
    """
memory_bytes | integer | bytes | memory that is there for weights, KV cache and compute buffers
memory_is | text | | the machine's own, or one from the configuration
kv_bytes_per_token | real | bytes | what a token adds to the KV cache, once windows are full
weights_bytes | integer | bytes | weights
compute_bytes | integer | bytes | compute buffers at that context, along the logged sizes; null if unknown
largest_context | integer | tokens | largest context that fits, a multiple of 256; 0 where weights do not; null where
    it is not known
n_ctx_train | integer | tokens | context that the model was trained for
deepest_measured | integer | tokens | deepest depth at which this pair was measured
shallowest_oom | integer | tokens | shallowest depth at which it ran out of memory; null if it never did
note | text | | what the number leaves out or assumes
recommended_context | integer | tokens | largest context that fits and that the model was trained for; null where it
    is not known
""",
)

ADVICE = as_schema(
    SET_UP,
    """
corpus | text | | corpus of the KL divergence
n_ctx | integer | tokens | context of the KL divergence: the largest that was measured
workload | text | | name of the workload in the configuration
title | text | | what the workload is, for a person
prompt_tokens | integer | tokens | tokens that a request adds and that are processed as prompt
generated_tokens | integer | tokens | tokens that a request generates
depth | integer | tokens | tokens in the cache before the request
memory_bytes | integer | bytes | memory there is; null: the machine's own, which is not known
highest_kld | real | nats | highest acceptable mean KL divergence; null: any
goal | text | | what decides the rank: seconds per request, or context: the largest that is shown to run
rank | integer | | 1 is the quickest or deepest; null for a pair that is not feasible or has no data
verdict | text | | pick: the only one that no other is told to be better than; not told from the best: one of several;
    feasible: another is told to be better; not feasible; undecided: an interval holds the limit; no data
""",
    ASKED_PAIR,
    """
why | text | | why this pair has this place, in one sentence
would_change | text | | what would change the answer; of the pick only
missing | texts | | what was not measured and is needed to say more
request_seconds± | real | s | time of one request, from the interpolated curves
prefill_seconds | real | s | part of it that goes to the prompt
decode_seconds | real | s | part of it that goes to the generated tokens
kld_mean | real | nats | mean KL divergence of the pair
bits_per_value | real | bits | bits per value, K and V averaged by their number of values
needed_bytes | integer | bytes | weights + KV cache + compute buffers at depth + prompt + generated
largest_depth | integer | tokens | deepest depth at which the pair was measured in both phases
decides | text | | what would tell the best ones apart, and how long that takes; of the first one only
rounds | integer | | rounds in which all of the request was measured; null for published numbers
kld_depth | integer | tokens | tokens in the cache that kld_mean is of, by the scorer; null: it is of whole windows of
    n_ctx
least_recall | real | fraction | least acceptable share of right answers; null: any
recall± | real | fraction | share of right answers of the tasks of kind recall at depth + prompt_tokens; null where none
    was asked
""",
    ends("nats", "kld_mean"),
    ends("s", "prefill_seconds", "decode_seconds"),
)

DEPTH = as_schema(
    SET_UP,
    SCORED,
    ASKED_PAIR,
    "chunks | integer | | windows that were scored",
    POSITIONS,
    PART,
)

AGREEMENT = as_schema(
    SET_UP,
    SCORED,
    ASKED_PAIR,
    """
kld_perplexity | real | nats | mean KL divergence by llama-perplexity, against its file of f16
kld_scorer | real | nats | the same by the scorer, against f16 itself
difference | real | nats | kld_perplexity less kld_scorer
relative | real | fraction | difference as a part of kld_scorer; null where that is 0
expected_low | real | nats | least difference that the 16 bits of llama-perplexity's file explain
expected_high | real | nats | largest difference that they explain
basis | text | | what expected_low and expected_high are made of
verdict | text | | agrees: the difference is explained; disagrees: it is not; not comparable: why says so
why | text | | why the two cannot be compared; null where they can
""",
)

TASK_SHARES = as_schema(
    SET_UP,
    ASKED_PAIR,
    TASK,
    """
context | integer | tokens | room for prompt and answer
question | text | | kind of question
items | integer | | items that were answered
right | integer | | answers that are right; null for a trajectory
share± | real | fraction | right / items, with Wilson's interval
compared | integer | | items of which f16 was asked the same; null for f16 itself
only_pair | integer | | of compared: right with this pair and wrong with f16
only_f16 | integer | | of compared: wrong with this pair and right with f16
difference± | real | fraction | share of compared minus f16's, with the interval of Agresti and Min
p_value | real | | of McNemar's exact test
q_value | real | | the same among all comparisons of the table (Benjamini and Hochberg)
detectable | real | fraction | difference that the test (p < 0.05) would have shown in 4 of 5 runs; 1 where it would
    have shown none
verdict | text | | worse than f16, better than f16, or no difference shown; null for f16 itself
same_tokens | real | fraction | share of f16's tokens at the same place; trajectories only
median_first_difference | real | tokens | where the median one leaves f16's, from 0
never_left | integer | | trajectories that are f16's to the end
""",
)

ANALYSIS: dict[str, pa.Schema] = {
    "claims": CLAIMS,
    "speed": SPEED,
    "repetitions": REPETITIONS,
    "comparisons": COMPARISONS,
    "across": ACROSS,
    "head_to_head": HEAD_TO_HEAD,
    "pareto": PARETO,
    "k_or_v": K_OR_V,
    "crossovers": CROSSOVERS,
    "memory": MEMORY,
    "bandwidth": BANDWIDTH,
    "largest_context": LARGEST_CONTEXT,
    "advice": ADVICE,
    "depth": DEPTH,
    "agreement": AGREEMENT,
    "task_shares": TASK_SHARES,
}

EVERY_TABLE = (*TABLES, *ANALYSIS)
