"""What goes into a slice: records, logs and tables of a study, and nothing that is private."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tarfile
import zipfile
from pathlib import Path

import pytest
import recorded_study
from kvsweep.errors import KvsweepError
from kvsweep.slices.layout import FORMAT, Limits, is_member
from kvsweep.slices.of_machine import file_name, private_of, studies_in
from kvsweep.slices.pack import Held, write_slice
from kvsweep.slices.read import read_slice
from recorded_slice import Made
from support import run_in_this_process

CELL = Path("throughput/mainline/kvsweep-demo/d512/k-q8_0/v-q8_0")


def packed(results: Path, path: Path, limits: Limits | None = None) -> Held:
    (study,) = studies_in(results)
    return write_slice(path, study, private_of(study), "0.1.0", *([limits] if limits else []))


def change(results: Path, cell: Path, stream: str, change_text: dict[str, str] | str) -> None:
    """Change a log, or with a mapping texts of the record, as if they had been measured so."""
    record, log = results / cell / "run.json", results / cell / stream
    run = record.read_text()
    if isinstance(change_text, dict):
        for old, new in change_text.items():
            assert old in run
            run = run.replace(old, new)
    else:
        before = log.read_bytes()
        data = before + change_text.encode()
        log.write_bytes(data)
        run = run.replace(hashlib.sha256(before).hexdigest(), hashlib.sha256(data).hexdigest())
    record.write_text(run)


def unpacked(path: Path) -> dict[str, bytes]:
    """All that is in a slice, by name, as ``unzip`` and ``tar xJ`` find it."""
    found = {}
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            found[name] = archive.read(name)
            if name.endswith(".tar.xz"):
                with tarfile.open(fileobj=io.BytesIO(found.pop(name)), mode="r:xz") as bundle:
                    for entry in bundle:
                        content = bundle.extractfile(entry)
                        assert entry.isreg() and entry.mode == 0o644 and content is not None
                        found[entry.name] = content.read()
    return found


def everything(path: Path) -> str:
    return "".join(name + data.decode("utf-8", errors="replace") for name, data in unpacked(path).items())


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Four of the recorded cells."""
    found = tmp_path / "results"
    few = shutil.ignore_patterns("c1024", "d0", "d1024", "k-q4_?", "k-iq4_nl", "v-q4_0")
    shutil.copytree(recorded_study.RESULTS, found, ignore=few)
    return found


def test_members_and_manifest(made: Made) -> None:
    members = unpacked(made.path)
    manifest = json.loads(members["manifest.json"])
    said = {name: entry for name, entry in manifest["members"].items() if not name.endswith(".tar.xz")}
    assert {name: (one["size_bytes"], one["sha256"]) for name, one in said.items()} == {
        name: (len(data), hashlib.sha256(data).hexdigest())
        for name, data in members.items()
        if name != "manifest.json"
    }
    assert all(map(is_member, members))
    in_bundles = {name.partition("/")[0] for name, one in said.items() if "in" in one}
    assert in_bundles == {"quality", "throughput"}
    assert (manifest["format"], manifest["kvsweep"], manifest["cells"]) == (FORMAT, "0.1.0", {"measured": 35})
    model = json.loads((recorded_study.RESULTS / "models/kvsweep-demo/model.json").read_text())
    assert manifest["models"] == {"kvsweep-demo": {"sha256": model["sha256"]}}
    assert manifest["machine"]["name"] and manifest["configuration"]["pairs"] == list(recorded_study.PAIRS)
    assert not [name for name in members if "baseline" in name or name.endswith((".gguf", ".kld", ".txt"))]


def test_the_same_study_makes_the_same_bytes(made: Made, tmp_path: Path) -> None:
    packed(made.results, tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == made.path.read_bytes()


def test_200_cells_are_under_a_megabyte(made: Made) -> None:
    n_cells = sum(made.held.statuses.values())
    assert made.path.stat().st_size / n_cells * 200 < 1e6


def test_nothing_private_is_in_any_member(results: Path, tmp_path: Path) -> None:
    token = "hf_" + "Zz9" * 10
    change(
        results,
        CELL,
        "stderr.log",
        "\nload: /Users/zebedee/x.gguf $HOME=/home/zebedee zebedee@attic-9 Authorization: Bearer abcdefsecret\n"
        f"token {token} ghp_abcdefghijklmnopqrstuvwxyz0123456789 https://zebedee:pa55word@example.org/x ATTIC-9\n",
    )
    host = json.loads((results / CELL / "run.json").read_text())["machine"]["host"]
    change(results, CELL, "stderr.log", {f'"host": "{host}"': '"host": "attic-9.example.org"'})
    change(results, CELL, "stderr.log", {'"environment": {}': '"environment": {"HF_TOKEN": "abcdefsecret"}'})
    config = json.loads((results / "config.json").read_text())
    config["corpora"]["demo-text"] = {"path": "/home/zebedee/texts/secret.txt"}
    (results / "config.json").write_text(json.dumps(config))
    held = packed(results, tmp_path / "slice.zip")
    found = everything(tmp_path / "slice.zip").lower()
    for secret in (
        "zebedee",
        "attic-9",
        "abcdefsecret",
        token.lower(),
        "ghp_abc",
        "pa55word",
        str(tmp_path).lower(),
    ):
        assert secret not in found, secret
    assert {"home directories", "tokens and passwords", "host names"} <= held.replaced.keys()
    rows = read_slice("x", tmp_path / "slice.zip")
    text = repr(rows).lower()
    assert not [word for word in ("zebedee", "attic-9", "abcdefsecret") if word in text]


def test_a_taker_reads_what_the_giver_measured(made: Made) -> None:
    expected = {
        (row["ctk"], row["ctv"], row["depth"], row["phase"]): row["tokens_per_second"]
        for row in recorded_study.read(recorded_study.EXPECTED)["throughput"]
    }
    rows = read_slice("attic", made.path).throughput
    assert {
        (row["ctk"], row["ctv"], row["depth"], row["phase"]): row["tokens_per_second"] for row in rows
    } == expected


def test_a_log_that_is_too_long_leaves_the_tables(results: Path, tmp_path: Path) -> None:
    change(results, CELL, "stderr.log", "x\n" * 100_000)
    held = packed(results, tmp_path / "slice.zip", Limits(log_bytes=150_000))
    assert held.left_out == [f"{CELL}: its log is longer than a slice takes; its rows are in the tables"]
    rows = read_slice("attic", tmp_path / "slice.zip").throughput
    given = [row for row in rows if row["made_from"] == "tables"]
    assert [(row["ctk"], row["depth"], row["phase"]) for row in given] == [
        ("q8_0", 512, "prefill"),
        ("q8_0", 512, "decode"),
    ]
    assert len(rows) == 4


def test_a_machine_each(results: Path) -> None:
    name = json.loads((results / CELL / "run.json").read_text())["machine"]["name"]
    change(results, CELL, "stderr.log", {f'"name": "{name}"': '"name": "Attic, 3 GPUs"'})
    studies = studies_in(results)
    assert [(study.machine, len(study.cells)) for study in studies] == [(name, 3), ("Attic, 3 GPUs", 1)]
    attic = studies[1]
    assert file_name(attic, private_of(attic)) == f"slice-Attic-3-GPUs-{attic.date}.zip"


def test_a_directory_without_a_study(tmp_path: Path) -> None:
    with pytest.raises(KvsweepError, match="there is no study here"):
        studies_in(tmp_path)


def test_a_damaged_record_is_named(results: Path, tmp_path: Path) -> None:
    with (results / CELL / "stderr.log").open("a") as file:
        file.write("more")
    with pytest.raises(KvsweepError, match=f"{CELL}/stderr.log: changed since it was measured"):
        packed(results, tmp_path / "slice.zip")


def test_the_programs(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dry = run_in_this_process("make_slice", ("--results", results, "DRY=1"))
    listed = capsys.readouterr().out
    assert dry.returncode == 0 and not list(results.glob("*.zip"))
    done = run_in_this_process("make_slice", ("--results", results))
    assert done.returncode == 0 and capsys.readouterr().out == listed
    assert "4 cells (4 measured)" in listed and "replaced: " in listed
    (path,) = results.glob("slice-*.zip")
    unknown = run_in_this_process("make_slice", ("--results", results, "MODEL=m"))
    assert unknown.returncode == 1 and "MODEL: not known here; DRY=1 only lists" in unknown.stderr
    check = run_in_this_process("check_slice", (path,))
    assert check.returncode == 0
    assert "throughput: 4 rows (4 measured), 4 made from raw logs" in capsys.readouterr().out
