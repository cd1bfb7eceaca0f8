"""Two methods on one cell: what llama-perplexity's 16 bits explain, and what they do not."""

from typing import Any

import pytest
from kvsweep.analysis.agreement import agreement
from kvsweep.analysis.depth import by_depth
from kvsweep.tables.columns import as_table
from kvsweep.tables.quality_schemas import QUALITY


def row(method: str, pair: str, kld: float, **values: Any) -> dict[str, Any]:
    cell = {
        **dict.fromkeys(QUALITY.names),
        **{"source": "measured", "engine": "mainline", "model": "tiny", "corpus": "text", "n_ctx": 4096},
        **{"ctk": pair, "ctv": pair, "effective_ctk": pair, "effective_ctv": pair, "status": "measured"},
        **{"method": method, "positions": "half", "chunks": 2, "kld_mean": kld, "scored_tokens": 4094},
    }
    assert as_table([cell | values], QUALITY).num_rows == 1
    return cell | values


def only(rows: list[dict[str, Any]], pair: str) -> dict[str, Any]:
    (found,) = (row for row in agreement(rows) if row["ctk"] == pair)
    return found


@pytest.mark.parametrize(
    ("pair", "printed", "scored"), [("q8_0", 0.003651, 0.00365278), ("q4_0", 0.047041, 0.04695866)]
)
def test_what_the_16_bits_explain_agrees(pair: str, printed: float, scored: float) -> None:
    found = only([row("perplexity", pair, printed), row("scorer", pair, scored)], pair)
    assert found["verdict"] == "agrees" and found["relative"] == pytest.approx(printed / scored - 1)
    assert found["expected_low"] < found["difference"] < found["expected_high"]


def test_what_they_do_not_explain_disagrees() -> None:
    found = only([row("perplexity", "q4_0", 0.0475), row("scorer", "q4_0", 0.047)], "q4_0")
    assert found["verdict"] == "disagrees" and found["why"] is None


def test_the_control_shows_what_rounding_does() -> None:
    rows = [row("perplexity", "f16", 0.00002), row("scorer", "f16", 0.0)]
    rows += [row("perplexity", "q8_0", 0.00001), row("scorer", "q8_0", 0.000025)]
    assert [found["verdict"] for found in agreement(rows)] == ["agrees", "agrees"]
    assert only(rows, "f16")["relative"] is None
    assert only(rows[2:], "q8_0")["verdict"] == "disagrees"


def test_the_bound_is_half_a_step_of_each_token_or_what_the_control_shows_with_what_is_left_out() -> None:
    """By hand: a step of 16 / 65,535 nats, uniform errors of variance step^2 / 12, three standard errors of 4,094."""
    rows = [row("perplexity", "q4_0", 0.047041), row("scorer", "q4_0", 0.04695866)]
    left_out_and_digit = 0.003 * 0.04695866 + 0.0000005
    (found,) = agreement(rows)
    assert found["expected_high"] == pytest.approx(3 * (16 / 65535) / (12 * 4094) ** 0.5 + left_out_and_digit)
    control = row("perplexity", "f16", -0.00002)
    found = only([*rows, control, row("scorer", "f16", 0.0)], "q4_0")
    assert found["expected_high"] == pytest.approx(0.00002 + 0.0000005 + left_out_and_digit)
    assert found["expected_low"] == -found["expected_high"]


def test_a_control_is_known_no_better_than_it_is_printed() -> None:
    """b11434, the small model: 16 windows of 512 tokens, f16 printed as -0.000000, q8_0 as 0.000001."""
    rows = [row("perplexity", "f16", -0.0), row("scorer", "f16", 0.0)]
    rows += [row("perplexity", "q8_0", 0.000001), row("scorer", "q8_0", 1.6013253e-06)]
    assert [found["verdict"] for found in agreement(rows)] == ["agrees", "agrees"]
    rows[-1] |= {"kld_mean": 2.1e-06}
    assert only(rows, "q8_0")["verdict"] == "disagrees"


def test_divergences_from_the_f16_of_two_engines_cannot_be_compared() -> None:
    found = only([row("perplexity", "q4_0", 0.09, reference="fork"), row("scorer", "q4_0", 0.047)], "q4_0")
    assert found["verdict"] == "not comparable"
    assert found["why"] == "llama-perplexity compared with the f16 of fork, the scorer with the engine's own"


@pytest.mark.parametrize("other", [{"chunks": 3}, {"positions": "16x64"}])
def test_other_tokens_cannot_be_compared(other: dict[str, Any]) -> None:
    found = only([row("perplexity", "q4_0", 0.09), row("scorer", "q4_0", 0.047, **other)], "q4_0")
    assert found["verdict"] == "not comparable" and found["why"] and found.get("expected_high") is None


def test_a_pair_that_ran_as_another_is_compared_with_nothing() -> None:
    rows = [row("perplexity", "q4_0", 0.09), row("scorer", "q4_0", 0.047, effective_ctk="q8_0")]
    assert list(agreement(rows)) == [] == list(by_depth(rows))


def test_parts_become_rows_of_their_own() -> None:
    parts = [
        {"depth_from": 1, "depth_to": 9, "kld_mean": 0.5},
        {"depth_from": 10, "depth_to": 19, "kld_mean": 1.0},
    ]
    rows = list(by_depth([row("scorer", "q4_0", 0.75, by_position=parts), row("perplexity", "q4_0", 0.8)]))
    assert [(row["ctk"], row["n_ctx"], row["depth_to"], row["kld_mean"]) for row in rows] == [
        ("q4_0", 4096, 9, 0.5),
        ("q4_0", 4096, 19, 1.0),
    ]
