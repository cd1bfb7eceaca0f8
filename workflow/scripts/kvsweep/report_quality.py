"""The tables of quality: one for each engine, model, corpus and context, a row for each pair."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

QQ
QUALITY_COLUMNS = (
    "pair",
    "PPL",
    "ln PPL ratio",
    "mean KLD, nats",
    "99.9 % KLD",
    "same top-1, %",
    "bits K / V",
    "windows",
)


def quality_sections(rows: Sequence[Row]) -> Iterable[Section]:
    comparison = compare(rows, QUALITY_SUBJECT)
    for group in comparison.groups:
        lines = [line for own in by_pair(group.rows).values() for line in map(_quality_line, own)]
        title = comparison.full_title(group)
        yield Section(title, (Grid(f"Quality: {title}", QUALITY_COLUMNS, tuple(lines)),))


def _quality_line(row: Row) -> tuple[Entry, ...]:
    control = " (control)" if requested(row) == BASELINE_PAIR else ""
    head = pair_entry([row])
    head = Entry(head.text + control, head.marks + marks_of(row))
    if not is_measured(row):
        ppl = format_with_error(row["ppl"], row["ppl_stderr"]) if row["ppl"] is not None else row["status"]
        return (head, Entry(ppl, measured=False), *(Entry(ABSENT) for _ in QUALITY_COLUMNS[2:]))
    texts = (
        format_with_error(row["ppl"], row["ppl_stderr"]),
        format_with_error(row["ln_ppl_ratio"], row["ln_ppl_ratio_stderr"]),
        format_with_error(row["kld_mean"], kld_error(row)),
        format_number(row["kld_p999"], 3),
        format_with_error(in_percent(row["top1_agreement"]), in_percent(row["top1_agreement_stderr"])),
        f"{format_number(row['bits_per_value_k'], 4)} / {format_number(row['bits_per_value_v'], 4)}",
        count(row["chunks"]),
    )
    return (head, *map(Entry, texts))
