"""The programs of llama.cpp that kvsweep runs."""

from __future__ import annotations

BENCH, PERPLEXITY, SERVER = "llama-bench", "llama-perplexity", "llama-server"
# Every engine has these, and by them it is known. It may have more programs; they change no measurement.
MEASURING = (BENCH, PERPLEXITY)
