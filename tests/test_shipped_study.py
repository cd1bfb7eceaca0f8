"""docs/study.md and README's first answer say what the shipped slices say: each number of theirs, made again."""

from __future__ import annotations

import json
import re
from functools import cache
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kvsweep.slices.archive import open_slice
from kvsweep.slices.given import read_all
from kvsweep.slices.read import read_slice
from kvsweep.statistics import student_t_quantile
from kvsweep.tables import task_scores
from kvsweep.tables.row import pair_of
from scipy.stats import binomtest, sem, t
from support import ROOT

STUDY = (ROOT / "docs" / "study.md").read_text(encoding="utf-8")
SLICES = ROOT / "examples" / "slices"
GEMMA, SMOL = "gemma-3-270m-Q4_K_M", "SmolLM2-135M-Instruct-Q4_1"
FORK, MAINLINE, UNROTATED = "fork", "mainline", "mainline-unrotated"
K = 1024


SLICE_OF = {GEMMA: "h200-gemma-3-270m-quality", SMOL: "h200-smollm2-135m-quality"}


@cache
def quality(*names: str) -> dict[tuple[str, str, int, str], dict[str, Any]]:
    """By model, engine, context and pair: of the scorer's slices, or of those named."""
    found: dict[tuple[str, str, int, str], dict[str, Any]] = {}
    for name in names or SLICE_OF.values():
        rows = read_slice(name, SLICES / f"{name}.zip", read_tables=read_all).quality
        assert {(row["status"], row["made_from"]) for row in rows} == {("measured", "raw")}
        found |= {(row["model"], row["engine"], row["n_ctx"], str(pair_of(row))): row for row in rows}
    return found


def table_below(words: str) -> list[list[str]]:
    """The lines of the first table behind these words, without its heading."""
    lines = STUDY[STUDY.index(words) :].split("\n| pair |", 1)[1].splitlines()[2:]
    table = takewhile(lambda line: line.startswith("|"), lines)
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


def is_rounded(text: str, value: float) -> bool:
    """Whether a printed number is this one, rounded to its own last digit."""
    decimals = len(text.partition(".")[2])
    return abs(float(text) - value) <= 0.5000001 / 10.0**decimals


DIVERGENCE = {
    "2K and 4K: 16 windows": [
        (GEMMA, engine, n * K) for engine in (FORK, MAINLINE) for n in (4, 8, 32)
    ],
    "| turbo2 | 2.125": [
        (SMOL, FORK, 2 * K), (SMOL, MAINLINE, 2 * K), (SMOL, MAINLINE, 8 * K),
        (SMOL, UNROTATED, 2 * K), (SMOL, UNROTATED, 8 * K),
    ],
}  # fmt: skip


@pytest.mark.parametrize("words", DIVERGENCE)
def test_mean_divergence(words: str) -> None:
    seen = 0
    for pair, bits, *values in table_below(words):
        name = re.split(r"[ ,]", pair)[0]
        for where, text in zip(DIVERGENCE[words], values, strict=True):
            row = quality().get((*where, name))
            assert (row is None) == (not text), (pair, where)
            if row is None:
                continue
            value, *error = text.split(" ± ")
            assert is_rounded(value, row["kld_mean"]), (pair, where)
            assert all(is_rounded(one, row["kld_window_stderr"]) for one in error), (pair, where)
            assert float(bits.split(" / ")[0]) == pytest.approx(row["bits_per_value_k"], abs=1e-3)
            assert float(bits.split(" / ")[1]) == pytest.approx(row["bits_per_value_v"], abs=1e-3)
            seen += 1
    assert seen >= 30


def growth(model: str, engine: str, n_ctx: int, pair: str) -> tuple[float, float, float]:
    """Divergence in the last quarter of a window by that in its first, with its 95 % interval over windows (t)."""
    k, _, v = pair.partition("/")
    with open_slice(SLICES / f"{SLICE_OF[model]}.zip") as contents:
        cell = f"scorer/{engine}/{model}/wikitext-2-raw-test/c{n_ctx}/k-{k}/v-{v or k}/sums.json"
        parts = contents.read_json(cell)["parts"]
    first = [part["kld"] for part in parts if part["depth_to"] <= n_ctx / 4]
    last = [part["kld"] for part in parts if part["depth_from"] > n_ctx * 3 / 4]
    assert len(first) == len(last) == 4
    logs = np.log(np.mean(last, axis=0) / np.mean(first, axis=0))
    half = student_t_quantile(0.975, len(logs) - 1) * float(logs.std(ddof=1)) / len(logs) ** 0.5
    middle = float(logs.mean())
    return tuple(float(np.exp(x)) for x in (middle, middle - half, middle + half))  # type: ignore[return-value]


def test_growth_with_depth() -> None:
    highest = []
    for pair, *texts in table_below("The last quarter of a window"):
        for engine, text in zip((FORK, MAINLINE), texts, strict=True):
            if text:
                said = re.findall(r"[\d.]+", text)
                found = growth(GEMMA, engine, 32 * K, pair)
                assert all(map(is_rounded, said, found)), (pair, engine, found)
                assert found[1] < 1 < found[2]
                highest.append(found[2])
    assert len(highest) == 14 and is_rounded("1.24", max(highest))


@pytest.mark.parametrize(
    ("engine", "pair", "said"),
    [
        (MAINLINE, "q4_0", ("1.09", "1.03", "1.16")),
        (UNROTATED, "q8_0/q4_0", ("1.11", "1.03", "1.20")),
        (UNROTATED, "q4_0/q8_0", ("0.92", "0.86", "0.99")),
    ],
)
def test_growth_on_the_other_model(engine: str, pair: str, said: tuple[str, str, str]) -> None:
    assert all(map(is_rounded, said, growth(SMOL, engine, 8 * K, pair)))
    assert said[0] in STUDY


def test_answers() -> None:
    """Right answers, Wilson's interval and McNemar's test, from the answers themselves."""
    with (ROOT / "tests" / "data" / "answers" / "gemma-recall.jsonl").open(encoding="utf-8") as lines:
        answers = [json.loads(line) for line in lines]
    right = {
        (one["context"], one["pair"], one["item"]): task_scores.score("recall", one) == 1 for one in answers
    }
    places = sorted({item for n_ctx, _, item in right if n_ctx == 512})
    assert len(places) == 60
    of_f16 = [right[512, "f16", place] for place in places]
    table = table_below("## What a pair does to answers")
    for pair, said_right, share, *compared in table:
        of_pair = [right[512, pair, place] for place in places]
        assert int(said_right) == sum(of_pair)
        interval = binomtest(sum(of_pair), 60).proportion_ci(method="wilson")
        assert re.findall(r"\d+", share) == [f"{100 * end:.0f}" for end in interval]
        if pair != "f16":
            lost = sum(f16 and not one for f16, one in zip(of_f16, of_pair, strict=True))
            won = sum(one and not f16 for f16, one in zip(of_f16, of_pair, strict=True))
            p = binomtest(lost, lost + won).pvalue
            assert compared == [str(lost), str(won), compared[2]]
            assert float(compared[2]) == pytest.approx(p, rel=0.05)
    assert [row[0] for row in table] == ["f16", "q8_0", "q8_0/turbo4", "q4_0", "turbo4", "turbo3"]
    assert sum(one for (n_ctx, pair, _), one in right.items() if (n_ctx, pair) == (2048, "f16")) == 5


def times(model: str, n_ctx: int, pair: str, of: str, engine: str = FORK, of_engine: str = FORK) -> float:
    rows = quality()
    return float(rows[model, engine, n_ctx, pair]["kld_mean"] / rows[model, of_engine, n_ctx, of]["kld_mean"])


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("2.3 on Gemma", (GEMMA, 4 * K, "q8_0/q4_0", "q8_0")),
        ("19.", (GEMMA, 4 * K, "q4_0/q8_0", "q8_0")),
        ("1.4 and", (SMOL, 2 * K, "q8_0/q4_0", "q8_0")),
        ("6.4.", (SMOL, 2 * K, "q4_0/q8_0", "q8_0")),
        ("1.6 times q4_0's", (GEMMA, 4 * K, "turbo4", "q4_0")),
        ("4.0 times", (GEMMA, 4 * K, "turbo3", "q4_0")),
        ("0.79", (SMOL, 2 * K, "turbo4", "q4_0")),
        ("0.83 times", (GEMMA, 4 * K, "q4_0", "q4_0", MAINLINE, FORK)),
    ],
)
def test_what_it_says(said: str, found: tuple[Any, ...]) -> None:
    assert said in STUDY and is_rounded(said.split()[0].rstrip("."), times(*found))


def test_the_scorer_beside_llama_perplexity() -> None:
    by_tool = quality("h200-gemma-3-270m-llama-perplexity")
    for pair, tool, scorer, difference in table_below("both methods scored the same 16 windows"):
        cell = (GEMMA, FORK, 4 * K, pair)
        assert is_rounded(tool, by_tool[cell]["kld_mean"]) and is_rounded(scorer, quality()[cell]["kld_mean"])
        if difference:
            share = 100 * (quality()[cell]["kld_mean"] / by_tool[cell]["kld_mean"] - 1)
            assert is_rounded(difference.removesuffix(" %"), share), share


def test_the_first_answer_of_readme() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    answer = " ".join(text[text.index("## A first answer") : text.index("## Two commands")].split())
    rows = quality()
    for said, pair in (
        ("0.0140 ± 0.0008", "q8_0/q4_0"),
        ("0.118 ± 0.007", "q4_0/q8_0"),
        ("0.205 ± 0.007", "turbo4"),
        ("0.126 ± 0.005", "q4_0"),
    ):
        windows = rows[GEMMA, FORK, 4 * K, pair]["kld_windows"]
        half_width = t.ppf(0.975, len(windows) - 1) * sem(windows)
        assert said in answer and all(map(is_rounded, said.split(" ± "), (np.mean(windows), half_width)))
    assert "1.24 times" in answer and "14 intervals (10 pairs on the fork, 4 on mainline)" in answer


def test_slices_are_small() -> None:
    assert sum(path.stat().st_size for path in Path(SLICES).glob("*.zip")) < 1e6
