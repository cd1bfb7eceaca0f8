"""What jobs ask a cluster for: the plan's figures, with what the plan does not count."""

import json
from typing import Any

import pytest
from kvsweep.plan.cluster_request import Request, check_nodes, request
from kvsweep.study.cells import BaselineRun, QualityCell, ThroughputCell
from kvsweep.study.complaints import ConfigError
from kvsweep.study.config import Study, parse_study
from kvsweep.study.pairs import Pair
from support import STAND_IN, Workplace, measure

Q8 = Pair.parse("q8_0")


def study(**engine: Any) -> Study:
    return parse_study(
        {
            "engines": {"stand-in": {"source": {"path": str(STAND_IN)}, "backend": "cpu", **engine}},
            "models": {"tiny": {"path": "tiny.gguf"}},
            "corpora": {"text": {"path": "text.txt"}},
            "pairs": ["f16", "q8_0"],
            "quality": {"contexts": [1024], "chunks": 8},
            "throughput": {"depths": [0, 1024, 8192, 65536], "prompt": 64, "generate": 16, "repetitions": 3},
            "limits": {"cell_hours": 2},
        }
    )


def test_before_the_model_is_known_only_a_time_is_asked_for(workplace: Workplace) -> None:
    workplace.model_json.unlink()
    cell = ThroughputCell("stand-in", "tiny", 8192, Q8)
    assert request(study(), cell, workplace.results) == Request(mem_mb=0, disk_mb=0, runtime=130)


def test_memory_is_what_the_plan_counts_and_half_of_it_and_a_gibibyte(workplace: Workplace) -> None:
    weights = json.loads(workplace.model_json.read_text())["size_bytes"]
    # 8192 + 64 tokens in a cache of whole 256s, 4 layers, 2 heads of 128 values, K and V; 8.5 bits each.
    bytes_per_token = 2 * 4 * 2 * 128 * 8.5 / 8
    counted = weights + 8448 * bytes_per_token + 8192 * bytes_per_token
    found = request(study(), ThroughputCell("stand-in", "tiny", 8192, Q8), workplace.results)
    assert found.mem_mb == pytest.approx((1.5 * counted + 2**30) / 1e6, abs=1)


def test_on_a_gpu_weights_and_cache_are_not_in_the_nodes_memory(workplace: Workplace) -> None:
    build = json.loads(workplace.build_json.read_text())
    workplace.build_json.write_text(json.dumps(build | {"backend": "cuda"}))
    found = request(study(), ThroughputCell("stand-in", "tiny", 0, Q8), workplace.results)
    assert found.mem_mb == pytest.approx(2**30 / 1e6, abs=1)


def test_the_disk_of_a_baseline(workplace: Workplace) -> None:
    run = BaselineRun("stand-in", "tiny", "text", 1024)
    header, tokens, rows = 20, 4 * 8 * 1024, 8 * 511 * 2 * (260 + 4)
    assert request(study(), run, workplace.results).disk_mb == pytest.approx(
        (header + tokens + rows + 2**30) / 1e6, abs=1
    )


def test_the_time_of_a_quality_cell_comes_from_its_baseline(with_baseline: Workplace) -> None:
    cell = QualityCell("stand-in", "tiny", "text", 1024, Q8)
    record = with_baseline.baseline / "run.json"
    run = json.loads(record.read_text())
    record.write_text(json.dumps(run | {"wall_seconds": 600}))
    assert request(study(), cell, with_baseline.results).runtime == 3 * 10 + 10
    # Never more than the limit.
    record.write_text(json.dumps(run | {"wall_seconds": 7000}))
    assert request(study(), cell, with_baseline.results).runtime == 120 + 10


def test_the_time_of_a_deep_cell_comes_from_two_shallower_ones(workplace: Workplace) -> None:
    deep = ThroughputCell("stand-in", "tiny", 65536, Q8)
    for depth in (0, 1024):
        assert measure(workplace.throughput_command("q8_0/q8_0", depth)).returncode == 0
    assert request(study(), deep, workplace.results).runtime == 120 + 10
    assert measure(workplace.throughput_command("q8_0/q8_0", 8192)).returncode == 0
    # The stand-in takes seconds for this.
    assert request(study(), deep, workplace.results).runtime < 20


def test_cells_of_another_kind_of_node_tell_no_time(workplace: Workplace) -> None:
    deep = ThroughputCell("stand-in", "tiny", 65536, Q8)
    for depth in (0, 1024, 8192):
        assert measure(workplace.throughput_command("q8_0/q8_0", depth)).returncode == 0
    record = workplace.results / ThroughputCell("stand-in", "tiny", 8192, Q8).directory / "run.json"
    run = json.loads(record.read_text())
    name = run["machine"]["name"]
    assert (
        request(study(nodes={"cores": 2, "machine": "another"}), deep, workplace.results).runtime == 120 + 10
    )
    assert request(study(nodes={"cores": 2, "machine": name}), deep, workplace.results).runtime < 20
    # Nobody has named this one, and the cells are of two.
    record.write_text(json.dumps(run | {"machine": run["machine"] | {"name": "another"}}))
    assert request(study(), deep, workplace.results).runtime == 120 + 10


def test_a_cluster_has_to_be_told_what_its_nodes_are() -> None:
    check_nodes(study(nodes={"cores": 64}))
    with pytest.raises(ConfigError, match=r"^engines\.stand-in\.nodes: missing; on a cluster write"):
        check_nodes(study())


def test_untimed_cells_share_the_cores_of_a_node() -> None:
    nodes = study(nodes={"cores": 64, "share": 4}).engines["stand-in"].nodes
    assert nodes is not None
    assert (nodes.cores, nodes.untimed_cores) == (64, 16)
