"""The columns of the tables that say how fast pairs are, and how they stand against each other.

A pair is written as in the configuration: ``q8_0/turbo4``, or ``q8_0`` for both.
"""

from __future__ import annotations

from kvsweep.tables.columns import ASKED_PAIR, PAIR, PHASE, SCORED, SET_UP, as_schema, ends

TWO_PAIRS = """
pair_a | text | | the one pair, K/V
pair_b | text | | the other pair, K/V
"""

SPEED = as_schema(
    SET_UP,
    PAIR,
    "depth | integer | tokens | tokens in the KV cache before the timed ones",
    PHASE,
    """
status | text | | measured if a round is, else how the first one ended
fallback | flag | | work left the device; null where not known
rounds | integers | | rounds that count, one process each; empty in published rows
seconds_per_token | reals | s | of each of these rounds: mean time of its repetitions, by the token
first_dropped | flag | | the first repetition is not counted, because it is told from the others over the run
tokens_per_second | real | tokens/s | tokens over mean time, geometric mean over rounds; of published rows as
    published
tokens_per_second_rounding | real | tokens/s | half a unit of the last printed digit; published rows only
tokens_per_second_low | real | tokens/s | lower end over rounds; null for one round
tokens_per_second_high | real | tokens/s | upper end over rounds; null for one round, and where all are equal
spread_within | real | fraction | sample standard deviation of the repetitions within a process, of their mean time;
    no error of the speed
mean_rate | real | tokens/s | mean of the repetitions' rates instead of tokens over mean time
means_differ | flag | | mean_rate and tokens_per_second differ by more than the repetitions' standard error
ratio± | real | | speed as a multiple of f16/f16's at this depth, in the rounds of both; no ends where they are a
    factor of e^20 from it or more
ratio_interval | text | | what the interval is made of; null where there is none
ratio_rounds | integers | | rounds that the ratio is made of
verdict | text | | faster or slower than f16 beyond the error and with q_value up to 0.05, no difference shown, one
    round, or error unknown: equal in several rounds to the last digit; null without f16, and of a published one
engine_family | text | | kind of llama.cpp; null where not known
p_value | real | | chance of so large a ratio between equals; null where no error is known
q_value | real | | p_value as the rate of false discoveries among the cells of this set-up and phase
    (Benjamini-Hochberg)
""",
)

REPETITIONS = as_schema(
    SET_UP,
    PHASE,
    """
depth | integer | tokens | depth; null for all depths of the phase together
processes | integer | | processes with at least two repetitions
first± | real | fraction | by how much the first repetition takes longer than the others; its interval is of 95 % for
    phase and depths together
first_dropped | flag | | first repetitions are not counted here
trend± | real | fraction | by how much each repetition that is counted takes longer than the one before;
    its interval likewise
drifts | flag | | the trend is told from 0; null where there are too few processes
""",
)

HEAD_TO_HEAD = as_schema(
    SET_UP,
    SCORED,
    "order | integer | | place of this duel in a report: q4_0 against turbo4, then turbo3, come first",
    TWO_PAIRS,
    """
bits_a | real | bits | bits per value of pair_a, K and V averaged by their number of values
bits_b | real | bits | bits per value of pair_b
bits_from | text | | log: both from logged sizes; types: from the types' definition
quantity | text | | kld_mean, kld_p999, top1_agreement, ln_ppl_ratio, prefill, decode or kv_bytes_per_token
unit | text | | unit of value_a, value_b and difference
better | text | | lower or higher: which value is the better one
depth | integer | tokens | depth of prefill and decode; null for quality and memory
n_tokens | integer | tokens | tokens that one repetition processes or generates; null likewise
value_a | real | see unit | value of pair_a
value_b | real | see unit | value of pair_b
difference± | real | see unit | value_a - value_b
ratio± | real | | value_a / value_b; null where value_b is 0
interval | text | | what the interval is made of; null where no error is known
ahead | text | | the pair with the better value, whether or not the errors tell; null if equal
winner | text | | the pair that is better beyond the error, with q_value up to 0.05; null where that is not shown
verdict | text | | better, no difference shown, one round, error unknown, or equal (sizes that are the same)
p_value | real | | chance of so large a difference between equals; null where no error is known
q_value | real | | p_value as the rate of false discoveries among the duels of this set-up and quantity
    (Benjamini-Hochberg)
""",
)

PARETO = as_schema(
    SET_UP,
    SCORED,
    ASKED_PAIR,
    """
depth | integer | tokens | depth of decode: the configured one, else the deepest that the most pairs have
bits_per_value | real | bits | bits per value, K and V averaged by their number of values
bits_from | text | | log or types, as in head_to_head
kld_mean | real | nats | mean KL divergence
decode | real | tokens/s | decode at the depth
on_front | flag | | no other pair is better in one and worse in none, beyond the errors; null where a value is missing
dominated_by | texts | | pairs that are better in one of the three and worse in none
missing | texts | | which of the three is missing, and why
""",
    ends("nats", "kld_mean"),
    ends("tokens/s", "decode"),
    """
margin | text | | by how much others have to differ from this pair to beat it or be beaten where its own errors are not
    known (a single window, one round, published); null where both are known
""",
)

K_OR_V = as_schema(
    SET_UP,
    SCORED,
    ASKED_PAIR,
    """
status | text | | how the cell ended; 'not asked for' where the grid has no such cell
reason | text | | why kld_mean is null
kld_mean | real | nats | mean KL divergence of this K with this V; null is a blank of the heat map
kld_mean_stderr | real | nats | its standard error
from_k | real | nats | how much of it this K does
from_k_stderr | real | nats | standard error of from_k
from_v | real | nats | how much of it this V does
from_v_stderr | real | nats | standard error of from_v
share_k± | real | fraction | from_k / (from_k + from_v); null where the two together are not told from 0, and where a
    side is f16
interaction | real | nats | kld_mean - from_k - from_v - the control's, from one-sided cells; null where there are
    none
interaction_stderr | real | nats | standard error of interaction
estimator | text | | one-sided cells or main effects; null where neither can be had
""",
    ends("nats", "kld_mean", "from_k", "from_v", "interaction"),
    """
residual | real | nats | the same of main effects: what the fit leaves over, no interaction
residual_stderr | real | nats | standard error of residual
""",
    ends("nats", "residual"),
)

CROSSOVERS = as_schema(
    SET_UP,
    PHASE,
    TWO_PAIRS,
    """
verdict | text | | crosses, crosses within the errors, crosses, errors unknown (one round, or rounds that are equal),
    none, or too few depths
number | integer | | 1 for the first crossing of these two, 2 for one that the data show beyond it; null where there
    is none
depth± | real | tokens | where the two are equally fast; null where there is no crossing. The interval lies between
    the shallowest and the deepest depth
between_low | integer | tokens | the measured depth before the crossing
between_high | integer | tokens | the measured depth after the crossing
ahead_before | text | | the faster pair at between_low; without a crossing the faster at every depth
ahead_after | text | | the faster pair at between_high; null without a crossing
depths | integers | tokens | depths at which both were measured
interval | text | | what the interval is made of; null where no error is known
p_value | real | | chance of so clear an order on the less clear side of the crossing between equals; null without a
    crossing, and where no error is known
q_value | real | | p_value as the rate of false discoveries among all two pairs of this set-up and phase
    (Benjamini-Hochberg)
""",
)
