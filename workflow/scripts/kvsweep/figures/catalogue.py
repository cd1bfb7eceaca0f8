"""The figures by name: which table each is drawn from, its title and caption, where it stands in the report.

Light to import: the workflow's rules take the names from here.
"""

from __future__ import annotations

from typing import NamedTuple


class Entry(NamedTuple):
    table: str
    section: str  # of the report
    title: str
    caption: str
    nothing: str  # what is said where there is nothing to draw; nothing of what only some studies ask for


_LOOK = (
    "Colour is the type of V, the marker the type of K, a solid line means both are equal; open markers were "
    "published by others, half-filled ones are pairs that ran as another pair than asked for, crosses are cells "
    "where part of the graph left the device."
)
_SPREAD = (
    "Error bars: 95 % over rounds, of one process each; without them there was one round, or they are unknown. "
    "Cells that were not measured interrupt their line."
)
_INTERVAL = (
    "Fallback cells, and pairs that are slower by more than three times, are left out. Error bars: 95 % over rounds, "
    "in each of which the two are compared. Without them there was one round: it says nothing of what changes from one "
    "process to the next."
)
_NO_SPEED = "No cell gave a {} rate."
_NO_REFERENCE = (
    "Nothing to compare: beside f16 or q8_0 no other pair was measured at the same depth, or only fallback cells and "
    "pairs that are slower by more than three times."
)

FIGURES: dict[str, Entry] = {
    "kld_by_bits": Entry(
        "quality",
        "quality",
        "KL divergence by cache size",
        "What quality the bits buy: mean KL divergence against bits per cached value, from the logged cache "
        "size (of published pairs from their types). The grey line goes by the values alone: pairs whose bars meet "
        f"may not be told apart. Error bars as in the next figure. {_LOOK}",
        "No pair has both a KL divergence and a known size.",
    ),
    "kld_by_pair": Entry(
        "quality",
        "quality",
        "KL divergence by pair",
        "Mean KL divergence of the next-token distribution from that of an f16 cache on the same tokens. "
        "Error bars: 95 %, over windows. The floor is f16 against its own stored baseline: what the method shows "
        "where nothing changed.",
        "No cell gave a KL divergence.",
    ),
    "kld_by_k_and_v": Entry(
        "k_or_v",
        "quality",
        "KL divergence by type of K and type of V",
        "Mean KL divergence, nats, of each type of K (down) with each type of V (across); the darker, the more. What "
        "was not measured is blank. Below each name stands what this type adds on its side.",
        "No set-up has the KL divergence of two pairs.",
    ),
    "top1_by_pair": Entry(
        "quality",
        "quality",
        "Top-1 agreement by pair",
        "Share of tokens at which the most likely next token is the same as with an f16 cache. Error bars: "
        "95 %, over windows, and at least that of as many independent tokens.",
        "No cell gave a top-1 agreement.",
    ),
    "kld_against_depth": Entry(
        "depth",
        "quality",
        "KL divergence by depth",
        "What a fuller cache costs: mean KL divergence from f16 against the number of tokens in the cache when a "
        "token was predicted, of the scorer's cells. Each length of window has a line of its own. A dot is a sixteenth "
        "of the scored positions of all windows; bands hold 95 %, over windows, and are cut off at three times "
        "and at a third of the mean; a single window has none. Other depths of a window are other text: pairs "
        "share it, depths do not.",
        "",
    ),
    "top1_against_depth": Entry(
        "depth",
        "quality",
        "Top-1 agreement by depth",
        "Share of tokens at which the most likely next token is f16's, against the number of tokens in the cache; "
        "lines as in the figure before; bands hold 95 %, over windows.",
        "",
    ),
    "tail_by_mean": Entry(
        "quality",
        "quality",
        "Tail of the divergence",
        "What a mean does not tell: the KL divergence that one token in a thousand exceeds, against the mean. Bars "
        "hold 95 %, over windows; without them llama-perplexity printed the figure, or "
        "the tokens are too few.",
        "",
    ),
    "right_by_context": Entry(
        "task_shares",
        "quality",
        "Right answers by context",
        "Share of right answers to the items of a task, by the length of prompt and answer together; a panel for each "
        "kind of question. Bars: 95 % (Wilson), of each pair by itself; whether a pair differs from f16 is decided "
        "item by item and stands in the table.",
        "",
    ),
    "speed_ratios": Entry(
        "speed",
        "speed",
        "Speed compared with f16",
        "Each pair's speed as a share of f16's at the same depth, taken within each round; the dot is the mean over "
        "rounds, the bar holds 95 % (Student's t of the logarithms). A bar that does not reach the line at 100 % "
        "tells that pair at that depth from f16 by itself; faster or slower among many is said in the table. Open "
        "dots come from one round, which tells nothing from f16. Fallback cells are left out.",
        "No pair was measured beside f16 at the same depth in the same round.",
    ),
    "speed_across": Entry(
        "speed",
        "speed",
        "Speed relative to each machine's own f16",
        "Where several machines or engines of one family have a model in common: each pair's speed as a share of the "
        "same machine's and engine's f16, at the deepest of the depths that most of them have. Bars hold 95 % over "
        "rounds; open marks come from one round or are as published. What else sets each two apart stands under "
        "Machines and engines.",
        "",
    ),
    "speed_by_machine": Entry(
        "speed",
        "speed",
        "Decode speed by depth on each machine",
        "The same models as above, a panel for each machine and engine, all on the same axes: each pair's decode speed "
        "as a share of the f16 of that machine and engine at the same depth. Bars hold 95 % over rounds.",
        "",
    ),
    "prefill_by_depth": Entry(
        "speed",
        "speed",
        "Prefill speed by depth",
        f"Prompt processing rate with that many tokens already in the KV cache. {_SPREAD} {_LOOK}",
        _NO_SPEED.format("prompt processing"),
    ),
    "decode_by_depth": Entry(
        "speed",
        "speed",
        "Decode speed by depth",
        f"Text generation rate with that many tokens already in the KV cache. {_SPREAD} {_LOOK}",
        _NO_SPEED.format("text generation"),
    ),
    "prefill_relative": Entry(
        "speed",
        "speed",
        "Prefill speed, compared at equal depth",
        "Difference from the prompt processing rate of f16, or of q8_0 where that ran at more depths, in "
        f"the same panel at the same depth. {_INTERVAL}",
        _NO_REFERENCE,
    ),
    "decode_relative": Entry(
        "speed",
        "speed",
        "Decode speed, compared at equal depth",
        "Difference from the text generation rate of f16, or of q8_0 where that ran at more depths, in the "
        f"same panel at the same depth. {_INTERVAL}",
        _NO_REFERENCE,
    ),
    "kld_by_decode": Entry(
        "pareto",
        "speed",
        "KL divergence by decode speed",
        "What quality costs in speed: mean KL divergence against decode at one depth, with each pair's bits per value. "
        "Right and low is better. Bars: 95 %, where an error is known. Small markers: pairs that another beats in one "
        "and equals in the others.",
        "No pair has both a KL divergence and a decode rate at a common depth.",
    ),
    "crossovers": Entry(
        "crossovers",
        "speed",
        "Where one pair overtakes another",
        "Depth at which the rates of two pairs cross, by lines fitted to all measured depths. Bars: 95 % of where it "
        "can be, as far as the errors are known. Where a bar reaches the last depth, or too many would cross by "
        "chance, no crossing is told.",
        "No pair overtakes another between measured depths.",
    ),
    "memory_by_depth": Entry(
        "memory",
        "memory",
        "KV cache by depth, and what ran",
        "Size of the KV cache, as logged, or computed from the model's header where nothing was logged. A marker is a "
        "measured cell, a cross one that ran out of memory, a bar one that was skipped. A ring marks what the model of "
        "memory does not explain.",
        "The size of the KV cache is not known for any cell.",
    ),
}
