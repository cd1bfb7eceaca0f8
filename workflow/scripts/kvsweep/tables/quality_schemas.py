"""The columns of the table of quality, of its parts by depth, and of the scorer's tokens."""

from __future__ import annotations

import pyarrow as pa

from kvsweep.tables import columns
from kvsweep.tables.columns import as_schema, ends, field

# A part of the scored positions of a cell: of all its windows, the tokens that were predicted at about one depth.
PART = """
depth_from | integer | tokens | tokens in the cache when the first token of the part was predicted
depth_to | integer | tokens | likewise of the last one
depth_tokens | real | tokens | mean of that over the part
tokens | integer | tokens | tokens that were scored in the part, of all windows
kld_mean± | real | nats | mean KL divergence
kld_mean_stderr | real | nats | its standard error; error_by says of what
kld_median± | real | nats | median KL divergence; null where fewer than 10 tokens lie beyond
kld_p90± | real | nats | 90 % of the tokens have a lower one; null likewise
kld_p99± | real | nats | 99 % of the tokens have a lower one; null likewise
kld_p999± | real | nats | 99.9 % of the tokens have a lower one; null likewise
top1_agreement± | real | fraction | tokens whose most likely next token is f16's
top1_agreement_stderr | real | fraction | its standard error; error_by says of what
ln_ppl_ratio± | real | | mean of ln(PPL/PPL(f16)), paired by token
ln_ppl_ratio_stderr | real | | its standard error; error_by says of what
error_by | text | | windows: Student's t over them; blocks: of a single window, of 64 neighbouring tokens, which knows
    nothing of other windows
"""

PRINTED = """
ppl | real | | perplexity
ppl_stderr | real | | standard error of the perplexity, tokens taken as independent
ppl_base | real | | perplexity of the f16/f16 baseline on the same tokens
ln_ppl_ratio | real | | mean of ln(PPL/PPL(base)) over tokens, paired
ln_ppl_ratio_stderr | real | | standard error of ln_ppl_ratio, with the covariance, tokens taken as independent; where
    ln_ppl_ratio_windows is known nothing rests on it
kld_mean | real | nats | mean KL divergence from the baseline
kld_mean_stderr | real | nats | standard error of kld_mean, tokens taken as independent: as the engine prints it;
    windows tell 1.1 to 5 times as much, and where kld_windows is known nothing rests on it, but where all are equal
kld_median | real | nats | median KL divergence
kld_p90 | real | nats | 90 % of the tokens have a lower KL divergence
kld_p95 | real | nats | 95 % of the tokens have a lower KL divergence
kld_p99 | real | nats | 99 % of the tokens have a lower KL divergence
kld_p999 | real | nats | 99.9 % of the tokens have a lower KL divergence
kld_max | real | nats | largest KL divergence of a token
top1_agreement | real | fraction | tokens whose most likely next token is the baseline's
top1_agreement_stderr | real | fraction | standard error of top1_agreement, tokens taken as independent: as the engine
    prints it; windows tell 1.0 to 1.8 times as much, and where top1_windows is known nothing rests on it
delta_p_rms | real | fraction | root mean square of the change of the true token's probability
"""

_WINDOWS = """
ppl_difference | real | | PPL - PPL(base), paired
ppl_difference_stderr | real | | standard error of ppl_difference, with the covariance, tokens taken as independent
kld_window_stderr | real | nats | standard error of kld_mean from per-window values
kld_window_rounding | real | nats | part of kld_window_stderr that the printed precision of the running means can
    account for
ln_ppl_ratio_window_stderr | real | | standard error of ln_ppl_ratio from per-window values
ln_ppl_ratio_window_rounding | real | | part of ln_ppl_ratio_window_stderr that the printed precision can account for
kld_windows | reals | nats | each window's mean KL divergence, in order, from the running means
ppl_rounding | real | | half a unit of ppl's last printed digit; published rows only
ppl_stderr_rounding | real | | half a unit of ppl_stderr's last printed digit; published rows only
kld_mean_rounding | real | nats | half a unit of kld_mean's last printed digit; published rows only
top1_agreement_rounding | real | fraction | half a unit of top1_agreement's last printed digit; published rows only
likely_engine_commit | text | | commit that was likely run but not stated; published rows only
window_tokens | integer | tokens | tokens scored in each window
ln_ppl_ratio_windows | reals | | each window's mean of ln(PPL/PPL(base)), likewise
top1_windows | integers | tokens | tokens of each window whose most likely next token is the baseline's; from shares
    that are printed to a thousandth of a percent: exact up to 100,000 scored tokens
"""

# How it was measured, and what only the scorer tells: from each token's record instead of printed digits.
_SCORER = f"""
method | text | | perplexity (llama.cpp's own tool) or scorer (kvsweep's); null in older slices and published rows
{columns.POSITIONS}
scored_tokens | integer | tokens | tokens that were scored; null by perplexity
kld_block_stderr | real | nats | standard error of kld_mean from blocks of 64 neighbouring tokens; null
    by perplexity
{ends("nats", "kld_p99", "kld_p999")}
depth_tokens | reals | tokens | mean tokens in the cache for each of up to 16 parts of the scored positions; null by
    perplexity
kld_by_depth | reals | nats | mean KL divergence of each part
kld_by_depth_stderr | reals | nats | its standard error: over windows, of a single one from blocks
top1_by_depth | reals | fraction | top-1 agreement of each part
top1_by_depth_stderr | reals | fraction | its standard error, likewise
{ends("nats", "kld_median", "kld_p90", "kld_p95")}
"""

QUALITY = as_schema(
    columns.ENGINE_AND_MODEL,
    columns.SCORED,
    "chunks | integer | | windows that were scored",
    columns.PAIR,
    columns.OUTCOME,
    PRINTED,
    columns.CACHE,
    columns.PROCESS,
    columns.EVIDENCE,
    _WINDOWS,
    columns.CACHES,
    columns.PROOFS,
    _SCORER,
    field(
        "by_position",
        pa.list_(pa.struct(list(as_schema(PART)))),
        "",
        "each part of depth_tokens with all that is known of it, in units of the table depth; null by perplexity",
    ),
    columns.FROM,
    columns.FAMILY,
    """
corpus_sha256 | text | | sha256 of the text that was scored; null where not known
reference | text | | engine whose f16 the divergence is from: the cell's own or the one of quality.reference; null where
    not known
reference_commit | text | | commit of that engine's source, where it is another than the cell's own
""",
)

# A file a cell.
TOKENS = as_schema(
    columns.ENGINE_AND_MODEL,
    columns.SCORED,
    columns.POSITIONS,
    columns.ASKED_PAIR,
    """
window | integer32 | | number of the window in the text, from 0
depth | integer32 | tokens | tokens of the window in the cache when the token was predicted
token | integer32 | | id of the token that the text has there
nll_base | real32 | nats | negative log-likelihood of the token under f16
nll | real32 | nats | the same under the pair
kld | real32 | nats | KL divergence of the pair's distribution from f16's
delta_p | real32 | fraction | change of the token's probability: pair less f16
entropy_base | real32 | nats | entropy of f16's distribution
same_top | flag | | whether the most likely token is f16's
""",
)
