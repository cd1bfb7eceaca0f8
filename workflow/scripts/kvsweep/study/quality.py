"""What of a text is scored, and by which method: checked together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kvsweep.study.complaints import ConfigError, named, shown
from kvsweep.study.input_shape import Corpus
from kvsweep.study.positions import Positions
from kvsweep.study.shape import QualityEntry
from kvsweep.units import format_count, parse_count


@dataclass(frozen=True)
class Quality:
    """How a study measures quality.

    ``chunks`` says how many windows are scored at each context (tokens), ``methods`` by which methods. ``positions`` is
    what the scorer scores of a window; llama-perplexity always scores the second half. ``reference`` is the engine
    whose f16 the pairs of all engines are compared with; None compares each engine with its own. ``models`` None
    measures all models.
    """

    chunks: dict[int, int]
    methods: dict[int, tuple[str, ...]]
    positions: dict[int, Positions]
    reference: str | None
    models: tuple[str, ...] | None

    @property
    def contexts(self) -> tuple[int, ...]:
        return tuple(self.chunks)


def quality_asked(asked: QualityEntry | None, corpora: Mapping[str, Corpus]) -> Quality | None:
    """The configuration's ``quality``; None where no context is asked for. Raises ConfigError."""
    if asked is None or not asked.contexts:
        return None
    if not corpora:
        raise ConfigError("corpora: quality.contexts needs a text to score; name at least one corpus.")
    chunks = _by_context(asked, "chunks", asked.chunks)
    methods = _by_context(asked, "method", asked.method, "perplexity")
    methods = {context: (one,) if isinstance(one, str) else one for context, one in methods.items()}
    positions = _by_context(asked, "positions", asked.positions, Positions())
    for index, context in enumerate(asked.contexts):
        # Below this a window has no scored token, or too few for the tool's closing statistics.
        if context < 16:
            raise ConfigError(f"quality.contexts.{index}: {context} is too short; use at least 16 tokens.")
        _check_scored(context, chunks[context], methods[context], positions[context])
    # llama-perplexity wants two windows even where one is scored.
    needed = max(
        context * max(chunks[context], 2 if "perplexity" in methods[context] else 1)
        for context in asked.contexts
    )
    for name, corpus in corpora.items():
        if corpus.generate is not None and corpus.generate.bytes < needed:
            raise ConfigError(
                f"corpora.{name}.generate.bytes: {corpus.generate.bytes} is too short for quality.contexts and "
                f"quality.chunks, which need {needed} (one token a byte)."
            )
    return Quality(chunks, methods, positions, asked.reference, asked.models)


def _check_scored(context: int, chunks: int, methods: Sequence[str], positions: Positions) -> None:
    scored = chunks * (context - 1 - context // 2)
    if "perplexity" in methods and scored < 100:
        raise ConfigError(
            f"quality.chunks: {chunks} windows at context {context} score {scored} tokens; "
            "llama-perplexity prints its statistics from 100 scored tokens up."
        )
    try:
        positions.ranges(context)
    except ValueError as error:
        raise ConfigError(f"quality.positions: {error}; write fewer or shorter blocks.") from None


def _by_context(asked: QualityEntry, key: str, value: Any, default: Any = None) -> dict[int, Any]:
    """The value at each of the contexts, in their order. Without a default each context has to be named.

    Raises ConfigError.
    """
    if not isinstance(value, Mapping):
        return dict.fromkeys(asked.contexts, value)
    by_context: dict[int, Any] = {}
    for name, one in value.items():
        try:
            context = parse_count(name if isinstance(name, int) else str(name))
        except ValueError:
            raise ConfigError(
                f"quality.{key}.{named(name)}: {shown(name)} is not a number of tokens."
            ) from None
        if context in by_context:
            raise ConfigError(f"quality.{key}.{named(name)}: the context {context} is named twice.")
        by_context[context] = one
    for context in asked.contexts:
        if context not in by_context and default is None:
            raise ConfigError(
                f"quality.{key}: no number of windows for context {context}; "
                "add it, or give one number for all contexts."
            )
        by_context.setdefault(context, default)
    for context in by_context:
        if context not in asked.contexts:
            names = ", ".join(map(format_count, asked.contexts))
            raise ConfigError(
                f"quality.{key}.{context}: no such context in quality.contexts, which has {names}."
            )
    return {context: by_context[context] for context in asked.contexts}
