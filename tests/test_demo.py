"""The end-to-end test: examples/quick.yaml on the real engine, then its tables against the raw files, number by number.

The raw files are read here in another way than kvsweep reads them: plain JSON and plain searches.
"""

from __future__ import annotations

import json
import math
import re
import zipfile
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from scipy import stats
from support import run_in_checkout, run_make

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("demo")]

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "results"
DEMO = yaml.safe_load((ROOT / "examples" / "quick.yaml").read_text())
N_PAIRS, N_DEPTHS, N_ROUNDS, N_CONTEXTS = (
    len(DEMO["pairs"]),
    len(DEMO["throughput"]["depths"]),
    DEMO["throughput"]["rounds"],
    len(DEMO["quality"]["contexts"]),
)


def measured(table: str) -> pd.DataFrame:
    """The demo's own rows: what others published stands in the same tables."""
    rows = pd.read_parquet(RESULTS / "tables" / f"{table}.parquet")
    return rows[rows.source == "measured"]


@pytest.fixture(scope="module")
def throughput() -> pd.DataFrame:
    return measured("throughput")


@pytest.fixture(scope="module")
def quality() -> pd.DataFrame:
    return measured("quality")


def raw_directory(row: Any, kind: str) -> Path:
    place = f"{row.corpus}/c{row.n_ctx}" if kind == "quality" else f"d{row.depth}"
    if kind == "throughput" and row.round > 1:
        place = f"round-{row.round}/{place}"
    return RESULTS.joinpath(kind, row.engine, row.model, place, f"k-{row.ctk}", f"v-{row.ctv}")


def test_the_demo_ends_by_saying_where_the_report_is(demo: str) -> None:
    report = RESULTS / "report.html"
    assert report.is_file()
    assert demo.splitlines()[-1] == f"The report: {report}"


def test_a_second_demo_does_nothing() -> None:
    before = {path: path.stat().st_mtime_ns for path in RESULTS.rglob("*") if path.is_file()}
    again = run_make("run", "CONFIG=examples/quick.yaml")
    assert "Nothing to be done" in again.stdout + again.stderr
    assert before == {path: path.stat().st_mtime_ns for path in RESULTS.rglob("*") if path.is_file()}


def test_every_cell_has_its_rows(throughput: pd.DataFrame, quality: pd.DataFrame) -> None:
    assert len(throughput) == 2 * N_PAIRS * N_DEPTHS * N_ROUNDS
    assert len(quality) == N_PAIRS * N_CONTEXTS
    assert set(throughput.status) == set(quality.status) == {"measured"}


def test_speeds_are_what_llama_bench_printed(throughput: pd.DataFrame) -> None:
    for row in throughput.itertuples():
        lines = (raw_directory(row, "throughput") / "bench.jsonl").read_text().splitlines()
        wanted = "n_prompt" if row.phase == "prefill" else "n_gen"
        (printed,) = [test for test in map(json.loads, lines) if test[wanted]]
        assert printed["n_depth"] == row.depth
        assert (printed["type_k"], printed["type_v"]) == (row.ctk, row.ctv)
        assert printed[wanted] == row.n_tokens
        assert row.tokens_per_second == pytest.approx(printed["avg_ts"], rel=1e-6)
        assert row.tokens_per_second_stddev == pytest.approx(printed["stddev_ts"], rel=1e-3, abs=1e-5)
        assert list(row.samples) == pytest.approx(printed["samples_ts"], rel=1e-5)
        assert row.repetitions == len(printed["samples_ts"]) == DEMO["throughput"]["repetitions"]


def test_caches_are_what_the_log_says(throughput: pd.DataFrame) -> None:
    pattern = re.compile(r"llama_kv_cache: size = .*?K \((\w+)\): +([\d.]+) MiB, V \((\w+)\): +([\d.]+) MiB")
    rotation = re.compile(r"attn_rot_k = (\d)")
    for row in throughput.itertuples():
        log = (raw_directory(row, "throughput") / "stderr.log").read_text()
        sizes = pattern.findall(log)
        type_k, mib_k, type_v, mib_v = sizes[0 if row.phase == "prefill" else 1]
        assert (type_k, type_v) == (row.effective_ctk, row.effective_ctv) == (row.ctk, row.ctv)
        assert row.kv_bytes / 2**20 == pytest.approx(float(mib_k) + float(mib_v), abs=0.011)
        assert row.rotated_k == (rotation.findall(log)[0] == "1")
        # Each side's share of the size is its share of the bits.
        assert row.bits_per_value_k / row.bits_per_value_v == pytest.approx(
            float(mib_k) / float(mib_v), rel=0.05
        )
        assert row.fallback is False


def test_quality_is_what_llama_perplexity_printed(quality: pd.DataFrame) -> None:
    def number(text: str, label: str) -> tuple[float, float]:
        found = re.search(rf"^{re.escape(label)}\s*:\s*(-?[\d.]+)(?: ±\s*([\d.]+))?", text, re.MULTILINE)
        assert found, label
        return float(found[1]), float(found[2] or "nan")

    for row in quality.itertuples():
        text = (raw_directory(row, "quality") / "stdout.log").read_text()
        assert (row.ppl, row.ppl_stderr) == number(text, "Mean PPL(Q)")
        assert row.ppl_base == number(text, "Mean PPL(base)")[0]
        # The control differs by nothing at all, and llama-perplexity prints no error of that.
        ratio = pytest.approx(number(text, "Mean ln(PPL(Q)/PPL(base))"), abs=0, nan_ok=True)
        assert (row.ln_ppl_ratio, row.ln_ppl_ratio_stderr) == ratio
        assert (row.kld_mean, row.kld_mean_stderr) == number(text, "Mean    KLD")
        assert row.kld_p999 == number(text, "99.9%   KLD")[0]
        assert row.kld_max == number(text, "Maximum KLD")[0]
        agreement, error = re.findall(r"Same top p: +([\d.]+) ± +([\d.]+) %", text)[0]
        assert row.top1_agreement == pytest.approx(float(agreement) / 100)
        assert row.top1_agreement_stderr == pytest.approx(float(error) / 100)
        assert row.chunks * row.n_ctx == 16384


def test_the_control_shows_the_floor(quality: pd.DataFrame) -> None:
    control = quality[(quality.ctk == "f16") & (quality.ctv == "f16")]
    assert len(control) == N_CONTEXTS
    assert (control.kld_mean.abs() < 1e-5).all()
    assert (control.top1_agreement > 0.999).all()


def test_the_demo_model_shows_what_a_cache_type_costs(quality: pd.DataFrame) -> None:
    for n_ctx in quality.n_ctx.unique():
        rows = quality[(quality.n_ctx == n_ctx) & (quality.ctk == quality.ctv)].set_index("ctk")
        assert (rows.ppl < 20).all()  # 256 is a guess among all bytes
        for better, worse in (("q8_0", "q5_1"), ("q5_1", "q4_0")):
            gap = rows.kld_mean[worse] - rows.kld_mean[better]
            errors = math.hypot(*(rows.kld_mean_stderr[pair] for pair in (better, worse)))
            assert gap > 3 * errors
    by_context = quality[(quality.ctk == "f16") & (quality.ctv == "f16")].set_index("n_ctx").ppl
    assert by_context[1024] < 0.95 * by_context[256]


def test_recall_is_what_the_answers_say() -> None:
    """A share that can get worse: well above chance, which is nothing among made-up names, and below 1."""
    asked = DEMO["tasks"]["recall"]
    right = {}
    for row in measured("tasks").itertuples():
        cell = RESULTS / "tasks" / row.engine / row.model / row.task / f"k-{row.ctk}" / f"v-{row.ctv}"
        answers = [json.loads(line) for line in (cell / "items.jsonl").read_text().splitlines()]
        assert len({one["item"] for one in answers}) == len(answers) == row.items == asked["items"]
        right[row.ctk] = {
            one["item"]: bool(re.match(rf"\W*{one['expected'][0]}\b", one["answer"], re.IGNORECASE))
            for one in answers
        }
        assert (row.status, row.effective_ctk, row.right) == (
            "measured",
            row.ctk,
            sum(right[row.ctk].values()),
        )
    assert list(right) == ["f16", *asked["pairs"]]
    assert 0.3 < sum(right["f16"].values()) / asked["items"] < 1
    shares = measured("task_shares").set_index("ctk")
    for pair in asked["pairs"]:
        lost = sum(right["f16"][item] and not one for item, one in right[pair].items())
        won = sum(one and not right["f16"][item] for item, one in right[pair].items())
        assert (shares.only_f16[pair], shares.only_pair[pair]) == (lost, won)
        assert shares.p_value[pair] == pytest.approx(
            stats.binomtest(won, won + lost).pvalue if won + lost else 1
        )
        assert shares.difference[pair] == pytest.approx((won - lost) / asked["items"])


def test_the_report_holds_the_numbers_and_needs_no_network(quality: pd.DataFrame) -> None:
    html = (RESULTS / "report.html").read_text()
    markdown = (RESULTS / "report.md").read_text()
    assert 'src="http' not in html and 'href="http' not in html
    for row in quality.itertuples():
        # ± is half of a 95 % interval. Two digits of it, 0.037, are three decimals; the post has the study's four.
        error = 1.96 * row.ppl_stderr
        assert f"{row.ppl:.3f} ± {error:.3f}" in html
        assert f"{row.ppl:.4f} ± {error:.3f}" in markdown


def test_snakemakes_own_report_works(tmp_path: Path) -> None:
    archive = tmp_path / "report.zip"
    done = run_in_checkout(
        ".venv/bin/snakemake", "--configfile", "examples/quick.yaml", "--report", str(archive)
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert any("report.html" in name for name in zipfile.ZipFile(archive).namelist())
