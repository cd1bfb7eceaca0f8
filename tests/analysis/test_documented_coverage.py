"""What docs/analysis.md says of how often intervals of divergence by depth hold the truth, drawn again in part."""

from __future__ import annotations

import re

import numpy as np
import pytest
from scored_cell import mean_of
from support import ROOT

DOCUMENTED = (ROOT / "docs" / "analysis.md").read_text(encoding="utf-8")
DRAWS, OF_THE_DOCUMENT = 400, 600


def documented() -> dict[tuple[int, int], float]:
    """By windows and tokens of each the share that is said to be held, of drawn texts with rare spikes."""
    (table,) = re.findall(
        r"^\| windows \| of (\d+) tokens each \| of (\d+) tokens each \|\n\|[-|]*\n((?:\|.*\n)+)",
        DOCUMENTED,
        re.M,
    )
    *spans, lines = table
    found: dict[tuple[int, int], float] = {}
    for line in lines.splitlines():
        windows, *shares = re.findall(r"\d+", line)
        found |= {
            (int(windows), int(span)): int(share) / 100 for span, share in zip(spans, shares, strict=True)
        }
    return found


@pytest.fixture(scope="module")
def kld() -> np.ndarray:
    """As ``benchmarks/scored_coverage.py`` draws it: in one token of a thousand half of the divergence."""
    random = np.random.default_rng(2)
    spikes = random.random((2000, 512)) < 1e-3
    return random.exponential(1e-3, spikes.shape) * np.where(spikes, 1000, 1)


@pytest.mark.parametrize(("windows", "tokens"), documented())
def test_rare_spikes_are_held_as_often_as_said(windows: int, tokens: int, kld: np.ndarray) -> None:
    random, held = np.random.default_rng(1), 0
    for _ in range(DRAWS):
        begin = random.integers(0, kld.shape[1] - tokens + 1)
        part = kld[:, begin : begin + tokens]
        found = mean_of(part[random.permutation(len(kld))[:windows]], positive=True)
        assert found.low is not None and found.high is not None
        held += found.low <= part.mean() <= found.high
    said = documented()[windows, tokens]
    spread = np.sqrt(max(said * (1 - said), 0.02) * (1 / DRAWS + 1 / OF_THE_DOCUMENT))
    assert held / DRAWS == pytest.approx(said, abs=3 * spread + 0.005)


def test_every_row_of_the_table_is_tried() -> None:
    assert set(documented()) == {(windows, tokens) for windows in (2, 4, 8, 16) for tokens in (512, 32)}
