"""Work that a study was not measured for is asked for at the deepest depth that it was."""

from __future__ import annotations

import shutil
from pathlib import Path

import recorded_study
from kvsweep.analysis.workloads import as_deep_as_measured
from kvsweep.study.config import parse_workloads
from synthetic_tables import throughput_row, unmeasured


def test_default_work_goes_as_deep_as_what_was_measured() -> None:
    rows = [
        throughput_row("f16", "f16", 2048),
        throughput_row("q8_0", "q8_0", 4096),
        unmeasured(throughput_row("q8_0", "q8_0", 65536), "oom", "no memory"),
        throughput_row("f16", "f16", 524288, source="published:m5max-part2"),
    ]
    shipped = parse_workloads(None)
    found = as_deep_as_measured(shipped, rows)
    assert {name: work.depth for name, work in found.items()} == {
        "coding-agent": 4096, "rag": 0, "longest-context": 0, "short-interactive": 4096,
    }  # fmt: skip
    assert found["coding-agent"].title.endswith(" (at 4K, the deepest measured, instead of 64K)")
    assert found["rag"] == shipped["rag"]


def test_where_nothing_was_measured_it_stays_as_it_is() -> None:
    published = [throughput_row("f16", "f16", 1024, source="published:m5max-part2")]
    assert as_deep_as_measured(parse_workloads(None), published) == parse_workloads(None)


def test_published_numbers_are_judged_by_kvsweeps_own_work_alone(tmp_path: Path) -> None:
    """What a configuration asks for is asked of what was measured for it."""
    shutil.copytree(recorded_study.RESULTS, tmp_path / "results")
    judged = {}
    for name, workloads in (("own", None), ("asked", recorded_study.WORKLOADS)):
        found = recorded_study.tables_of(tmp_path / "results", workloads)
        judged[name] = {row["source"].partition(":")[0] for row in found["advice"]}
    assert judged == {"own": {"measured", "published"}, "asked": {"measured"}}
