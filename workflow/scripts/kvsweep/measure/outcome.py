"""What a cell came to, in the words in which its runner and the status say it."""

from __future__ import annotations

from kvsweep.engine.bench_output import BenchTest
from kvsweep.numbers import format_number


def speed_in_words(test: BenchTest) -> str:
    """`prefill 12,800 tokens/s`"""
    return f"{test.phase} {format_number(test.tokens_per_second, 4)} tokens/s"


def quality_in_words(kld: float, ppl: float) -> str:
    """With llama-perplexity's own digits; its own f16 is -0.000000 nats from its baseline."""
    return f"KLD {round(kld, 6) or 0.0:.6f} nats, PPL {ppl:.4f}"
