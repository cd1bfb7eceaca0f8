"""How fast a pair was at the depths that have been measured of it."""

import json
from pathlib import Path

from kvsweep.files import sha256
from kvsweep.measure.prediction import has_probe, measured_curve
from kvsweep.study.pairs import Pair
from support import Workplace, measure, run_json


def curve(workplace: Workplace, pair: str, build: str | None = None) -> dict[int, tuple[bool, bool]]:
    """By depth, whether prefill and decode are known."""
    place = workplace.throughput(pair).parents[2]
    model = json.loads(workplace.model_json.read_text())["sha256"]
    found = measured_curve(place, Pair.parse(pair), build or sha256(workplace.build_json), model)
    return {depth: (rates.prefill > 0, rates.decode is not None) for depth, rates in found.items()}


def test_what_has_been_measured_of_a_pair(workplace: Workplace) -> None:
    for depth in (0, 1024):
        measure(workplace.throughput_command("q8_0/q8_0", depth))
    measure(workplace.throughput_command("q8_0/q8_0", 2048), {"STAND_IN": "crash-half"})
    measure(workplace.throughput_command("q8_0/q8_0", 4096), {"STAND_IN": "oom"})
    measure(workplace.throughput_command("f16/f16"))
    assert curve(workplace, "q8_0/q8_0") == {0: (True, True), 1024: (True, True), 2048: (True, False)}
    assert curve(workplace, "q8_0/q8_0", build="another engine") == {}
    # A damaged record predicts nothing.
    (workplace.throughput("q8_0/q8_0", 1024) / "bench.jsonl").write_text("")
    (workplace.throughput("q8_0/q8_0", 0) / "run.json").write_text("{")
    assert curve(workplace, "q8_0/q8_0") == {2048: (True, False)}
    assert run_json(workplace.throughput("f16/f16"))["ctk"] == "f16"


def test_records_are_read_where_a_shallower_depth_is_there(tmp_path: Path) -> None:
    """Depth 0 predicts nothing, nor does what is as deep, of another pair, or no depth at all."""
    for cell in ("d0/k-q8_0/v-q4_0", "d4096/k-q8_0/v-q4_0", "d512/k-f16/v-f16", "deep/k-q8_0/v-q4_0"):
        (tmp_path / cell).mkdir(parents=True)
    pair = Pair("q8_0", "q4_0")
    assert [has_probe(tmp_path, pair, depth) for depth in (0, 512, 4096, 4097)] == [False, False, False, True]
    (tmp_path / "round-2" / "d512" / "k-q8_0" / "v-q4_0").mkdir(parents=True)
    assert has_probe(tmp_path, pair, 1024)
