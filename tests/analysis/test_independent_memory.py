"""Memory once more, from the recorded logs and the model's manifest, with numpy alone: each cell, and each largest
context."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import recorded_study
from recomputed import SUBJECT, Tables

MIB = 2**20
BITS = {
    "f16": 16.0,
    "q8_0": 8.5,
    "q4_0": 4.5,
    "q4_1": 5.0,
    "iq4_nl": 4.5,
}  # of a value, with its block's scale
Cell = tuple[str, str, int]


def types_of(pair: str) -> tuple[str, str]:
    ctk, _, ctv = pair.partition("/")
    return ctk, ctv or ctk


class Machine:
    """What the recorded run says of memory, and what follows for contexts that were not run."""

    def __init__(self) -> None:
        model = json.loads((recorded_study.RESULTS / "models" / SUBJECT.name / "model.json").read_text())
        self.values = model["kv_values_per_token_k"], model["kv_values_per_token_v"]
        self.trained = model["n_ctx_train"]
        self.cells: dict[Cell, dict[int, float]] = {}  # bytes of compute buffers by context, of each test
        self.kv: dict[Cell, dict[int, int]] = {}  # bytes of the cache likewise
        weights = set()
        for pair in recorded_study.PAIRS:
            ctk, ctv = types_of(pair)
            for depth in recorded_study.DEPTHS:
                place = recorded_study.RESULTS / Path(
                    "throughput", SUBJECT, f"d{depth}", f"k-{ctk}", f"v-{ctv}"
                )
                log = (place / "stderr.log").read_text()
                self.memory = json.loads((place / "run.json").read_text())["machine"]["memory_bytes"]
                weights |= set(re.findall(r"model buffer size = +([\d.]+) MiB", log))
                cells = [int(n) for n in re.findall(r"size = .*MiB \( *(\d+) cells", log)]
                buffers = [
                    float(mib) * MIB for mib in re.findall(r"compute buffer size = +([\d.]+) MiB", log)
                ]
                logged = re.findall(r"K \(\w+\): +([\d.]+) MiB, V \(\w+\): +([\d.]+) MiB", log)
                assert len(cells) == len(buffers) == len(logged) == 2
                self.cells[ctk, ctv, depth] = dict(zip(cells, buffers, strict=True))
                self.kv[ctk, ctv, depth] = {n: self.cache(ctk, ctv, n) for n in cells}
                for n, sides in zip(cells, logged, strict=True):
                    assert self.cache(ctk, ctv, n) / MIB == pytest.approx(sum(map(float, sides)), abs=0.011)
        (mib,) = weights
        self.weights = round(float(mib) * MIB)

    def cache(self, ctk: str, ctv: str, context: int) -> int:
        k, v = self.values
        return round(context * (k * BITS[ctk] + v * BITS[ctv]) / 8)

    def buffers(self, ctk: str, ctv: str, contexts: np.ndarray) -> np.ndarray:
        """Between what was logged on lines; beyond it with the steepest slope of any pair, below with the first one."""
        points = {
            max(self.cells[cell]): max(self.cells[cell].values())
            for cell in self.cells
            if cell[:2] == (ctk, ctv)
        }
        x, y = (np.array(one) for one in zip(*sorted(points.items()), strict=True))
        steepest = 0.0
        for pair in {cell[:2] for cell in self.cells}:
            own = sorted(
                (max(tests), max(tests.values())) for cell, tests in self.cells.items() if cell[:2] == pair
            )
            steepest = max(steepest, *(np.diff([size for _, size in own]) / np.diff([n for n, _ in own])))
        for tests in self.cells.values():
            (low, small), (high, large) = sorted(tests.items())
            if low >= 512:  # a context below a micro-batch has smaller buffers for another reason
                steepest = max(steepest, (large - small) / (high - low))
        below = y[0] + max((y[1] - y[0]) / (x[1] - x[0]), 0.0) * (contexts - x[0])
        beyond = y[-1] + steepest * (contexts - x[-1])
        return np.where(contexts < x[0], below, np.where(contexts > x[-1], beyond, np.interp(contexts, x, y)))


@pytest.fixture(scope="module")
def machine() -> Machine:
    return Machine()


def test_what_each_cell_needs(tables: Tables, machine: Machine) -> None:
    rows = {(row["ctk"], row["ctv"], row["depth"]): row for row in tables["memory"]}
    assert rows.keys() == machine.cells.keys()
    for cell, row in rows.items():
        kv, buffers = max(machine.kv[cell].values()), max(machine.cells[cell].values())
        assert row["weights_bytes"] == machine.weights and row["kv_bytes"] == kv and row["kv_from"] == "log"
        assert row["compute_bytes"] == pytest.approx(buffers, abs=1) and row["compute_from"] == "log"
        assert row["needed_bytes"] == pytest.approx(machine.weights + kv + buffers, abs=2)
        assert row["machine_memory_bytes"] == machine.memory and row["fits"] == (
            machine.weights + kv + buffers <= machine.memory
        )
        assert row["kv_bytes_per_token"] == machine.cache(cell[0], cell[1], 256) / 256


def test_the_largest_context_of_every_memory(tables: Tables, machine: Machine) -> None:
    contexts = np.arange(256, 20_000_000, 256)
    rows = tables["largest_context"]
    assert len(rows) == len(recorded_study.PAIRS) * (1 + len(recorded_study.MEMORIES))
    for row in rows:
        k, v = machine.values
        per_token = (k * BITS[row["ctk"]] + v * BITS[row["ctv"]]) / 8
        buffers = machine.buffers(row["ctk"], row["ctv"], contexts)
        needed = machine.weights + contexts * per_token + buffers
        size = machine.memory if row["memory_is"] == "the machine's own" else row["memory_bytes"]
        largest = int(contexts[needed <= size].max(initial=0))
        assert row["largest_context"] == largest and 0 < largest < contexts[-1]
        assert row["recommended_context"] == min(largest, machine.trained)
        assert row["compute_bytes"] == pytest.approx(buffers[contexts == largest][0], rel=1e-6)  # whole bytes
        assert row["deepest_measured"] == max(recorded_study.DEPTHS) and "shallowest_oom" not in row
