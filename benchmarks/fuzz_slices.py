"""Damages a slice in a hundred thousand ways, and counts what is refused, what is read, and what should not happen.

What should not: an exception that is no sentence, a row that the vetting would refuse, a file that is written. All in
one process, tables too, whose reader otherwise runs apart.

    nice python benchmarks/fuzz_slices.py --cases 100000
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import io
import json
import lzma
import os
import random
import resource
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "workflow" / "scripts"))
sys.path.insert(0, str(ROOT / "tests"))

import pyarrow as pa  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402
import recorded_slice  # noqa: E402
from kvsweep.errors import KvsweepError  # noqa: E402
from kvsweep.slices import bundles as packed  # noqa: E402
from kvsweep.slices.archive import open_slice, read_archive  # noqa: E402
from kvsweep.slices.given import read_all  # noqa: E402
from kvsweep.slices.read import rows_in  # noqa: E402
from kvsweep.slices.vetting import problem_with  # noqa: E402

Members = dict[str, bytes]

BUNDLE = "records/0000.tar.xz"
CELL = "throughput/mainline/kvsweep-demo/d512/k-q8_0/v-q8_0"
_BYTES = (b"\x00", b"\xff" * 4, b"-", b"9" * 30, b"\n", b"nan", b"<b>", b'"')
HOSTILE: tuple[Any, ...] = (
    *(
        "<script>alert(1)</script>",
        "=1+1",
        "\x00",
        "\x1b[31m",
        "\u202e",
        "x" * 5000,
        "../../etc/passwd",
        "/etc/passwd",
    ),
    *(
        None,
        True,
        -1,
        0,
        2**70,
        -(2**70),
        1e308,
        float("nan"),
        float("inf"),
        -0.5,
        [],
        {},
        [[]],
        {"a": {}},
        "",
        "NaN",
    ),
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    pa.set_cpu_count(1)
    with tempfile.TemporaryDirectory() as place:
        made = recorded_slice.make(Path(place))
        with open_slice(made.path) as contents:
            good = {name: contents.read(name) for name in contents.names if _is_wanted(name)}
        small_tables = {
            name: _few_rows(data) if name.endswith(".parquet") else data for name, data in good.items()
        }
    # Where a member that climbs would be seen.
    outside = Path(tempfile.mkdtemp())
    (outside / "a" / "b").mkdir(parents=True)
    os.chdir(outside / "a" / "b")
    begin, outcomes = time.monotonic(), Counter[str]()
    chance = random.Random(arguments.seed)
    for number in range(1, arguments.cases + 1):
        (damage,) = chance.choices(list(DAMAGES), list(DAMAGES.values()))
        data = damage(small_tables, chance)
        outcome = _outcome(data)
        outcomes[f"{damage.__name__}: {outcome}"] += 1
        if outcome.startswith("WRONG"):
            Path(tempfile.gettempdir(), f"wrong-slice-{number}.zip").write_bytes(data)
        if number % 5000 == 0:
            print(f"{number} in {time.monotonic() - begin:.0f} s, {_peak_mb():.0f} MB at most", flush=True)
    for outcome, times in sorted(outcomes.items()):
        print(f"{times:8d}  {outcome}")
    wrong = sum(times for outcome, times in outcomes.items() if "WRONG" in outcome)
    print(
        f"{arguments.cases} slices, {wrong} wrong, {_peak_mb():.0f} MB at most, files written: {_written(outside)}"
    )
    sys.exit(bool(wrong or _written(outside)))


def _is_wanted(name: str) -> bool:
    return name.startswith((CELL, "engines", "models", "tables/throughput", "tables/quality"))


def _few_rows(data: bytes) -> bytes:
    """With one row, of a cell whose logs are not there, so that it counts."""
    file = io.BytesIO()
    pq.write_table(pq.read_table(io.BytesIO(data)).slice(0, 1), file)
    return file.getvalue()


def _outcome(data: bytes) -> str:
    try:
        found = rows_in(read_archive(io.BytesIO(data)), read_tables=read_all)
    except KvsweepError as error:
        said = str(error)
        return (
            "refused"
            if said.isprintable() and len(said) < 1000 and said.endswith(".")
            else f"WRONG words: {said!r}"
        )
    except Exception as error:
        return f"WRONG {type(error).__name__}: {error}"
    for table, rows in found.rows.items():
        for row in rows:
            if (problem := problem_with(row, table)) is not None:
                return f"WRONG row: {problem}"
    return "read"


def _archive(members: Members, manifest: Any = None, inside: Members | None = None) -> bytes:
    """``inside`` are members that lie in the bundle among ``members``."""
    file = io.BytesIO()
    listed = {
        name: {"size_bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        | ({"in": BUNDLE} if inside and name in inside else {})
        for name, data in (members | (inside or {})).items()
    }
    with zipfile.ZipFile(
        file, "w", zipfile.ZIP_STORED if manifest else zipfile.ZIP_DEFLATED, compresslevel=1
    ) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
        said = (
            {"format": 3 if inside else 1, "kvsweep": "0.1.0", "members": listed}
            if manifest is None
            else manifest
        )
        archive.writestr("manifest.json", json.dumps(said))
    return file.getvalue()


@functools.cache
def _archive_of(members: tuple[tuple[str, bytes], ...]) -> bytes:
    return _archive(dict(members))


def _whole(members: Members) -> bytes:
    """The undamaged slice of records and logs."""
    return _archive_of(tuple(_raw(members).items()))


def _raw(members: Members) -> Members:
    return {name: data for name, data in members.items() if not name.endswith(".parquet")}


def _tables(members: Members) -> Members:
    return {name: data for name, data in members.items() if name.endswith(".parquet")}


def _damaged(data: bytes, chance: random.Random) -> bytes:
    """Some bytes changed, cut out, repeated or put in."""
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 5, 20))):
        place = chance.randrange(len(changed) + 1)
        length = chance.choice((1, 1, 2, 4, 16, 200))
        match chance.randrange(4):
            case 0:
                changed[place : place + length] = chance.randbytes(length)
            case 1:
                del changed[place : place + length]
            case 2:
                changed[place:place] = changed[place : place + length]
            case 3:
                changed[place:place] = chance.choice(
                    (b"\x00", b"\xff" * 4, b"-", b"9" * 30, b"\n", b"nan", b"<b>", b'"')
                )
        if not changed:
            break
    return bytes(changed)


def bytes_of_the_archive(members: Members, chance: random.Random) -> bytes:
    return _damaged(_whole(members), chance)


def names(members: Members, chance: random.Random) -> bytes:
    """Other names in directory and headers, of the same length."""
    data, name = _whole(members), chance.choice(list(_raw(members)))
    new = _damaged(name.encode(), chance)[: len(name)].ljust(len(name), b"x")
    return data.replace(name.encode(), new, chance.choice((1, 2, -1)))


def values(members: Members, chance: random.Random) -> bytes:
    """A value of a JSON member is another one; the manifest agrees."""
    name = chance.choice([name for name in members if name.endswith(".json")])
    said = json.loads(members[name])
    for _ in range(chance.choice((1, 1, 2, 4))):
        _set_somewhere(said, chance)
    return _archive(_raw(members) | {name: json.dumps(said).encode()})


def manifests(members: Members, chance: random.Random) -> bytes:
    with zipfile.ZipFile(io.BytesIO(_whole(members))) as archive:
        said = json.loads(archive.read("manifest.json"))
    _set_somewhere(said, chance)
    return _archive(_raw(members), said)


def logs(members: Members, chance: random.Random) -> bytes:
    """A damaged log whose checksums agree."""
    run = json.loads(members[f"{CELL}/run.json"])
    stream = chance.choice(run["streams"])
    data = _damaged(members[f"{CELL}/{stream['name']}"], chance)
    stream |= {"size_bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    return _archive(
        members | {f"{CELL}/{stream['name']}": data, f"{CELL}/run.json": json.dumps(run).encode()}
    )


def bundles(members: Members, chance: random.Random) -> bytes:
    """A damaged bundle, or a good one of damaged content; checksums of archive and manifest agree."""
    inside = {name: data for name, data in members.items() if name.startswith(CELL)}
    good = packed.pack(inside)
    if chance.random() < 0.5:
        data = _damaged(good, chance)
    else:
        data = lzma.compress(_damaged(lzma.decompress(good), chance), preset=0)
    outside = {name: one for name, one in _raw(members).items() if name not in inside}
    if chance.random() < 0.2:
        name = chance.choice(list(inside))
        inside[name] = _damaged(inside[name], chance)
    return _archive(outside | {BUNDLE: data}, inside=inside)


def bytes_of_tables(members: Members, chance: random.Random) -> bytes:
    tables = _tables(members)
    name = chance.choice(list(tables))
    return _archive(tables | {name: _damaged(tables[name], chance)})


def cells_of_tables(members: Members, chance: random.Random) -> bytes:
    """A value of a row, or the type of a column, is another one."""
    tables = _tables(members)
    name = chance.choice(list(tables))
    table = pq.read_table(io.BytesIO(tables[name]))
    place = chance.randrange(table.num_columns)
    field, value = table.schema.field(place), chance.choice(HOSTILE)
    try:
        array = pa.array([value], field.type if chance.random() < 0.7 else None)
    except (pa.ArrowException, OverflowError, TypeError, ValueError):
        array = pa.array([str(value)])
    if pa.types.is_struct(array.type):
        array = pa.array([1.5])
    file = io.BytesIO()
    pq.write_table(table.set_column(place, pa.field(field.name, array.type), array), file)
    return _archive(tables | {name: file.getvalue()})


def _set_somewhere(said: Any, chance: random.Random) -> None:
    place = said
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys:
            return
        key = chance.choice(keys)
        inside = place[key]
        if isinstance(inside, dict | list) and inside and chance.random() < 0.7:
            place = inside
            continue
        if chance.random() < 0.15:
            del place[key]
        else:
            place[key] = chance.choice(HOSTILE)
        return


# And how often each is tried beside the others: what is refused early costs little.
DAMAGES: dict[Callable[[Members, random.Random], bytes], int] = {
    bytes_of_the_archive: 60,
    names: 30,
    manifests: 2,
    values: 3,
    logs: 1,
    bundles: 3,
    bytes_of_tables: 3,
    cells_of_tables: 1,
}


def _written(outside: Path) -> int:
    return sum(path.is_file() for path in outside.rglob("*"))


def _peak_mb() -> float:
    return (
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6
    )


if __name__ == "__main__":
    main()
