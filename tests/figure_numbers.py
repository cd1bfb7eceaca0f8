"""What every figure's table has to say, from the Parquet tables with pandas, numpy and scipy alone.

Each function takes the figure's rows and yields a panel after the other, as rows of the figure's table: what sets a
panel apart from the others, in order of appearance, published ones last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

SUBJECT = ["source", "engine", "engine_commit", "backend", "machine", "model", "model_sha256"]
TIMED = [*SUBJECT, "n_tokens"]
SCORED = [*SUBJECT, "corpus", "n_ctx"]
Frames = Iterator[pd.DataFrame]
Expect = Callable[[pd.DataFrame, Path], Frames]


def panels(frame: pd.DataFrame, subject: Sequence[str], *, as_they_come: bool = False) -> Frames:
    frame = named(frame.assign(others=is_published(frame) & (not as_they_come)))
    for _, own in frame.sort_values("others", kind="stable").groupby(list(subject), sort=False, dropna=False):
        yield own


def named(frame: pd.DataFrame) -> pd.DataFrame:
    if "ctk" not in frame:
        return frame
    return frame.assign(pair=frame.ctk.where(frame.ctk == frame.ctv, frame.ctk + "/" + frame.ctv))


def is_published(frame: pd.DataFrame) -> pd.Series[bool]:
    return frame["source"].str.startswith("published:")


def is_f16(frame: pd.DataFrame) -> pd.Series[bool]:
    """Of these tables every cell is from its own engine's f16."""
    return (frame["ctk"] == "f16") & (frame["ctv"] == "f16")


def t_half(values: Any) -> float:
    return float(stats.t.ppf(0.975, len(values) - 1) * stats.sem(values))


def with_half(frame: pd.DataFrame, tables: Path) -> pd.DataFrame:
    """With ``half`` of the interval of a divergence, as the table ``k_or_v`` has it of the same cell."""
    other = pd.read_parquet(
        tables / "k_or_v.parquet", columns=[*SCORED, "ctk", "ctv", "kld_mean", "kld_mean_high"]
    )
    other["half"] = other.pop("kld_mean_high") - other.pop("kld_mean")
    found = frame.merge(other, on=[*SCORED, "ctk", "ctv"], how="left", validate="one_to_one")
    of_windows = [t_half(row.kld_windows) if row.fallback is True else np.nan for row in found.itertuples()]
    found["half"] = found["half"].fillna(pd.Series(of_windows))  # a cell that left its device has none there
    found["half"] = found["half"].mask(is_published(found))  # of these only the digits are known
    assert len(found) == len(frame) and found["half"].notna().any()
    return found


def kld_by_pair(frame: pd.DataFrame, tables: Path) -> Frames:
    for own in panels(with_half(frame[frame.kld_mean.notna()], tables), SCORED):
        yield pd.DataFrame({"pair": own.pair, "mean KLD, nats": own.kld_mean, "±, nats": own.half})


def kld_by_bits(frame: pd.DataFrame, tables: Path) -> Frames:
    pareto = pd.read_parquet(tables / "pareto.parquet", columns=[*SCORED, "ctk", "ctv", "bits_per_value"])
    pareto = pareto.drop_duplicates([*SCORED, "ctk", "ctv"])  # of published ones there is no log
    frame = with_half(frame[frame.kld_mean.notna()], tables).merge(
        pareto, on=[*SCORED, "ctk", "ctv"], how="left"
    )
    logged = (frame.bits_per_value_k + frame.bits_per_value_v) / 2
    frame["bits"] = frame.bits_per_value.where(is_published(frame), logged)
    for own in panels(frame[(frame.kld_mean > 0) & ~is_f16(frame) & frame.bits.notna()], SCORED):
        yield pd.DataFrame(
            {
                "pair": own.pair,
                "mean KLD, nats": own.kld_mean,
                "±, nats": own.half,
                "mean bits per value": own.bits,
            }
        )


def kld_by_k_and_v(frame: pd.DataFrame, _tables: Path) -> Frames:
    for own in panels(frame, SCORED, as_they_come=True):
        if own.kld_mean.notna().sum() >= 2:
            names = {"mean KLD, nats": "kld_mean", "from K, nats": "from_k", "from V, nats": "from_v"}
            blank = own.reason.where(own.kld_mean.isna())
            yield pd.DataFrame(
                {"K": own.ctk, "V": own.ctv, "why blank": blank} | {a: own[b] for a, b in names.items()}
            )


def half_of_share(row: Any) -> float:
    """Student's t over windows, and no less than that of as many tokens (Agresti and Min, of the rarer kind)."""
    if str(row.source).startswith("published:"):
        return np.nan
    windows = np.asarray(row.top1_windows, dtype=float)
    n = row.window_tokens * len(windows)
    rarer = min(windows.sum(), n - windows.sum())
    least = np.sqrt(max(rarer + 1 - rarer**2 / (n + 2), 1)) / (n + 2)
    half = max(t_half(windows / row.window_tokens), stats.norm.ppf(0.975) * least)
    return float(half + (0 if row.method == "scorer" else 5e-6))  # a percentage with three decimals


def top1_by_pair(frame: pd.DataFrame, _tables: Path) -> Frames:
    frame = frame[frame.top1_agreement.notna()]
    for own in panels(frame.assign(half=[100 * half_of_share(row) for row in frame.itertuples()]), SCORED):
        yield pd.DataFrame({"pair": own.pair, "same top-1, %": 100 * own.top1_agreement, "±, %": own.half})


def against_depth(column: str, unit: str, factor: float, frame: pd.DataFrame, _tables: Path) -> Frames:
    frame = frame[~is_f16(frame) & (frame[column] > 0)]
    for own in panels(frame, [name for name in SCORED if name != "n_ctx"]):
        yield pd.DataFrame(
            {
                "pair": own.pair, "window, tokens": own.n_ctx, "depth, tokens": own.depth_tokens,
                f"{column}, {unit}": factor * own[column], **ends(own, column, unit, factor),
                "scored tokens": own.tokens, "errors by": own.error_by,
            }
        )  # fmt: skip


def ends(frame: pd.DataFrame, column: str, unit: str, factor: float = 1) -> dict[str, pd.Series[float]]:
    return {
        f"95 % {name}, {unit}": factor * frame[f"{column}_{end}"]
        for name, end in (("from", "low"), ("to", "high"))
    }


def tail_by_mean(frame: pd.DataFrame, tables: Path) -> Frames:
    frame = frame[(frame.kld_mean > 0) & (frame.kld_p999 > 0) & ~is_f16(frame)]
    for own in panels(with_half(frame, tables), SCORED):
        yield pd.DataFrame(
            {
                "pair": own.pair, "mean KLD, nats": own.kld_mean, "±, mean KLD": own.half,
                "99.9 % KLD, nats": own.kld_p999, **ends(own, "kld_p999", "nats"),
            }
        )  # fmt: skip


def right_by_context(frame: pd.DataFrame, _tables: Path) -> Frames:
    for own in panels(frame[frame.share.notna() & frame.context.notna()], ["task", "question", *SUBJECT]):
        yield pd.DataFrame(
            {
                "pair": own.pair, "context, tokens": own.context, "right, %": 100 * own.share,
                **ends(own, "share", "%", 100), "answers": own["items"], "against f16": own.verdict,
            }
        )  # fmt: skip


def of_ratios(own: pd.DataFrame, name: str) -> dict[str, Any]:
    return {
        "pair": own.pair, "depth, tokens": own.depth, name: 100 * own.ratio, **ends(own, "ratio", "%", 100),
        "rounds": [len(rounds) or None for rounds in own.ratio_rounds],
    }  # fmt: skip


def speed_ratios(frame: pd.DataFrame, _tables: Path) -> Frames:
    frame = frame[frame.ratio.notna() & (frame.fallback != True) & ~is_published(frame)]  # noqa: E712
    for own in panels(frame, ["phase", *TIMED]):
        yield pd.DataFrame(of_ratios(own, "speed, % of f16") | {"verdict": own.verdict})


def _by_model(frame: pd.DataFrame) -> Frames:
    """Pairs beside f16, of each file and family of engines."""
    frame = frame[frame.ratio.notna() & (frame.fallback != True) & ~is_f16(frame)]  # noqa: E712
    ran = [
        frame[f"effective_{side}"].isna() | (frame[f"effective_{side}"] == frame[side])
        for side in ("ctk", "ctv")
    ]
    for _, own in named(frame[ran[0] & ran[1]]).groupby(
        ["model_sha256", "engine_family"], sort=False, dropna=False
    ):
        yield own


def speed_across(frame: pd.DataFrame, _tables: Path) -> Frames:
    for phase in ("prefill", "decode"):
        for own in _by_model(frame[frame.phase == phase]):
            number, depth = max(
                (len(at[SUBJECT].drop_duplicates()), at.depth.iloc[0]) for _, at in own.groupby("depth")
            )
            if number > 1:
                yield pd.DataFrame(of_ratios(own[own.depth == depth], "speed, % of its own f16"))


def speed_by_machine(frame: pd.DataFrame, _tables: Path) -> Frames:
    for own in _by_model(frame[frame.phase == "decode"]):
        machines = list(panels(own, SUBJECT))
        for machine in machines if len(machines) > 1 else ():
            yield pd.DataFrame(of_ratios(machine, "speed, % of its own f16"))


def by_depth(phase: str, frame: pd.DataFrame, _tables: Path) -> Frames:
    for own in panels(frame[(frame.phase == phase) & frame.tokens_per_second.notna()], TIMED):
        yield pd.DataFrame(
            {
                "pair": own.pair, "depth, tokens": own.depth, "tokens/s": own.tokens_per_second,
                **ends(own, "tokens_per_second", "tokens/s"), "rounds": [len(rounds) or None for rounds in own.rounds],
                "spread within a process, %": 100 * own.spread_within,
            }
        )  # fmt: skip


def relative(phase: str, frame: pd.DataFrame, _tables: Path) -> Frames:
    """Against f16, or q8_0 where that ran at more depths; pairs slower by more than three times are left out."""
    frame = frame[(frame.phase == phase) & frame.tokens_per_second.notna() & (frame.fallback != True)]  # noqa: E712
    for own in panels(frame, TIMED):
        at = {name: set(own.depth[own.pair == name]) for name in ("f16", "q8_0")}
        base = "q8_0" if len(at["q8_0"]) > len(at["f16"]) else "f16"
        bases = {row.depth: row for row in own[own.pair == base].itertuples()}
        rows = [
            {"pair": row.pair, "depth, tokens": row.depth} | apart(row, bases[row.depth], base)
            for row in own[own.pair != base].itertuples()
            if row.depth in bases
        ]
        found = pd.DataFrame(rows)
        if len(found):
            found = found[~(found.groupby("pair")[f"difference from {base}, %"].transform("min") < -200 / 3)]
        if len(found):
            yield found


def apart(row: Any, base: Any, name: str) -> dict[str, float]:
    """In percent, with the ends: over common rounds, of a published one by the digits of both."""
    if str(row.source).startswith("published:"):
        middle = np.log(row.tokens_per_second / base.tokens_per_second)
        half = sum(one.tokens_per_second_rounding / one.tokens_per_second for one in (row, base))
    else:
        own, other = (dict(zip(one.rounds, one.seconds_per_token, strict=True)) for one in (row, base))
        logs = np.log([other[n] / own[n] for n in sorted(own.keys() & other.keys())])
        middle, half = logs.mean(), np.nan
        if len(logs) > 1:
            half = t_half(logs)
    value, low, high = (
        100 * (np.exp(middle + sign * half) - 1) if sign else 100 * (np.exp(middle) - 1)
        for sign in (0, -1, 1)
    )
    return {f"difference from {name}, %": value, "95 % from, %": low, "95 % to, %": high}


def kld_by_decode(frame: pd.DataFrame, _tables: Path) -> Frames:
    for own in panels(frame[frame.kld_mean.notna() & frame.decode.notna()], SCORED):
        if (own.kld_mean > 0).any():
            yield pd.DataFrame(
                {
                    "pair": own.pair, "decode, tokens/s": own.decode, **ends(own, "decode", "tokens/s"),
                    "at depth, tokens": own.depth, "mean KLD, nats": own.kld_mean, **ends(own, "kld_mean", "nats"),
                    "bits per value": own.bits_per_value,
                    "beaten by": [None if names is None else ", ".join(names) or None for names in own.dominated_by],
                }
            )  # fmt: skip


def crossovers(frame: pd.DataFrame, _tables: Path) -> Frames:
    """The first twelve crossings of a panel, those that are told first."""
    frame = frame[frame.depth.notna() & frame.ahead_after.notna()]
    for own in panels(frame, [*SUBJECT, "phase", "n_tokens"]):
        told = own.verdict == "crosses"
        words = own.ahead_after + np.where(told, " overtakes ", " may overtake ") + own.ahead_before
        own = own.assign(words=words, told=told).sort_values(["told", "depth"], ascending=[False, True])
        own = own[own.words.isin(own.words.drop_duplicates()[:12])]
        between = own.between_low.astype(int).astype(str) + " and " + own.between_high.astype(int).astype(str)
        yield pd.DataFrame(
            {
                "crossing": own.words,
                "depth, tokens": own.depth,
                **ends(own, "depth", "tokens"),
                "between, tokens": between,
            }
        )


def memory_by_depth(frame: pd.DataFrame, _tables: Path) -> Frames:
    for own in panels(frame[frame.kv_bytes > 0], SUBJECT):
        yield pd.DataFrame(
            {
                "pair": own.pair, "depth, tokens": own.depth, "KV cache, bytes": own.kv_bytes, "from": own.kv_from,
                "weights + KV cache + compute buffers, bytes": own.needed_bytes, "ended": own.status,
            }
        )  # fmt: skip


EXPECTED: dict[str, Expect] = {
    "kld_by_bits": kld_by_bits,
    "kld_by_pair": kld_by_pair,
    "kld_by_k_and_v": kld_by_k_and_v,
    "top1_by_pair": top1_by_pair,
    "kld_against_depth": partial(against_depth, "kld_mean", "nats", 1),
    "top1_against_depth": partial(against_depth, "top1_agreement", "%", 100),
    "tail_by_mean": tail_by_mean,
    "right_by_context": right_by_context,
    "speed_ratios": speed_ratios,
    "speed_across": speed_across,
    "speed_by_machine": speed_by_machine,
    "prefill_by_depth": partial(by_depth, "prefill"),
    "decode_by_depth": partial(by_depth, "decode"),
    "prefill_relative": partial(relative, "prefill"),
    "decode_relative": partial(relative, "decode"),
    "kld_by_decode": kld_by_decode,
    "crossovers": crossovers,
    "memory_by_depth": memory_by_depth,
}
