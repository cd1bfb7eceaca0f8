"""More command-line arguments of an engine, for all that it runs or for one pair, from the configuration.

They are handed to the engine as they are, one by one and never through a shell, before kvsweep's own. An option that
kvsweep sets itself, or that reads or writes another file than the measured ones, is refused: the record would say what
did not run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from kvsweep.addresses import names_a_secret
from kvsweep.study.programs import BENCH, PERPLEXITY

_OPTION = re.compile(r"-{1,2}[A-Za-z]")
# As the two programs of llama.cpp and of ik_llama.cpp spell them.
_OWN = frozenset(
    """
    -m --model -mu --model-url -hf -hfr --hf-repo -hff --hf-file -hft --hf-token -dr --docker-repo -md --model-draft
    -f --file -bf --binary-file -p --prompt --n-prompt -n --n-gen --predict --n-predict -pg -d --n-depth
    -c --ctx-size -b --batch-size -ub --ubatch-size -ngl --gpu-layers --n-gpu-layers -fa --flash-attn
    -ctk --cache-type-k -ctv --cache-type-v -r --repetitions -t --threads
    -o --output -oe --output-err -v --verbose --log-verbose -lv --verbosity --log-verbosity --progress
    --log-file --log-disable --chunks --kl-divergence --kl-divergence-base --save-all-logits --all-logits
    --ppl-stride --ppl-output-type --hellaswag --winogrande --multiple-choice -np --parallel
    -h --help --usage --version --list-devices --completion-bash --license
    """.split()
)


class Arguments(NamedTuple):
    """More arguments for llama-bench and for llama-perplexity."""

    bench: tuple[str, ...] = ()
    perplexity: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, list[str]]:
        """The arguments by program. A program without any is left out."""
        found = {BENCH: list(self.bench), PERPLEXITY: list(self.perplexity)}
        return {program: given for program, given in found.items() if given}

    def __str__(self) -> str:
        if self.bench == self.perplexity:
            return " ".join(self.bench)
        return "; ".join(f"{program} {' '.join(given)}" for program, given in self.as_dict().items())


def arguments_of(given: Mapping[str, Sequence[str]] | None) -> Arguments:
    """The arguments that ``as_dict`` wrote down."""
    given = given or {}
    return Arguments(tuple(given.get(BENCH, ())), tuple(given.get(PERPLEXITY, ())))


def problem_with(items: Sequence[str]) -> str | None:
    """What is wrong with a list of arguments, as part of a sentence; None if nothing is."""
    if items and not _OPTION.match(items[0]):
        return f"{items[0]!r} is no option; the first argument is one, such as --kv-tail-tokens"
    for item in items:
        if not item or not item.isprintable():
            return f"{item!r} is no argument; write text without control characters"
        # llama.cpp takes --cache_type_k for --cache-type-k.
        name = item.partition("=")[0]
        if name.replace("_", "-") in _OWN:
            return f"{name!r} is kvsweep's own to set; remove it"
        # Or the name of a header.
        name = name if _OPTION.match(name) else item.partition(":")[0]
        if (":" in item or _OPTION.match(name)) and names_a_secret(name):
            return f"{name!r} looks like a secret, which would end up in the results; remove it"
    return None
