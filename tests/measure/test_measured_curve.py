"""How fast a pair was at the depths that have been measured of it."""

import json

from kvsweep.files import sha256
from kvsweep.measure.prediction import measured_curve
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
