"""What a longer context is worth on the same tokens, from the baseline files of llama-perplexity.

llama-perplexity scores the second half of each window, so its perplexities at two context lengths are over different
tokens. This program reads the files that `--kl-divergence-base` wrote at several context lengths over one corpus, and
compares perplexities over the tokens that all of them scored.
"""

import argparse
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

MAGIC = b"_logits_"


@dataclass(frozen=True)
class Baseline:
    """Which tokens a run scored, and how well."""

    n_ctx: int
    tokens: NDArray[np.int32]
    log_probability: NDArray[np.float64]  # of each token in nats; NaN where it was not scored

    def perplexity(self, selected: NDArray[np.bool_]) -> tuple[float, float]:
        """Perplexity over the selected tokens, and its standard error."""
        nll = -self.log_probability[: len(selected)][selected]
        value = math.exp(nll.mean())
        return value, value * float(nll.std(ddof=1)) / math.sqrt(len(nll))

    @property
    def scored(self) -> NDArray[np.bool_]:
        return ~np.isnan(self.log_probability)


def read_baseline(path: Path) -> Baseline:
    """Read a baseline file, of which only the probability of the token that really came is kept."""
    with path.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            raise ValueError(f"{path} is no baseline file")
        n_ctx, n_vocab, n_chunk = (int(n) for n in np.fromfile(file, np.int32, 3))
        tokens = np.fromfile(file, np.int32, n_chunk * n_ctx)
        start = file.tell()
    first = n_ctx // 2
    rows_per_chunk = n_ctx - 1 - first
    row_words = 2 * ((n_vocab + 1) // 2) + 4
    expected_bytes = start + 2 * n_chunk * rows_per_chunk * row_words
    if path.stat().st_size != expected_bytes:
        raise ValueError(
            f"{path} has {path.stat().st_size} bytes instead of {expected_bytes}: its run did not finish"
        )
    rows = np.memmap(path, np.uint16, "r", offset=start, shape=(n_chunk, rows_per_chunk, row_words))
    # A row holds the scale and the minimum as 32-bit floats, then one 16-bit step count for each vocabulary entry.
    scale_and_minimum = np.ascontiguousarray(rows[:, :, :4]).view(np.float32).astype(np.float64)
    followed = tokens.reshape(n_chunk, n_ctx)[:, first + 1 :]
    steps = np.take_along_axis(rows[:, :, 4:], followed[:, :, None], axis=2)[:, :, 0]
    log_probability = np.full((n_chunk, n_ctx), np.nan)
    log_probability[:, first + 1 :] = scale_and_minimum[:, :, 0] * steps + scale_and_minimum[:, :, 1]
    return Baseline(n_ctx, tokens, log_probability.ravel())


def compare(baselines: list[Baseline]) -> list[str]:
    """One line for each baseline: perplexity over its own tokens and over those that all have in common."""
    length = min(len(baseline.tokens) for baseline in baselines)
    if any(
        not np.array_equal(baseline.tokens[:length], baselines[0].tokens[:length]) for baseline in baselines
    ):
        raise ValueError("the baselines are of different corpora")
    common = np.logical_and.reduce([baseline.scored[:length] for baseline in baselines])
    lines = [f"{'context':>8} {'tokens':>8} {'PPL':>8} {'+/-':>8}   {'common':>8} {'PPL':>8} {'+/-':>8}"]
    for baseline in baselines:
        own, own_error = baseline.perplexity(baseline.scored)
        shared, shared_error = baseline.perplexity(common)
        lines.append(
            f"{baseline.n_ctx:8d} {int(baseline.scored.sum()):8d} {own:8.4f} {own_error:8.4f}"
            f"   {int(common.sum()):8d} {shared:8.4f} {shared_error:8.4f}"
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "baseline", type=Path, nargs="+", help="files written by llama-perplexity --kl-divergence-base"
    )
    arguments = parser.parse_args()
    print("\n".join(compare([read_baseline(path) for path in arguments.baseline])))


if __name__ == "__main__":
    main()
