"""Measuring with the scorer: a program in its place writes the same files, and fails for the pairs it is told to."""

import json
import resource
import shutil
import struct
from pathlib import Path
from types import SimpleNamespace

import pytest
from kvsweep.inputs.kv_layers import LayerGroup
from kvsweep.inputs.model_header import ModelHeader
from kvsweep.measure.scorer_pairs import context_bytes
from kvsweep.study.pairs import Pair
from support import STAND_IN, Done, Workplace, measure, run_json

PROGRAM = f"""\
#!/usr/bin/env python3
import os, re, struct, sys
from pathlib import Path
if "--features" in sys.argv:
    print("{{}}"); sys.exit()
given = dict(zip(sys.argv[1::2], sys.argv[2::2]))
n_ctx, windows = int(given["-c"]), int(given["--windows"])
pairs = [(p.split("/")[0], p.split("/")[-1]) for p in given["--pairs"].split(",")]
log = (Path({str(STAND_IN)!r}).parent / "data/engine-output/fork/kld-q8_0-q8_0.stderr").read_text()
for k, v in [("base", pairs[0]), *(("pair", pair) for pair in pairs)]:
    name = "f16/f16" if k == "base" else "/".join(v)
    said = f"kvsweep-scorer: context of {{k}} {{name}}", log, "kvsweep-scorer: end of context"
    print(*said, sep="\\n", file=sys.stderr)
with open(os.environ["CALLS"], "a") as calls:
    print(given["--pairs"], file=calls)
if "SHORT" in os.environ:
    print("error: you need at least 4096 tokens for 4 windows of 1024 tokens; the text tokenizes to only 99 tokens",
          file=sys.stderr)
    sys.exit(1)
die = int(os.environ.get("DIE_AFTER", "99"))
for window in range(windows):
    if window == die:
        os.kill(os.getpid(), 11)
    for k, v in pairs:
        place = Path(given["--output"], f"k-{{k}}", f"v-{{v}}")
        path = place / f"w{{window:05d}}.scores"
        if f"{{k}}/{{v}}" == os.environ.get("REFUSED") or path.exists():
            continue
        place.mkdir(parents=True, exist_ok=True)
        at = range(n_ctx // 2, n_ctx - 1)
        data = struct.pack("<8sIIIIQ", b"kvscore1", window, n_ctx, len(at), 32, 0)
        data += b"".join(struct.pack("<iifffffI", i, 7, 2.0, 2.5, 0.0 if k == "f16" else 0.25, 0.0, 1.0, 1) for i in at)
        path.write_bytes(data)
        print(f'{{{{"window": {{window}}, "pair": "{{k}}/{{v}}"}}}}')
sys.exit(3 if os.environ.get("REFUSED") in ["/".join(pair) for pair in pairs] else 0)
"""


@pytest.fixture
def place(workplace: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workplace:
    """With an engine that has a scorer, and a run of three pairs under way."""
    binaries = tmp_path / "bin"
    shutil.copytree(STAND_IN, binaries)
    program = binaries / "kvsweep-scorer"
    program.write_text(PROGRAM)
    program.chmod(0o755)
    from kvsweep.files import sha256

    build = json.loads(workplace.build_json.read_text())
    build |= {"directory": str(binaries), "scorer": {"features": {}}}
    build["files"]["kvsweep-scorer"] = sha256(program)
    workplace.build_json.write_text(json.dumps(build))
    cells = [str(cell(workplace, pair).relative_to(workplace.results)) for pair in ("f16", "q8_0", "q4_0")]
    (workplace.results / "cells.txt").write_text("\n".join(cells) + "\n")
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    return workplace


def cell(place: Workplace, pair: str) -> Path:
    types = Pair.parse(pair)
    return place.results / "scorer/stand-in/tiny/text/c1024" / f"k-{types.ctk}" / f"v-{types.ctv}"


def score(place: Workplace, pair: str, **environment: str) -> int:
    return scored(place, pair, **environment).returncode


def scored(place: Workplace, pair: str, **environment: str) -> Done:
    command = [
        *("scorer", "--results", place.results, "--cell", str(cell(place, pair).relative_to(place.results))),
        *(
            "--engine",
            place.build_json,
            "--model",
            place.model_json,
            "--corpus",
            place.corpus_json,
            "--pair",
            pair,
        ),
        *("--n-ctx", "1024", "--chunks", "4", "--positions", "half"),
    ]
    # Only knobs of the configuration reach an engine.
    build = json.loads(place.build_json.read_text())
    build["environment"] = environment
    place.build_json.write_text(json.dumps(build))
    return measure(command)


def calls(tmp_path: Path) -> list[str]:
    return (tmp_path / "calls").read_text().split()


def test_pairs_share_a_process_and_each_is_a_cell(place: Workplace, tmp_path: Path) -> None:
    for pair in ("f16", "q8_0", "q4_0"):
        assert score(place, pair) == 0
    assert calls(tmp_path) == ["f16,q8_0,q4_0"]
    n_bytes = 4 * (32 + 511 * 32)
    for pair in ("f16", "q8_0", "q4_0"):
        run = run_json(cell(place, pair))
        assert (run["kind"], run["ctk"], run["exit_status"]) == ("scorer", Pair.parse(pair).ctk, 0)
        assert (cell(place, pair) / "tokens.scores").stat().st_size == n_bytes
        assert [process["pairs"] for process in run["processes"]] == [["f16", "q8_0", "q4_0"]]
        log = (cell(place, pair) / "stderr.log").read_text()
        assert log.count("kvsweep-scorer: context of") == 1
    # Nothing is left of what they shared.
    assert not (cell(place, "f16").parents[1] / "windows").exists()


def test_a_window_that_is_done_is_not_done_again(place: Workplace, tmp_path: Path) -> None:
    assert score(place, "f16", DIE_AFTER="2") == 0  # it died with all pairs, then with this one alone
    assert calls(tmp_path) == ["f16,q8_0,q4_0", "f16"]
    windows = cell(place, "q8_0").parents[1] / "windows" / "scores" / "k-q8_0" / "v-q8_0"
    assert len(list(windows.glob("w*.scores"))) == 2
    first = windows / "w00000.scores"
    before = first.stat().st_mtime_ns
    assert score(place, "q8_0", DIE_AFTER="2") == 0
    assert not first.exists() or first.stat().st_mtime_ns == before


def test_a_pair_that_is_refused_takes_no_other_with_it(place: Workplace, tmp_path: Path) -> None:
    for pair in ("f16", "q8_0", "q4_0"):
        assert score(place, pair, REFUSED="q8_0/q8_0") == 0
    assert calls(tmp_path) == ["f16,q8_0,q4_0", "q8_0"]
    assert [run_json(cell(place, pair))["exit_status"] for pair in ("f16", "q8_0", "q4_0")] == [3, 3, 3]
    sizes = [(cell(place, pair) / "tokens.scores").stat().st_size for pair in ("f16", "q8_0", "q4_0")]
    assert sizes[0] == sizes[2] > 0 == sizes[1]


def test_a_full_disk_loses_no_window_and_leaves_no_half_of_a_cell(place: Workplace, tmp_path: Path) -> None:
    """Full where the windows of a cell are joined: they are larger than each of them."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, limits[1]))
    try:
        done = scored(place, "f16")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert done.returncode == 1
    assert "tokens.scores: cannot be written (File too large); free disk space." in done.stderr
    assert {path.name for path in cell(place, "f16").iterdir() if path.is_file()} <= {".runner"}
    assert score(place, "f16") == 0
    assert calls(tmp_path) == ["f16,q8_0,q4_0"]


def test_what_was_left_by_other_files_is_not_used(place: Workplace, tmp_path: Path) -> None:
    assert score(place, "f16") == 0
    corpus = json.loads(place.corpus_json.read_text())
    text = Path(corpus["path"])
    changed = tmp_path / "other.txt"
    changed.write_text(text.read_text() + "more")
    from kvsweep.files import sha256

    corpus |= {"path": str(changed), "sha256": sha256(changed)}
    place.corpus_json.write_text(json.dumps(corpus))
    assert score(place, "q8_0") == 0
    assert calls(tmp_path) == ["f16,q8_0,q4_0", "q8_0,q4_0"]


def test_an_engine_without_a_scorer_says_so(workplace: Workplace) -> None:
    command = [
        *("scorer", "--results", workplace.results, "--cell", "scorer/stand-in/tiny/text/c1024/k-f16/v-f16"),
        *(
            "--engine",
            workplace.build_json,
            "--model",
            workplace.model_json,
            "--corpus",
            workplace.corpus_json,
        ),
        *("--pair", "f16", "--n-ctx", "1024", "--chunks", "4", "--positions", "half"),
    ]
    done = measure(command)
    assert done.returncode != 0
    assert "engines.stand-in: has no scorer, which quality.method asks for: " in done.stderr
    assert not (cell(workplace, "f16") / "run.json").exists()


def test_a_text_that_is_too_short_is_said_and_leaves_no_record(place: Workplace, tmp_path: Path) -> None:
    build = json.loads(place.build_json.read_text())
    done = scored(place, "f16", SHORT="1")
    assert done.returncode != 0
    assert (
        "corpora.text: the text has 99 tokens and needs 4096 for 4 windows of 1024 (quality.chunks); take a longer "
        "text, fewer windows or a shorter context." in done.stderr
    )
    assert not list(cell(place, "f16").glob("*.json")) and not list(cell(place, "f16").glob(".*.partial"))
    assert calls(tmp_path) == ["f16,q8_0,q4_0"]
    place.build_json.write_text(json.dumps(build))
    assert score(place, "f16") == 0


def test_a_sliding_window_takes_no_more_of_a_cache_than_it_holds() -> None:
    def bytes_of(group: LayerGroup) -> int:
        header = ModelHeader(
            **{"architecture": "llama", "weight_type": "F16", "n_parameters": 1, "n_layers": 4, "n_heads": 1},
            **{"n_kv_heads": group.kv_heads, "head_size_k": 256, "head_size_v": 256, "n_vocab": 1000},
            **{"n_ctx_train": 32768, "kv_groups": (group,)},
        )
        subject = SimpleNamespace(model=header.as_dict(), cell={"n_ctx": 32768})
        return context_bytes(subject, Pair("q8_0", "q8_0"))  # type: ignore[arg-type]

    full = LayerGroup("full", (1, 1, 1, 1), 256, 256)
    sliding = LayerGroup("window", (1, 1, 1, 1), 256, 256, 512)
    bytes_of_a_token = 4 * 2 * 256 * 34 // 32
    assert bytes_of(full) - bytes_of(sliding) == (32768 - 1024) * bytes_of_a_token


def test_the_record_is_read_back(place: Workplace) -> None:
    from kvsweep.study.cells import QualityCell
    from kvsweep.tables.raw_cells import read_raw_cell

    assert score(place, "q8_0") == 0
    found = read_raw_cell(
        QualityCell("stand-in", "tiny", "text", 1024, Pair("q8_0", "q8_0"), "scorer"), cell(place, "q8_0")
    )
    assert (found.status, found.reason) == ("measured", None)
    damaged = cell(place, "q8_0") / "tokens.scores"
    data = bytearray(damaged.read_bytes())
    data[32 + 16 : 32 + 20] = struct.pack("<f", float("nan"))
    damaged.write_bytes(data)
    found = read_raw_cell(found.cell, found.directory)
    assert found.status == "crashed"
