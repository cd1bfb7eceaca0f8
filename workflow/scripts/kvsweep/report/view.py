"""What the report says: finished sentences and tables of finished text, from the Parquet tables alone.

Both formats of the report show this same view, and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from kvsweep.report.across import across_sections
from kvsweep.report.answer import Answers, answers
from kvsweep.report.answers import task_sections
from kvsweep.report.cells import Evidence, quality_status, task_status, throughput_status
from kvsweep.report.claims import claim_sections
from kvsweep.report.crossovers import crossover_sections
from kvsweep.report.depth import agreement_sections, depth_sections
from kvsweep.report.duels import duel_sections
from kvsweep.report.memory import memory_sections
from kvsweep.report.parts import Caution, Cell, Grid, Section, cells_of
from kvsweep.report.post import study_tables
from kvsweep.report.published import comparison_sections
from kvsweep.report.quality import quality_sections
from kvsweep.report.speed import throughput_sections
from kvsweep.report.subjects import MOST_NOTES, machines_of, models_of, records_of
from kvsweep.report.warnings import warnings_of
from kvsweep.slices.join import together_and_apart
from kvsweep.tables.row import Row, is_measured, is_published, one_method
from kvsweep.units import plural

# --- the view: what both formats show -----------------------------------------------------------------------


@dataclass(frozen=True)
class Provenance:
    """What the tables do not know about how they came to be."""

    kvsweep_version: str | None = None
    snakemake_version: str | None = None
    repository: str | None = None
    configfile: str | None = None
    only_published: bool = False  # nothing was measured

    @property
    def commands(self) -> tuple[str, ...]:
        """What to type to measure this again."""
        clone = (f"git clone {self.repository} kvsweep", "cd kvsweep") if self.repository else ()
        if self.only_published:
            return (*clone, "make published")
        configured = f" --configfile {self.configfile}" if self.configfile else ""
        return (*clone, "make setup", f".venv/bin/snakemake{configured}")


@dataclass(frozen=True)
class View:
    """Everything that a report says, apart from the figures."""

    summary: str
    answers: tuple[Answers, ...]
    warnings: tuple[Caution, ...]
    quality: tuple[Section, ...]
    depth: tuple[Section, ...]
    agreement: tuple[Section, ...]
    tasks: tuple[Section, ...]
    throughput: tuple[Section, ...]
    crossovers: tuple[Section, ...]
    memory: tuple[Section, ...]
    claims: tuple[Section, ...]
    duels: tuple[Section, ...]
    comparisons: tuple[Section, ...]
    across: tuple[Section, ...]
    status: tuple[Section, ...]
    cells: tuple[Cell, ...]  # the evidence, by the number that an entry of `status` has as target
    engines: tuple[Row, ...]
    models: Grid
    machines: Grid
    machine_records: Grid
    study_tables: tuple[Section, ...]  # for the post
    provenance: Provenance


def view_of(tables: Mapping[str, pa.Table], provenance: Provenance | None = None) -> View:
    """The view of the tables of `schemas.TABLES` and `analysis_schemas.ANALYSIS`."""
    rows = {name: table.to_pylist() for name, table in tables.items()}
    joins = [*together_and_apart(rows)][:MOST_NOTES]
    # Of two methods one is compared; what became of every cell is said of all.
    throughput, scored, tasks = rows["throughput"], rows["quality"], rows["tasks"]
    quality = one_method(scored)
    provenance = provenance or Provenance()
    rows_of_cells = [*throughput, *scored, *tasks]
    if rows_of_cells and all(map(is_published, rows_of_cells)):
        provenance = replace(provenance, only_published=True)
    evidence = Evidence()
    status = (
        *throughput_status(throughput, evidence),
        *quality_status(scored, evidence),
        *task_status(tasks, evidence),
    )
    return View(
        summary=_summary(rows_of_cells),
        answers=tuple(answers(rows["advice"], rows["speed"], rows["pareto"])),
        warnings=tuple(
            warnings_of(
                *(throughput, scored, tasks),
                **{name: rows[name] for name in ("repetitions", "models", "agreement")},
            )
        ),
        quality=tuple(quality_sections(quality)),
        depth=tuple(depth_sections(rows["depth"])),
        agreement=tuple(agreement_sections(rows["agreement"])),
        tasks=tuple(task_sections(rows["task_shares"])),
        throughput=tuple(throughput_sections(rows["speed"])),
        crossovers=tuple(crossover_sections(rows["crossovers"])),
        memory=tuple(memory_sections(rows["memory"], rows["largest_context"], rows["bandwidth"])),
        claims=tuple(claim_sections(rows["claims"])),
        duels=tuple(duel_sections(rows["head_to_head"])),
        comparisons=tuple(comparison_sections(rows["comparisons"])),
        across=tuple(across_sections(rows["across"])),
        status=status,
        cells=tuple(evidence.cells),
        engines=tuple(rows["engines"]),
        models=models_of(rows["models"]),
        machines=machines_of(rows_of_cells, joins),
        machine_records=records_of(rows["machines"]),
        study_tables=tuple(study_tables(rows["speed"], quality)),
        provenance=provenance,
    )


# --- what was measured --------------------------------------------------------------------------------------


def _summary(rows: Sequence[Row]) -> str:
    published = cells_of(row for row in rows if is_published(row))
    cells = cells_of(row for row in rows if not is_published(row))
    theirs = f"{plural(len(published), 'cell')} as published by others" if published else ""
    if not cells:
        return f"No cell has been measured here; {theirs}." if theirs else "No cell has been measured yet."
    measured = sum(all(map(is_measured, cell)) for cell in cells)
    started = sorted(row["started_at"] for cell in cells for row in cell if row["started_at"] is not None)
    days = sorted({f"{time:%Y-%m-%d}" for time in (*started[:1], *started[-1:])})
    when = f", between {days[0]} and {days[-1]}" if len(days) > 1 else f", on {days[0]}" if days else ""
    besides = f" Besides, {theirs}." if theirs else ""
    return f"{plural(len(cells), 'cell')}, {measured:,} of them measured{when} (UTC).{besides}"
