"""What is read off at a depth, from raw records: divergence between the middles of parts, and the share of right
answers between the contexts of a task, with numpy and scipy."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from typing import Any

import numpy as np
import pytest
from kvsweep.analysis.kld_at_depth import klds_at_depth
from kvsweep.analysis.recall_at_depth import recall_at_depth
from kvsweep.analysis.task_shares import task_shares
from kvsweep.slices.archive import open_slice
from kvsweep.slices.given import read_all
from kvsweep.slices.read import read_slice
from kvsweep.study.pairs import Pair
from recomputed import ends_of_part
from scipy import stats
from support import ROOT

MODEL, CORPUS = "gemma-3-270m-Q4_K_M", "wikitext-2-raw-test"
SLICE = ROOT / "examples" / "slices" / "h200-gemma-3-270m-quality.zip"


# --- divergence: of the parts around a depth ----------------------------------------------------------------


@pytest.fixture(scope="module")
def scored() -> list[dict[str, Any]]:
    return list(read_slice("here", SLICE, read_tables=read_all).quality)


def part_with_error(part: dict[str, Any]) -> tuple[float, float]:
    """Mean over windows, and the longer side of its interval."""
    means = np.array(part["kld"])
    if not means.any():  # f16 beside itself
        return 0.0, 0.0
    low, high = ends_of_part(means)
    return means.mean(), max(high - means.mean(), means.mean() - low)


@pytest.mark.parametrize("place", [0.0, 0.1, 0.5, 0.93, 1.0])
@pytest.mark.parametrize(
    ("engine", "n_ctx"), [("fork", 4096), ("fork", 8192), ("fork", 32768), ("mainline", 32768)]
)
def test_divergence_at_a_depth(engine: str, n_ctx: int, place: float, scored: list[dict[str, Any]]) -> None:
    cells = {
        Pair(row["ctk"], row["ctv"]): [row]
        for row in scored
        if (row["engine"], row["n_ctx"]) == (engine, n_ctx)
    }
    assert len(cells) >= 4
    with open_slice(SLICE) as contents:
        for pair in cells:
            name = f"scorer/{engine}/{MODEL}/{CORPUS}/c{n_ctx}/k-{pair.ctk}/v-{pair.ctv}/sums.json"
            parts = contents.read_json(name)["parts"]
            middles = [(part["depth_from"] + part["depth_to"]) / 2 for part in parts]
            depth = middles[0] + place * (middles[-1] - middles[0])
            value = klds_at_depth(cells, depth)[pair]
            means, halves = zip(*map(part_with_error, parts), strict=True)
            assert value.value == pytest.approx(np.interp(depth, middles, means))
            assert value.half == pytest.approx(np.interp(depth, middles, halves))
            assert not klds_at_depth(cells, middles[0] - 1) and not klds_at_depth(cells, middles[-1] + 1)


# --- right answers: of what was really asked ----------------------------------------------------------------

OF = {
    **{"source": "measured", "engine": "fork", "engine_commit": None, "backend": "cuda", "machine": "H200"},
    **{"model": MODEL, "model_sha256": None, "task": "recall", "kind": "recall"},
}


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())


@pytest.fixture(scope="module")
def answers() -> list[dict[str, Any]]:
    """Answers of a model that continued a sentence: right where it goes on with what was asked for."""
    found = []
    with (ROOT / "tests" / "data" / "answers" / "gemma-recall.jsonl").open(encoding="utf-8") as lines:
        for one in map(json.loads, lines):
            ctk, _, ctv = one["pair"].partition("/")
            (wanted,) = map(words, one["expected"])
            right = words(one["answer"])[: len(wanted)] == wanted
            prompt = one["item"]  # of every pair the same was asked
            found.append(OF | one | {"ctk": ctk, "ctv": ctv or ctk, "right": right, "prompt_sha256": prompt})
    return found


@pytest.fixture(scope="module")
def shares(answers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    pairs = dict.fromkeys((one["ctk"], one["ctv"]) for one in answers)
    cells = [
        OF
        | {
            "ctk": k,
            "ctv": v,
            "effective_ctk": k,
            "effective_ctv": v,
            "status": "measured",
            "fallback": False,
        }
        for k, v in pairs
    ]
    return task_shares(cells, answers)


def test_the_answers_beside_f16s(answers: list[dict[str, Any]], shares: list[dict[str, Any]]) -> None:
    right: dict[Any, dict[str, bool]] = defaultdict(dict)
    for one in answers:
        # An item of another context is another item.
        right[one["context"], one["ctk"], one["ctv"]][one["item"]] = one["right"]
    assert len(shares) == len(right) == 12
    p = {}
    for row in shares:
        key = row["context"], row["ctk"], row["ctv"]
        own, base = (list(right[of].values()) for of in (key, (row["context"], "f16", "f16")))
        assert (row["items"], row["right"]) == (60, sum(own))
        low, high = stats.binomtest(sum(own), 60).proportion_ci(method="wilson")
        assert (row["share"], row["share_low"], row["share_high"]) == pytest.approx(
            (sum(own) / 60, low, high)
        )
        if key[1:] == ("f16", "f16"):
            assert row["compared"] is row["verdict"] is None
            continue
        table = np.histogram2d(own, base, bins=2, range=[[0, 1], [0, 1]])[0]
        assert (row["compared"], row["only_pair"], row["only_f16"]) == (60, table[1, 0], table[0, 1])
        # Agresti and Min: Wald's interval with half an item more in each of the four.
        more = (table + 0.5) / 62
        middle, off = more[1, 0] - more[0, 1], more[1, 0] + more[0, 1]
        half = stats.norm.ppf(0.975) * np.sqrt((off - middle**2) / 62)
        ends = row["difference_low"], row["difference_high"]
        assert ends == pytest.approx((max(middle - half, -1), min(middle + half, 1)))
        one_sided = int(table[1, 0] + table[0, 1])
        p[key] = stats.binomtest(int(table[1, 0]), one_sided).pvalue if one_sided else 1.0
        assert row["p_value"] == pytest.approx(p[key])
    q = dict(zip(p, stats.false_discovery_control(list(p.values())), strict=True))
    for row in shares:
        if (key := (row["context"], row["ctk"], row["ctv"])) in q:
            assert row["q_value"] == pytest.approx(q[key])
            told = "worse than f16" if row["difference"] < 0 else "better than f16"
            assert row["verdict"] == (told if q[key] < 0.05 else "no difference shown")


@pytest.mark.parametrize("depth", [512, 700, 1280, 2048])
def test_recall_at_a_depth(depth: int, shares: list[dict[str, Any]], answers: list[dict[str, Any]]) -> None:
    for ctk, ctv in dict.fromkeys((row["ctk"], row["ctv"]) for row in shares):
        own = [row for row in shares if (row["ctk"], row["ctv"]) == (ctk, ctv)]
        found = recall_at_depth(own, depth)
        ends = []
        for n_ctx in (512, 2048):
            right = sum(one["right"] for one in answers
                        if (one["context"], one["ctk"], one["ctv"]) == (n_ctx, ctk, ctv))  # fmt: skip
            ends.append((right / 60, *stats.binomtest(right, 60).proportion_ci(method="wilson")))
        assert found == pytest.approx(
            (*(np.interp(depth, (512, 2048), two) for two in zip(*ends, strict=True)), 60)
        )
        assert recall_at_depth(own, 511) is None and recall_at_depth(own, 2049) is None
