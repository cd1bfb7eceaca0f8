"""What a taker sees of a slice, in lines for a terminal."""

from __future__ import annotations

from collections import Counter

from kvsweep.slices.archive import Contents
from kvsweep.slices.cells import TABLES_OF_CELLS
from kvsweep.slices.read import GIVEN, RAW, SliceRows
from kvsweep.tables.row import pair_of
from kvsweep.units import plural


def lines_of(contents: Contents, found: SliceRows) -> list[str]:
    """The format, the rows of each table by status, and who gave them: a line each."""
    said = {} if contents.manifest is None else contents.manifest.said
    lines = [
        f"format {said['format']}, {plural(len(contents.names), 'member')}, all as the manifest says"
        if said
        else f"no manifest: {plural(len(contents.names), 'file')}, without checksums of their own"
    ]
    for table in TABLES_OF_CELLS:
        rows = found.rows[table]
        if not rows:
            lines.append(f"{table}: no rows")
            continue
        statuses = Counter(row["status"] for row in rows if "status" in row)
        ended = ", ".join(f"{n} {status}" for status, n in sorted(statuses.items()))
        pairs = dict.fromkeys(str(pair_of(row)) for row in rows)
        lines.append(
            f"{table}: {plural(len(rows), 'row')}{ended and f' ({ended})'}, "
            f"{found.count(table, RAW)} made from raw logs, {found.count(table, GIVEN)} as the tables say them; "
            f"pairs {', '.join(pairs)}"
        )
    rows = [row for table in TABLES_OF_CELLS for row in found.rows[table]]
    for column in ("machine", "engine", "model", "corpus", "host"):
        names = sorted({str(row[column]) for row in rows if row.get(column) is not None})
        lines.append(f"{'text' if column == 'corpus' else column}s: {', '.join(names) or 'not said'}")
    return lines
