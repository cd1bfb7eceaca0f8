"""The table of shares beside f16, recomputed from items with numpy and scipy, without kvsweep's functions."""

from collections import defaultdict
from typing import Any

import numpy as np
import pytest
from kvsweep.analysis.task_shares import task_shares
from scipy import stats

OF = {
    **{"source": "measured", "engine": "e", "engine_commit": None, "backend": "cpu", "machine": "here"},
    **{"model": "m", "model_sha256": "0", "task": "r", "kind": "recall"},
}
# How often each pair is right where f16 is, and where f16 is not.
PAIRS = {"f16": (1.0, 0.0), "q8_0": (0.97, 0.1), "q5_1": (0.9, 0.3), "q4_0": (0.6, 0.2)}
PLACES = [(context, question) for context in (1024, 4096) for question in ("one", "chain")]
N = 60


@pytest.fixture(scope="module")
def items() -> list[dict[str, Any]]:
    draw = np.random.default_rng(18)
    found = []
    for context, question in PLACES:
        base = draw.random(N) < 0.7
        for pair, (kept, won) in PAIRS.items():
            right = draw.random(N) < np.where(base, kept, won)
            found += [
                OF
                | {"ctk": pair, "ctv": pair, "context": context, "question": question, "item": f"{at}"}
                # Of one item of a pair the prompt was another: it is counted, and not compared.
                | {"prompt_sha256": "other" if (pair, at) == ("q4_0", 0) else f"{at}", "right": bool(one)}
                for at, one in enumerate(right)
            ]
    return found


def test_every_share_and_every_comparison(items: list[dict[str, Any]]) -> None:
    ran = {"status": "measured", "fallback": False}
    cells = [
        OF | ran | {"ctk": pair, "ctv": pair, "effective_ctk": pair, "effective_ctv": pair} for pair in PAIRS
    ]
    found = {(row["context"], row["question"], row["ctk"]): row for row in task_shares(cells, items)}
    assert len(found) == len(PLACES) * len(PAIRS)
    right: dict[Any, dict[str, bool]] = defaultdict(dict)
    for item in items:
        right[item["context"], item["question"], item["ctk"]][item["item"]] = item["right"]
    p = {}
    for (*place, pair), row in found.items():
        own, base = right[(*place, pair)], right[(*place, "f16")]
        share = stats.binomtest(sum(own.values()), N)
        wilson = share.proportion_ci(method="wilson")
        assert (row["right"], row["items"]) == (sum(own.values()), N)
        assert (row["share"], row["share_low"], row["share_high"]) == pytest.approx(
            (share.statistic, wilson.low, wilson.high), abs=1e-12
        )
        if pair == "f16":
            assert row["p_value"] is None
            continue
        both = [at for at in own if not (pair == "q4_0" and at == "0")]
        one = sum(own[at] and not base[at] for at in both)
        other = sum(base[at] and not own[at] for at in both)
        assert (row["compared"], row["only_pair"], row["only_f16"]) == (len(both), one, other)
        assert row["difference"] == pytest.approx(
            np.mean([own[at] for at in both]) - np.mean([base[at] for at in both]), abs=1e-12
        )
        p[(*place, pair)] = stats.binomtest(one, one + other, 0.5).pvalue if one + other else 1.0
        assert row["p_value"] == pytest.approx(p[(*place, pair)], rel=1e-10)
    q = dict(zip(p, stats.false_discovery_control(list(p.values())), strict=True))
    verdicts = set()
    for key, row in found.items():
        if key in q:
            assert row["q_value"] == pytest.approx(q[key], rel=1e-10)
            verdict = "worse than f16" if row["difference"] < 0 else "better than f16"
            assert row["verdict"] == (verdict if q[key] < 0.05 else "no difference shown")
            verdicts.add(row["verdict"])
    assert verdicts == {"worse than f16", "no difference shown"}
