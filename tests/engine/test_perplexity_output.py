"""llama-perplexity's results: a KL run, and everything that looks like one and is not."""

import pytest
from kvsweep.engine import perplexity_output
from kvsweep.engine.perplexity_output import chunks_done
from kvsweep.engine.perplexity_results import ClosingStatisticsMissing
from kvsweep.errors import UnparsableOutput
from support import RECORDED


def recorded(name: str) -> tuple[str, str]:
    """stdout and stderr of a run."""
    return (
        (RECORDED / f"{name}.stdout").read_text(encoding="utf-8"),
        (RECORDED / f"{name}.stderr").read_text(encoding="utf-8"),
    )


def test_a_quantized_cell() -> None:
    result = perplexity_output.parse_kl(*recorded("mainline/kld-q4_0-q4_0"))
    assert (result.n_chunks, result.n_ctx) == (8, 1024)
    assert (result.ppl, result.ppl_stderr) == (1577.203386, 53.549173)
    assert (result.ppl_base, result.ppl_base_stderr) == (1562.644434, 52.806530)
    assert result.ppl_correlation == 0.9044
    assert (result.ln_ppl_ratio, result.ln_ppl_ratio_stderr) == (0.009274, 0.014810)
    assert (result.ppl_ratio, result.ppl_ratio_stderr) == (1.009317, 0.014948)
    assert (result.ppl_difference, result.ppl_difference_stderr) == (14.558952, 23.260971)
    assert (result.kld_mean, result.kld_mean_stderr) == (0.410661, 0.003207)
    assert (result.kld_min, result.kld_p01, result.kld_p1, result.kld_p5, result.kld_p10) == (
        0.032505, 0.061193, 0.120488, 0.171455, 0.201989,
    )  # fmt: skip
    assert (result.kld_median, result.kld_p90, result.kld_p95) == (0.364322, 0.674322, 0.800178)
    assert (result.kld_p99, result.kld_p999, result.kld_max) == (1.103079, 1.538244, 2.220618)
    assert (result.delta_p_mean, result.delta_p_mean_stderr) == (-0.00004, 0.00026)
    assert (result.delta_p_rms, result.delta_p_rms_stderr) == (0.01655, 0.00193)
    assert (result.top1_agreement, result.top1_agreement_stderr) == (0.4205, 0.00772)


def test_the_running_table() -> None:
    windows = perplexity_output.parse_kl(*recorded("fork/kld-turbo3-turbo3")).windows
    assert [window.chunk for window in windows] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert windows[0].ppl_stderr == pytest.approx(160, rel=0.1)
    assert windows[0].kld_mean > 0 and windows[0].top1_agreement < 1


@pytest.mark.parametrize("engine", ["fork", "mainline"])
def test_the_control_has_no_divergence_and_some_errors_that_are_nan(engine: str) -> None:
    result = perplexity_output.parse_kl(*recorded(f"{engine}/kld-f16-f16-control"))
    assert (result.kld_mean, result.kld_median) == (0, 0)
    assert result.kld_min == -0.000030  # the baseline is rounded to 16 bits
    assert result.top1_agreement == 1
    assert result.ppl_ratio_stderr is None
    assert result.windows[0].ln_ppl_ratio_stderr is None


@pytest.mark.parametrize("name", ["fork/kld-q8_0-q8_0", "mainline/kld-q4_0-q4_0"])
def test_the_streams_may_be_swapped_or_merged(name: str) -> None:
    stdout, stderr = recorded(name)
    expected = perplexity_output.parse_kl(stdout, stderr)
    assert perplexity_output.parse_kl(stderr, stdout) == expected
    head, eta, tail = stderr.partition(
        " - ETA "
    )  # stdout goes on where the log stopped in the middle of a line
    assert perplexity_output.parse_kl(head + eta + stdout + tail, "") == expected


def test_without_its_log_a_result_lacks_only_what_the_log_says() -> None:
    stdout, _ = recorded("mainline/kld-q4_0-q4_0")
    result = perplexity_output.parse_kl(stdout, "")
    assert (result.n_chunks, result.n_ctx) == (8, None)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("fork/kld-baseline-truncated", "failed reading log-probs for chunk 3"),
        ("fork/kld-context-mismatch", "failed to decode"),
    ],
)
def test_a_run_that_says_why_it_has_no_result(name: str, message: str) -> None:
    with pytest.raises(UnparsableOutput, match=message) as failure:
        perplexity_output.parse_kl(*recorded(name))
    assert not isinstance(failure.value, ClosingStatisticsMissing)  # running it again would not help


def test_a_corpus_that_is_too_short() -> None:
    with pytest.raises(UnparsableOutput, match="you need at least 65536 tokens"):
        perplexity_output.parse_kl(*recorded("fork/baseline-corpus-too-short"))


def test_numbers_on_another_vocabulary_are_refused_although_the_engine_goes_on() -> None:
    stdout, stderr = recorded("mainline/kld-q4_0-q4_0")
    complaint = "0.00.020.500 E kl_divergence: inconsistent vocabulary (259 vs 512)\n"
    with pytest.raises(UnparsableOutput, match="inconsistent vocabulary"):
        perplexity_output.parse_kl(stdout, complaint + stderr)


def test_lost_closing_statistics_are_a_reason_to_run_again() -> None:
    stdout, stderr = recorded("mainline/kld-q4_0-q4_0")
    table, _, _ = stdout.partition("====== Perplexity statistics")
    with pytest.raises(ClosingStatisticsMissing, match="8 of 8 windows were printed"):
        perplexity_output.parse_kl(table, stderr)
    with pytest.raises(ClosingStatisticsMissing, match="3 of 8 windows were printed"):
        perplexity_output.parse_kl(table[: table.index("   4  ")], stderr)
    with pytest.raises(ClosingStatisticsMissing, match="'Same top p'"):
        perplexity_output.parse_kl(stdout[: stdout.rindex("Same top p")], "")


def test_too_few_tokens_for_statistics_is_no_reason_to_run_again() -> None:
    log = "kl_divergence: computing over 3 chunks, n_ctx=8, batch_size=8, n_seq=1\n"
    with pytest.raises(UnparsableOutput, match="only 9 tokens were scored") as failure:
        perplexity_output.parse_kl("", log)
    assert not isinstance(failure.value, ClosingStatisticsMissing)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("Mean    KLD:   0.410661", "Mean    KLD:       -nan", "'Mean KLD' is not a finite number"),
        ("Maximum KLD:   2.220618", "Maximum KLD:        inf", "'Maximum KLD' is not a finite number"),
        ("99.0%   KLD:   1.103079", "99.0%   KLD:   1.603079", "percentiles do not rise"),
        ("99.0%   KLD:   1.103079", "99.0%   KLD:   1.10307", "lack '99.0% KLD'"),
        ("99.0%   KLD:   1.103079", "99.0%   KLD:  1.103079", "not as wide"),
        ("Minimum KLD:   0.032505", "Minimum KLD:  -0.132505", "further below zero than rounding explains"),
        ("Mean    KLD:   0.410661", "Mean    KLD:   0.410761", "closing kld_mean is 0.410761"),
        ("base)                : 1562", "base)                : 1563", r"ln\(PPL\(Q\)/PPL\(base\)\)"),
        ("52.806530", " 5.806530", "follows as"),
        ("Same top p: 42.050", "Same top p: 42.150", "closing top1_agreement"),
        ("   4    1558", "   5    1558", "windows 1 to 8"),
        ("8    1577.2034", "8    1577.2035", "closing ppl is"),
        (": 1577.203386", ": -577.203386", r"PPL\(Q\) is -577.203386"),
        ("   4    1558", "  4    1558", "the window's number '  4' is not as wide"),
        ("0.42187 ±", "    nan ±", "window 4 has a mean that is not a finite number"),
        ("41.438 ±", "91.438 ±", "no window leads from the running means"),
        ("Δp: -0.004", "Δp: -9.004", "the mean of Δp, -0.09004, exceeds its RMS, 0.01655"),
        ("99.0%   KLD:   1.103079", "99.0%   KLD:   1.103079\n99.0%   KLD:   1.103079", "more than once"),
        ("99.0%   KLD:   1.103079", "99.0%   KLD:   1.103079\n99.0%   KLD:   1.103080", "more than once"),
    ],
)
def test_values_that_contradict_each_other(old: str, new: str, message: str) -> None:
    stdout, stderr = recorded("mainline/kld-q4_0-q4_0")
    assert stdout.count(old) == 1
    with pytest.raises(UnparsableOutput, match=message):
        perplexity_output.parse_kl(stdout.replace(old, new), stderr)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("0.41066", "9.41066", "the mean KLD 9.410661 is not between 0.032505 and 2.220618"),
        (" 1.655 ±", "101.655 ±", "shares above 100 %"),
    ],
)
def test_values_that_cannot_be_although_table_and_statistics_agree(old: str, new: str, message: str) -> None:
    stdout, stderr = recorded("mainline/kld-q4_0-q4_0")
    assert stdout.count(old) == 2
    with pytest.raises(UnparsableOutput, match=message):
        perplexity_output.parse_kl(stdout.replace(old, new), stderr)


def test_the_log_of_another_run_beside_its_own() -> None:
    stdout, stderr = recorded("mainline/kld-q4_0-q4_0")
    with pytest.raises(UnparsableOutput, match="announces two different runs"):
        perplexity_output.parse_kl(stdout, stderr + stderr.replace("over 8 chunks", "over 9 chunks"))


def test_a_window_more_than_announced() -> None:
    stdout, stderr = recorded("mainline/kld-q4_0-q4_0")
    with pytest.raises(UnparsableOutput, match="windows 1 to 9"):
        perplexity_output.parse_kl(stdout, stderr.replace("over 8 chunks", "over 9 chunks"))


def test_a_context_that_does_not_fit_the_number_of_scored_tokens() -> None:
    stdout, stderr = recorded("mainline/kld-q4_0-q4_0")
    other = stderr.replace("n_ctx=1024, batch_size=2048, n_seq=2", "n_ctx=512, batch_size=2048, n_seq=4")
    with pytest.raises(UnparsableOutput, match="does not fit 2040 scored tokens"):
        perplexity_output.parse_kl(stdout, other)
    assert perplexity_output.parse_kl(stdout, stderr.replace("n_ctx=1024", "n_ctx=124")).n_ctx is None


def test_the_last_line_twice_and_the_rest_lost_is_worth_another_run() -> None:
    """As mainline ended once on a busy machine, with exit status 0."""
    stdout, stderr = recorded("mainline/kld-q4_0-q4_0")
    end = stdout.index("Maximum KLD:")
    start = stdout.index("Mean    KLD:")
    with pytest.raises(ClosingStatisticsMissing, match="printed 'Mean KLD' more than once"):
        perplexity_output.parse_kl(stdout[:end] + stdout[start:end], stderr)


def test_two_results_in_one_output() -> None:
    stdout, stderr = recorded("mainline/kld-q4_0-q4_0")
    with pytest.raises(UnparsableOutput, match="more than once"):
        perplexity_output.parse_kl(stdout + stdout, stderr)


def test_progress() -> None:
    stdout, stderr = recorded("mainline/kld-q4_0-q4_0")
    half = stdout[: stdout.index("   5  ")]
    assert chunks_done(stderr + half) == 4
    stdout, stderr = recorded("fork/baseline-f16")
    assert chunks_done(stdout[:60]) == 3
    assert chunks_done("") == 0


# The form of January to April 2024, by the format strings of perplexity.cpp then (pull request 5081).
EARLY_2024 = """\
kl_divergence: 1.23 seconds per pass - ETA 0.21 minutes

chunk        PPL          ln(PPL(Q)/PPL(base))          KL-Divergence           Same top
   1        4.1173       0.00421 ±    0.00902       0.01032 ±    0.00121    0.95686 ± 0.01275
   2        4.9081       0.00310 ±    0.00612       0.01177 ±    0.00098    0.95490 ± 0.00919

===== KL-divergence statistics
Average:   0.011772 ±  0.000981
Median :   0.006102
Maximum:   0.190331
KLD_99 :   0.090112
"""


@pytest.mark.parametrize("cut", ["", "===== KL", "Average", "   2  "])
def test_a_build_of_early_2024_is_too_old_and_not_run_again(cut: str) -> None:
    printed = EARLY_2024[: EARLY_2024.index(cut) if cut else None]
    with pytest.raises(UnparsableOutput, match="take a build of May 2024 or later") as raised:
        perplexity_output.parse_kl(printed, "")
    assert not isinstance(raised.value, ClosingStatisticsMissing)
