"""A stranger's file: refused in one sentence that names the member, and nothing of it is a row."""

from __future__ import annotations

import hashlib
import io
import json
import lzma
import stat
import struct
import subprocess
import sys
import tarfile
import time
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from kvsweep.errors import KvsweepError
from kvsweep.slices import bundles, given
from kvsweep.slices.archive import open_slice
from kvsweep.slices.given import read_all, read_apart
from kvsweep.slices.layout import FORMAT, Limits, Refused
from kvsweep.slices.read import read_slice
from kvsweep.tables.columns import as_table
from kvsweep.tables.schemas import THROUGHPUT
from recorded_slice import Made
from support import SCRIPTS
from synthetic_tables import throughput_row

CELL = "throughput/mainline/kvsweep-demo/d512/k-q8_0/v-q8_0"
CONTROL = "throughput/mainline/kvsweep-demo/d512/k-f16/v-f16"
TABLE = "tables/throughput.parquet"
Members = dict[str, bytes]


@pytest.fixture(scope="module")
def members(made: Made) -> Members:
    """Two cells of a good slice, and what belongs to them."""
    with open_slice(made.path) as contents:
        return {
            name: contents.read(name)
            for name in contents.names
            if name.startswith((CELL, CONTROL, "engines", "models", "config"))
        }


def entry(name: str, mode: int = stat.S_IFREG | 0o644) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.filename = name  # also where there is a null character in it
    info.external_attr, info.compress_type = mode << 16, zipfile.ZIP_DEFLATED
    return info


def manifest_of(members: Members, **changes: Any) -> bytes:
    listed = {
        name: {"size_bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for name, data in members.items()
    }
    return json.dumps({"format": 1, "kvsweep": "0.1.0", "members": listed} | changes).encode()


def write(path: Path, members: Members, manifest: bytes | None = None, *more: tuple[Any, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(entry(name), data)
        for name, data in more:
            archive.writestr(name if isinstance(name, zipfile.ZipInfo) else entry(name), data)
        archive.writestr(entry("manifest.json"), manifest_of(members) if manifest is None else manifest)
    return path


def refusal(path: Path, limits: Limits | None = None) -> str:
    """What is said of a slice that is refused, without the place."""
    with pytest.raises(KvsweepError) as raised:
        read_slice("attic", path, limits or Limits(), read_tables=read_all)
    said = str(raised.value)
    assert said.startswith(f"slices.attic: {path}: ") and said.endswith(".") and said.isprintable()
    return said.removeprefix(f"slices.attic: {path}: ")


def with_record(members: Members, change: Callable[[dict[str, Any]], Any], cell: str = CELL) -> Members:
    run = json.loads(members[f"{cell}/run.json"])
    change(run)
    return members | {f"{cell}/run.json": json.dumps(run).encode()}


def test_the_good_one_is_read(members: Members, tmp_path: Path) -> None:
    rows = read_slice("attic", write(tmp_path / "s.zip", members), read_tables=read_all)
    assert [(row["ctk"], row["made_from"], row["slice"]) for row in rows.throughput] == [
        *[("f16", "raw", "attic")] * 2,
        *[("q8_0", "raw", "attic")] * 2,
    ]


# -- the archive ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "../evil.json",
        "/etc/passwd",
        "engines/../../evil/build.json",
        "C:\\evil.json",
        "engines\\mainline\\build.json",
        "engines/mainline/build.json\x00.txt",
        "engines/main\nline/build.json",
        "engines/<script>alert(1)</script>/build.json",
        "engines/=cmd/build.json",
        "engines/\u202egpj/build.json",
        "engines/.hidden/build.json",
        "engines/" + "x" * 5000 + "/build.json",
        "baseline/a/b/c/c512/logits.kld",
        "throughput/a/b/d007/k-f16/v-f16/run.json",
        "engines/mainline/",
    ],
)
def test_names_of_no_member(members: Members, tmp_path: Path, name: str) -> None:
    before = set(tmp_path.parent.rglob("*"))
    said = refusal(write(tmp_path / "s.zip", members, None, (name, b"{}")))
    assert "no slice has a member of that name" in said and len(said) < 250
    assert set(tmp_path.parent.rglob("*")) - before == {tmp_path / "s.zip"}


def test_a_link(members: Members, tmp_path: Path) -> None:
    link = entry("engines/x/build.json", stat.S_IFLNK | 0o777)
    assert refusal(write(tmp_path / "s.zip", members, None, (link, b"/etc/passwd"))) == (
        "engines/x/build.json: is a link or no file."
    )


def test_a_member_that_is_there_twice(members: Members, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate"):
        path = write(tmp_path / "s.zip", members, None, (f"{CELL}/run.json", b"{}"))
    assert refusal(path) == f"{CELL}/run.json: is in the archive twice."


def test_names_that_differ_in_capital_letters(members: Members, tmp_path: Path) -> None:
    more = members | {"engines/Mainline/build.json": b"{}"}
    assert refusal(write(tmp_path / "s.zip", more)).endswith(
        "differs from engines/mainline/build.json in capital letters only."
    )


@pytest.mark.parametrize(
    ("at", "value", "said"), [(8, 1, "is encrypted"), (10, 12, "is compressed in a way")]
)
def test_members_that_are_encrypted_or_of_another_compression(
    members: Members, tmp_path: Path, at: int, value: int, said: str
) -> None:
    path = write(tmp_path / "s.zip", members)
    data = bytearray(path.read_bytes())
    place = data.index(b"PK\x01\x02") + at
    data[place : place + 2] = struct.pack("<H", value)
    path.write_bytes(data)
    assert said in refusal(path)


def test_a_log_of_a_gibibyte(members: Members, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "s.zip", "w") as archive:
        with archive.open(entry(f"{CELL}/stderr.log"), "w") as file:
            for _ in range(64):
                file.write(bytes(2**20))
        for name in set(members) - {f"{CELL}/stderr.log"}:
            archive.writestr(entry(name), members[name])
        archive.writestr(entry("manifest.json"), manifest_of(members))
    assert refusal(tmp_path / "s.zip") == f"{CELL}/stderr.log: has 64 MiB, and at most 16 MiB are read."
    # One that says it is small: what it says is all that is read of it.
    data = bytearray((tmp_path / "s.zip").read_bytes())
    place = data.index(b"PK\x01\x02") + 24
    data[place : place + 4] = struct.pack("<I", 1000)
    (tmp_path / "s.zip").write_bytes(data)
    assert "stderr.log" in refusal(tmp_path / "s.zip")


def test_members_that_inflate_to_more_than_a_study_has(members: Members, tmp_path: Path) -> None:
    said = refusal(write(tmp_path / "s.zip", members), Limits(total_bytes=10_000))
    assert "with it the members have more than 9.77 KiB" in said


def test_a_million_members(tmp_path: Path) -> None:
    """Refused by the end of the archive, before a member is read."""
    directory = b"".join(
        struct.pack("<4s6H3I5H2I", b"PK\x01\x02", 20, 20, 0, 0, 0, 33, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0)
        + b"%07d" % n
        for n in range(300_000)
    )
    for total in (300_000 % 65536, 10, 65535):
        end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, total, total, len(directory), 0, 0)
        (tmp_path / "s.zip").write_bytes(directory + end)
        assert refusal(tmp_path / "s.zip") == "it has more than 60000 members, and no slice has so many."


def test_an_archive_of_more_than_65535_members(members: Members, tmp_path: Path) -> None:
    path = write(tmp_path / "s.zip", members)
    data = path.read_bytes()
    path.write_bytes(data[:-22] + struct.pack("<4sIQI", b"PK\x06\x07", 0, 0, 1) + data[-22:])
    assert "more members or bytes than a slice has" in refusal(path)


@pytest.mark.parametrize(
    "data", [b"", b"PK", b"x" * 5000, b"PK\x05\x06" + bytes(18), b"PK\x05\x06" + b"\xff" * 18]
)
def test_what_is_no_archive(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "s.zip").write_bytes(data)
    refusal(tmp_path / "s.zip")


def test_every_cut_of_an_archive(members: Members, tmp_path: Path) -> None:
    path = write(tmp_path / "s.zip", {name: members[name] for name in list(members)[:2]})
    data = path.read_bytes()
    for length in range(0, len(data), 97):
        path.write_bytes(data[:length])
        refusal(path)
    path.write_bytes(data + b"\n")
    refusal(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none.zip") == "cannot be read (No such file or directory)."


# -- the manifest -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("manifest", "said"),
    [
        (b"{", "is not valid JSON"),
        (b"[]", "is no manifest of a slice"),
        (b"{}", "does not say its format"),
        (b'{"format": true}', "does not say its format"),
        (b'{"format": 0}', "does not say its format"),
        (b'{"format": NaN}', "NaN is no number"),
        (b'{"format": 1, "format": 1}', "a key stands in it twice"),
        (b"[" * 200_000, "is not valid JSON"),
        (b'{"format": 1' + b"1" * 5000 + b"}", "is not valid JSON"),
        (b"\xff\xfe", "is not valid JSON"),
        (b'{"format": 1}', "lists no members"),
        (b'{"format": 1, "members": {"../x": {"size_bytes": 1, "sha256": "0"}}}', "names no member"),
        (b'{"format": 1, "members": {"config.json": {"size_bytes": -1, "sha256": "0"}}}', "names no member"),
    ],
)  # fmt: skip
def test_manifests_that_are_none(members: Members, tmp_path: Path, manifest: bytes, said: str) -> None:
    found = refusal(write(tmp_path / "s.zip", members, manifest))
    assert found.startswith("manifest.json: ") and said in found


def test_a_newer_format_says_what_to_do(members: Members, tmp_path: Path) -> None:
    manifest = manifest_of(members, format=FORMAT + 1, kvsweep="0.9.0")
    assert refusal(write(tmp_path / "s.zip", members, manifest)) == (
        f"manifest.json: says format {FORMAT + 1} (kvsweep 0.9.0 wrote it), and this kvsweep reads up to {FORMAT}; "
        f"update kvsweep, or ask for a slice of format {FORMAT}."
    )
    manifest = manifest_of(members, format=FORMAT + 1, kvsweep="<script>")
    assert "(a newer kvsweep wrote it)" in refusal(write(tmp_path / "s.zip", members, manifest))


def test_members_and_manifest_have_to_agree(members: Members, tmp_path: Path) -> None:
    path, log = tmp_path / "s.zip", f"{CELL}/stderr.log"
    said = refusal(write(path, members | {log: members[log][:-1] + b"?"}, manifest_of(members)))
    assert said == f"{log}: is not what the manifest says of it (size or sha256); get the slice again."
    said = refusal(write(path, members | {log: members[log] + b"?"}, manifest_of(members)))
    assert said.startswith(f"{log}: has ")
    said = refusal(write(path, members, None, ("corpora/x/corpus.json", b"{}")))
    assert said == "corpora/x/corpus.json: is not in the manifest."
    without = {name: data for name, data in members.items() if name != log}
    assert refusal(write(path, without, manifest_of(members))).startswith(
        f"{log}: is in the manifest and missing"
    )
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(entry("config.json"), b"{}")
    assert (
        refusal(path)
        == "manifest.json: is missing, so this is no slice; ask for a file that make slice wrote."
    )


# -- bundles ----------------------------------------------------------------------------------------------------------

BUNDLE = "records/0000.tar.xz"


def with_bundle(
    path: Path, members: Members, data: bytes | None = None, changes: Mapping[str, Any] | None = None
) -> Path:
    """A slice whose cells' members lie in a bundle; ``data`` in its place, ``changes`` of entries of the manifest."""
    inside = {name: text for name, text in members.items() if name.startswith("throughput")}
    outside = {name: text for name, text in members.items() if name not in inside}
    outside[BUNDLE] = bundles.pack(inside) if data is None else data
    said = json.loads(manifest_of(members | outside, format=3))
    for name in inside:
        said["members"][name]["in"] = BUNDLE
    for name, change in (changes or {}).items():
        said["members"].setdefault(name, {}).update(change)
    return write(path, outside, json.dumps(said).encode())


def test_cells_in_a_bundle_are_read(members: Members, tmp_path: Path) -> None:
    path = with_bundle(tmp_path / "s.zip", members)
    plain = read_slice("x", write(tmp_path / "p.zip", members), read_tables=read_all)
    assert read_slice("x", path, read_tables=read_all) == plain
    # Also where it was unpacked, once or twice.
    with zipfile.ZipFile(path) as archive:
        archive.extractall(tmp_path / "u")
    assert read_slice("x", tmp_path / "u", read_tables=read_all) == plain
    with tarfile.open(tmp_path / "u" / BUNDLE) as bundle:
        bundle.extractall(tmp_path / "u", filter="data")
    assert read_slice("x", tmp_path / "u", read_tables=read_all) == plain


def cells_of(members: Members) -> Members:
    return {name: data for name, data in members.items() if name.startswith("throughput")}


def tar_of(members: Members, *more: tarfile.TarInfo) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, data in sorted(members.items()):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        for info in more:
            archive.addfile(info, io.BytesIO(bytes(info.size)))
    return file.getvalue()


def link() -> tarfile.TarInfo:
    info = tarfile.TarInfo(f"{CELL}/stderr.log")
    info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
    return info


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda _: b"", "does not hold what the manifest says"),
        (lambda _: b"\xfd7zXZ\x00" + bytes(100), "is damaged"),
        (lambda members: bundles.pack(members)[:-20], "does not hold what the manifest says"),
        (lambda members: bundles.pack(members) + b"x", "does not hold what the manifest says"),
        (lambda members: bundles.pack(members) * 2, "does not hold what the manifest says"),
        (lambda _: lzma.compress(bytes(10**8)), "does not hold what the manifest says"),
        (lambda members: lzma.compress(tar_of(members, link())), "does not hold what the manifest says"),
        (lambda members: bundles.pack(dict(list(members.items())[1:])), "does not hold"),
        (lambda members: bundles.pack(members | {"../evil": b""}), "does not hold"),
        (
            lambda members: lzma.compress(
                lzma.decompress(bundles.pack(members)).replace(b"throughput/", b"../../../x/", 1)
            ),
            "has something else where throughput/",
        ),
        (
            lambda members: lzma.compress(lzma.decompress(bundles.pack(members))[:-1] + b"x"),
            "does not end where it should",
        ),
        # The right size, with a link where a log should be.
        (
            lambda members: lzma.compress(
                lzma.decompress(bundles.pack(members)).replace(b"\x00 0\x00", b"\x00 2\x00", 1)
            ),
            "has something else where throughput/",
        ),
    ],
)  # fmt: skip
def test_bundles_that_are_none(
    members: Members, tmp_path: Path, damage: Callable[[Members], bytes], said: str
) -> None:
    found = refusal(with_bundle(tmp_path / "s.zip", members, damage(cells_of(members))))
    assert found.startswith(f"{BUNDLE}: ") and said in found


def test_a_bundle_that_wants_a_gigabyte_to_be_read(members: Members, tmp_path: Path) -> None:
    header = bytearray(bundles.pack(cells_of(members)))
    header[16] = 38  # the size of the dictionary in the block's header: 2 GiB
    header[20:24] = struct.pack("<I", zlib.crc32(header[12:20]))
    assert refusal(with_bundle(tmp_path / "s.zip", members, bytes(header))) == (
        f"{BUNDLE}: is damaged (LZMAError); get the slice again."
    )


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        (f"{CELL}/stderr.log", {"in": "../x"}, "which is no bundle of the slice"),
        (f"{CELL}/stderr.log", {"in": "records/0001.tar.xz"}, "which is no bundle of the slice"),
        (f"{CELL}/stderr.log", {"in": f"{CELL}/run.json"}, "which is no bundle of the slice"),
        (f"{CELL}/stderr.log", {"in": None}, "which is no bundle of the slice"),
        (f"{CELL}/stderr.log", {"in": {"x": 1}}, "which is no bundle of the slice"),
        (BUNDLE, {"in": BUNDLE}, "which is no bundle of the slice"),
        (f"{CELL}/stderr.log", {"size_bytes": 10**9}, "and at most 16 MiB are read"),
        (f"{CELL}/stderr.log", {"size_bytes": True}, "names no member"),
        (f"{CELL.upper().replace('THROUGHPUT', 'throughput').replace('/D512/K-', '/d512/k-').replace('/V-', '/v-')}"
         "/stderr.log", {"size_bytes": 1, "sha256": "0" * 64, "in": BUNDLE}, "in capital letters only"),
    ],
)  # fmt: skip
def test_what_a_manifest_says_of_bundles(
    members: Members, tmp_path: Path, name: str, change: dict[str, Any], said: str
) -> None:
    found = refusal(with_bundle(tmp_path / "s.zip", members, changes={name: change}))
    assert found.startswith("manifest.json: ") and said in found


def test_a_million_entries_of_a_manifest(members: Members, tmp_path: Path) -> None:
    said = json.dumps({"format": 3, "members": {f"engines/e{n}/build.json": 0 for n in range(200_000)}})
    assert refusal(write(tmp_path / "s.zip", members, said.encode())) == (
        "manifest.json: lists more than 60000 members, and no slice has so many."
    )


def test_bundles_that_do_not_hold_cells_in_their_order(members: Members, tmp_path: Path) -> None:
    """Each would be read again for each of its cells."""
    cells = {f"throughput/mainline/kvsweep-demo/d{n}/k-f16/v-f16": CONTROL for n in range(1, 41)}
    inside: list[Members] = [{}, {}]
    for n, (cell, like) in enumerate(cells.items()):
        run = json.loads(members[f"{like}/run.json"]) | {"depth": n + 1}
        inside[n % 2] |= {
            f"{cell}/{name}": members[f"{like}/{name}"] for name in ("bench.jsonl", "stderr.log")
        } | {f"{cell}/run.json": json.dumps(run).encode()}
    outside = {name: data for name, data in members.items() if not name.startswith("throughput")}
    outside |= {f"records/000{n}.tar.xz": bundles.pack(one) for n, one in enumerate(inside)}
    said = json.loads(manifest_of(outside | inside[0] | inside[1], format=3))
    for n, one in enumerate(inside):
        for name in one:
            said["members"][name]["in"] = f"records/000{n}.tar.xz"
    assert "does not hold cells in their order" in refusal(
        write(tmp_path / "s.zip", outside, json.dumps(said).encode())
    )


# -- records ----------------------------------------------------------------------------------------------------------

EVIL = "<script>alert(1)</script>"


def set_at(*keys: Any) -> Callable[[Any], Callable[[dict[str, Any]], None]]:
    def of_value(value: Any) -> Callable[[dict[str, Any]], None]:
        def change(run: dict[str, Any]) -> None:
            place: Any = run
            for key in keys[:-1]:
                place = place[key]
            place[keys[-1]] = value

        return change

    return of_value


@pytest.mark.parametrize(
    "change",
    [
        set_at("machine", "name")(EVIL),
        set_at("machine", "name")("=HYPERLINK(1)"),
        set_at("machine", "name")("x" * 100_000),
        set_at("machine", "name")("a\x1b[31mb"),
        set_at("machine", "name")(7),
        set_at("machine", "host")("\u202eevil"),
        set_at("machine")([]),
        set_at("machine", "cpu")(EVIL),
        set_at("machine", "memory_bytes")(-1),
        set_at("machine", "memory_bytes")(2**80),
        set_at("machine", "gpus")([{"name": EVIL}]),
        set_at("machine", "gpus")([7]),
        set_at("command")([EVIL]),
        set_at("environment")({"X": "\x00"}),
        set_at("wall_seconds")(-1.0),
        set_at("wall_seconds")("long"),
        set_at("wall_seconds")(float("nan")),
        set_at("load_before")(1e300),
        set_at("started_at")("yesterday"),
        set_at("started_at")("0001-01-01T00:00:00+00:00"),
        set_at("model_sha256")(EVIL),
        set_at("attempts")({}),
        set_at("attempts")(-3),
        set_at("depth")(7),
        set_at("round")(2),
        set_at("engine")("other"),
        set_at("ctk")("f16"),
        set_at("conditions")({"gpu_users": ["@SUM(1)"]}),
        set_at("conditions")({"thermal_state": EVIL}),
        set_at("streams")([]),
        set_at("streams", 0, "name")("../../../../../../etc/passwd"),
        set_at("streams", 0, "name")("/etc/passwd"),
        set_at("streams", 0, "sha256")("0" * 64),
        lambda run: run.clear(),
        lambda run: run.pop("prompt"),
    ],
)
def test_records_that_are_none(
    members: Members, tmp_path: Path, change: Callable[[dict[str, Any]], Any]
) -> None:
    said = refusal(write(tmp_path / "s.zip", with_record(members, change)))
    assert said.startswith(f"{CELL}/run.json: ") and "script" not in said and len(said) < 700


def with_log(members: Members, name: str, data: bytes) -> Members:
    def change(run: dict[str, Any]) -> None:
        stream = next(stream for stream in run["streams"] if stream["name"] == name)
        stream |= {"size_bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}

    return with_record(members, change) | {f"{CELL}/{name}": data}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"avg_ts"', b'"avg_ts": -5, "x"'),
        (b'"samples_ns": [', b'"samples_ns": [-1, '),
        (b'"samples_ns": [', b'"samples_ns": [NaN, '),
        (b'"samples_ts": [', b'"samples_ts": [1e999, '),
    ],
)
def test_speeds_that_are_none_are_no_result(members: Members, tmp_path: Path, old: bytes, new: bytes) -> None:
    """What the engine would have printed so is what our own parser refuses: the cell has a status and no speed."""
    log = members[f"{CELL}/bench.jsonl"]
    assert old in log
    path = write(tmp_path / "s.zip", with_log(members, "bench.jsonl", log.replace(old, new)))
    rows = [row for row in read_slice("x", path, read_tables=read_all).throughput if row["ctk"] == "q8_0"]
    assert {row["status"] for row in rows} == {"crashed"} and {
        row.get("tokens_per_second") for row in rows
    } == {None}


def test_what_a_log_says_is_quoted_as_plain_text(members: Members, tmp_path: Path) -> None:
    line = b"=cmd|' /C calc'!A0 ggml: out of memory <img src=x onerror=alert(1)> \x1b[31m\x07 failed to allocate\n"
    changed = with_log(with_log(members, "bench.jsonl", b""), "stderr.log", line)
    rows = read_slice("x", write(tmp_path / "s.zip", changed), read_tables=read_all).throughput
    texts = [str(row[name]) for row in rows for name in ("log_line", "reason") if row.get(name)]
    assert any("out of memory" in text for text in texts)
    for text in texts:
        assert text.isprintable() and "<img" not in text and not text.startswith("=")


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("engines/mainline/build.json", {"commit": EVIL}),
        ("engines/mainline/build.json", {"backend": ["cpu"]}),
        ("models/kvsweep-demo/model.json", {"n_ctx_train": "many"}),
        ("models/kvsweep-demo/model.json", {"architecture": EVIL}),
        ("models/kvsweep-demo/model.json", {"path": 7}),
        ("models/kvsweep-demo/model.json", {"kv_groups": [1]}),
    ],
)  # fmt: skip
def test_manifests_of_engines_and_models(members: Members, tmp_path: Path, name: str, change: Any) -> None:
    changed = members | {name: json.dumps(json.loads(members[name]) | change).encode()}
    assert ".json: " in refusal(write(tmp_path / "s.zip", changed))


@pytest.mark.parametrize("name", ["engines/mainline/build.json", "models/kvsweep-demo/model.json"])
def test_cells_of_an_engine_or_model_that_is_missing(members: Members, tmp_path: Path, name: str) -> None:
    without = {other: data for other, data in members.items() if other != name}
    assert refusal(write(tmp_path / "s.zip", without)) == f"{name}: is missing, and there are cells of it."
    broken = members | {name: b"[]"}
    assert refusal(write(tmp_path / "s.zip", broken)) == f"{name}: is no JSON object."


# -- tables -----------------------------------------------------------------------------------------------------------


def parquet(table: pa.Table) -> bytes:
    file = io.BytesIO()
    pq.write_table(table, file)
    return file.getvalue()


GOOD = throughput_row("q8_0", "q8_0", 4096, tokens_per_second=80.0)


@pytest.mark.parametrize(
    "changes",
    [
        {column: value}
        for value in (EVIL, "=1+1", "+1", "-1", "@x", "\t=1", "a\x00b", "a\x1b[0m", "\u202ex", "x" * 50_000)
        for column in ("engine", "machine", "model", "ctk", "reason", "log_line", "command", "host", "engine_commit")
    ]
    + [
        {"tokens_per_second": value} for value in (float("nan"), float("inf"), -80.0, 0.0, 1e30)
    ]
    + [{"samples": [80.0, float("nan")]}, {"samples": [-1.0]}, {"samples": [None]}, {"wall_seconds": -1.0}]
    + [{"kv_bytes": -1}, {"kv_bytes": 2**62}, {"kv_devices": [EVIL]}, {"tokens_per_second_stddev": float("nan")}],
)  # fmt: skip
def test_rows_that_are_none(tmp_path: Path, changes: dict[str, Any]) -> None:
    data = parquet(as_table([GOOD, GOOD | {"depth": 7} | changes], THROUGHPUT))
    said = refusal(write(tmp_path / "s.zip", {TABLE: data}))
    assert said.startswith(f"{TABLE}: row 2 of those measured: ") and len(said) < 400 and "script" not in said


@pytest.mark.parametrize(
    "kind",
    [pa.string(), pa.float32(), pa.int8(), pa.list_(pa.int64()), pa.struct([("x", pa.int64())]), pa.bool_()],
)
@pytest.mark.parametrize("column", ["depth", "tokens_per_second", "samples", "started_at"])
def test_columns_of_other_types(tmp_path: Path, column: str, kind: pa.DataType) -> None:
    table = as_table([GOOD], THROUGHPUT)
    place = table.column_names.index(column)
    value: Any = {pa.string(): "<b>", pa.bool_(): True}.get(kind, [1] if pa.types.is_list(kind) else {"x": 1})
    value = 1 if kind in (pa.float32(), pa.int8()) else value
    table = table.set_column(place, pa.field(column, kind), pa.array([value], kind))
    said = refusal(write(tmp_path / "s.zip", {TABLE: parquet(table)}))
    assert said.startswith(f"{TABLE}: the column '{column}' is ")


def test_a_billion_rows(tmp_path: Path) -> None:
    table = pa.table({name: pa.nulls(300_000) for name in ("engine", "depth")})
    said = refusal(write(tmp_path / "s.zip", {TABLE: parquet(table)}))
    assert said.startswith(f"{TABLE}: says that it has 300000 rows")


def test_columns_that_are_missing_too_many_or_there_twice(tmp_path: Path) -> None:
    table, path = as_table([GOOD], THROUGHPUT), tmp_path / "s.zip"
    assert "has no column 'phase'" in refusal(write(path, {TABLE: parquet(table.drop_columns(["phase"]))}))
    more = table.append_column(f"x{EVIL}", pa.array([1]))
    assert "which this kvsweep does not know" in refusal(write(path, {TABLE: parquet(more)}))
    many = pa.table([pa.nulls(1)] * 500, names=[f"c{n}" for n in range(500)])
    assert "500 columns" in refusal(write(path, {TABLE: parquet(many)}))
    twice = pa.table([*table.columns, table["depth"]], names=[*table.column_names, "depth"])
    assert "has a column twice" in refusal(write(path, {TABLE: parquet(twice)}))


def test_a_table_that_inflates() -> None:
    """One text of 30 MB, said 20 times in a file of a few kilobytes: its reader is ended, and nothing else."""
    file = io.BytesIO()
    text = pa.DictionaryArray.from_arrays(pa.array([0] * 20, pa.int32()), pa.array(["x" * 30_000_000]))
    needed = dict.fromkeys(("engine", "machine", "model", "ctk", "ctv", "phase", "status"), text)
    numbers = {name: pa.array([1] * 20) for name in ("depth", "n_tokens")}
    pq.write_table(pa.table(needed | numbers), file, compression="zstd")
    data = file.getvalue()
    assert len(data) < 2**18
    with pytest.raises(Refused, match="tables"):
        read_apart({"throughput": data}, Limits(reader_bytes=200 * 2**20))


@pytest.mark.parametrize(
    ("child", "limits", "says"),
    [
        (
            "import time; time.sleep(60)",
            {"reader_bytes": 1},
            "tables: take more memory to read than those of",
        ),
        ("import time; time.sleep(60)", {"reader_seconds": 0}, "tables: take longer to read than those of"),
        (
            "import os; os.abort()",
            {},
            f"{TABLE}: cannot be read as Parquet: the reader crashed, or ran out of",
        ),
    ],
)
def test_a_reader_that_goes_too_far_is_ended(
    child: str, limits: dict[str, int], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(given, "_CHILD", child)
    started = time.monotonic()
    with pytest.raises(Refused, match=says):
        read_apart({"throughput": b"of no matter"}, Limits(**limits))
    assert time.monotonic() - started < 30


def test_a_process_of_its_own_says_the_same() -> None:
    assert read_apart({}) == {}
    good = parquet(as_table([GOOD], THROUGHPUT))
    assert read_apart({"throughput": good}) == read_all({"throughput": good})
    bad = parquet(as_table([GOOD | {"tokens_per_second": -1.0}], THROUGHPUT))
    with pytest.raises(Refused) as raised:
        read_apart({"throughput": bad})
    assert (
        str(raised.value)
        == f"{TABLE}: row 1 of those measured: tokens_per_second is -1.0, which is negative."
    )


# -- directories ------------------------------------------------------------------------------------------------------


def test_a_directory_is_read_as_an_archive_is(members: Members, tmp_path: Path) -> None:
    place = tmp_path / "s"
    for name, data in members.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(data)
    with open_slice(place) as contents:
        assert set(contents.names) == set(members)
    assert len(read_slice("x", place, read_tables=read_all).throughput) == 4
    log = place / CELL / "stderr.log"
    log.unlink()
    log.symlink_to("/etc/passwd")
    assert refusal(place) == f"{CELL}/stderr.log: is a link or no file."


# -- all of it --------------------------------------------------------------------------------------------------------


def test_memory_stays_under_500_megabytes(members: Members, tmp_path: Path) -> None:
    """The largest logs that are read at all, by a process of its own."""
    log = (members[f"{CELL}/stderr.log"] * 400)[: 15 * 2**20]
    path = write(tmp_path / "s.zip", with_log(members, "stderr.log", log))
    program = (
        "import resource, re, sys; from pathlib import Path; from kvsweep.slices.read import read_slice\n"
        "try: read_slice('x', Path(sys.argv[1]))\n"
        "except Exception as error: print(type(error).__name__, file=sys.stderr)\n"
        # On Linux ru_maxrss has the memory of the process that started this one in it.
        "own = Path('/proc/self/status')\n"
        "peak = own.exists() and re.search(r'VmHWM:\\s+(\\d+) kB', own.read_text())\n"
        "print(int(peak[1]) if peak else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, path],
        env={"PYTHONPATH": str(SCRIPTS)},
        capture_output=True,
        text=True,
        check=True,
    )
    unit = 1 if sys.platform == "darwin" else 1024
    assert int(done.stdout) * unit < 500e6
