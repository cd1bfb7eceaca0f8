"""The columns of what was measured, and every table's schema by name.

Times are seconds, memory is bytes, shares are fractions from 0 to 1, time stamps are UTC. An absent value is null.
"""

from __future__ import annotations

from kvsweep.tables import columns
from kvsweep.tables.columns import as_schema
from kvsweep.tables.quality_schemas import QUALITY
from kvsweep.tables.set_up_schemas import ENGINES, MACHINES, MODELS

THROUGHPUT = as_schema(
    columns.ENGINE_AND_MODEL,
    columns.PAIR,
    "depth | integer | tokens | tokens in the KV cache before the timed ones",
    columns.PHASE,
    columns.OUTCOME,
    """
tokens_per_second | real | tokens/s | mean of the repetitions' rates; over rounds see the table speed
tokens_per_second_stddev | real | tokens/s | sample standard deviation over the repetitions
samples | reals | tokens/s | each repetition's rate, in order
repetitions | integer | | repetitions that were measured
""",
    columns.CACHE,
    columns.PROCESS,
    columns.EVIDENCE,
    """
drift_per_repetition | real | | trend of the rate over the repetitions, as a fraction of the mean
drift_stderr | real | | standard error of the trend
model_buffer_bytes | integer | bytes | weights on the device; without one, on the host; as logged, null where that
    leaves out part of the file
compute_buffer_bytes | integer | bytes | compute buffers, likewise
device_free_bytes | integer | bytes | free memory of the devices before the model was loaded, as logged
machine_memory_bytes | integer | bytes | memory of the machine that the cell ran on
tokens_per_second_rounding | real | tokens/s | half a unit of its last printed digit; published rows only
likely_engine_commit | text | | commit that was likely run but not stated; published rows only
""",
    columns.CACHES,
    "round | integer | | round of the cell's process, 1 for the first; null in published rows and older slices",
    columns.PROOFS,
    columns.FROM,
    columns.FAMILY,
)

TASKS = as_schema(
    columns.ENGINE_AND_MODEL,
    columns.TASK,
    "n_ctx | integer | tokens | context of the server: the longest of the task",
    columns.PAIR,
    columns.OUTCOME,
    """
items | integer | | items that were asked for
answered | integer | | items with a record, of an answer or of why there is none
right | integer | | items whose answer is right; null where an answer alone is neither
share± | real | fraction | right / items, with Wilson's interval
mean_score | real | fraction | mean score of the items, of which some are right in part
chat | flag | | whether items were asked in the model's chat template
seed | integer | | what the items were drawn with
items_seconds | real | s | time of all items, of every process that answered some
""",
    columns.CACHE,
    columns.PROCESS,
    columns.EVIDENCE,
    columns.CACHES,
    columns.PROOFS,
    columns.FROM,
    """
right_at_once | integer | | of right: after the first of several tries; exercises only
share_rounding | real | fraction | half a unit of the last printed digit of share; published rows only
sandbox | text | | what the harness and what the model wrote ran in; exercises only
harness_version | text | | of aider, as it says itself; exercises only
""",
)

TASK_ITEMS = as_schema(
    columns.ENGINE_AND_MODEL,
    columns.TASK,
    columns.ASKED_PAIR,
    """
item | text | | name of the item in the task: the same question with every pair
context | integer | tokens | room for prompt and answer
question | text | | kind of question
place | real | fraction | where in the text the fact lies that is asked for; null where several do
prompt_sha256 | text | | of the prompt: where it is equal the same was asked
expected | text | | what is right, as JSON; null where an answer alone is neither right nor wrong
answer | text | | what the model answered, as it is; null where it did not
tokens | integers | | tokens of the answer
stopped | text | | why the answer ended, as the server says: eos, limit or word
problem | text | | why there is no answer; null where there is one
score | real | fraction | share of what was asked for that the answer has
right | flag | | whether the answer has all of it
n_prompt | integer | tokens | length of the prompt, as the server counts it
n_answer | integer | tokens | length of the answer
seconds | real | s | from the request to the answer
prompt_seconds | real | s | of them for the prompt, as the server says
generate_seconds | real | s | of them for the answer, as the server says
source | text | | measured or slice:NAME
""",
    columns.FROM,
    """
passed_at | integer | | try after which the tests passed, from 1; null where none did; exercises only, as all below
malformed_edits | integer | | answers whose changes could not be applied
test_timeouts | integer | | runs of the tests that were not done after the harness's 3 minutes
requests | integer | | what the harness asked for
refused | integer | | of requests: without room in the context
cut_off | integer | | of requests: answered up to the longest answer, or to the end of the context
""",
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
