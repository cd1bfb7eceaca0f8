"""When a program counts as changed: its text and that of the modules it imports."""

import os
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from kvsweep import code_identity
from kvsweep.errors import KvsweepError
from support import ROOT, SCRIPTS

PROGRAM = '''\
"""Says hello."""
from kvsweep import greeting
from kvsweep.names import (
    NAME,
)
from kvsweep.signs import end

def main() -> None:
    """Docstring."""
    print(greeting.of(NAME) + end.MARK)  # a comment
'''
MODULES = {
    "greeting": "import kvsweep.words\n\ndef of(name): return kvsweep.words.HELLO + name\n",
    "words": "HELLO = 'hello '\n",
    "names": "NAME = 'you'\n",
    "signs/__init__": "MARKS = '.!'\n",
    "signs/end": "MARK = '.'\n",
    "signs/apart": "MARK = '!'\n",
    "apart": "X = 1\n",
}


def identity(program: Path, data: Iterable[Path] = ()) -> str:
    """As a process finds it that has just started."""
    code_identity._read.cache_clear()
    return code_identity.code_identity(program, data)


@pytest.fixture
def program(tmp_path: Path) -> Path:
    (tmp_path / "kvsweep" / "signs").mkdir(parents=True)
    for name, text in MODULES.items():
        (tmp_path / "kvsweep" / f"{name}.py").write_text(text)
    path = tmp_path / "hello.py"
    path.write_text(PROGRAM)
    return path


@pytest.mark.parametrize("name", ["kvsweep/apart.py", "kvsweep/signs/apart.py"])
def test_what_a_program_does_not_import_changes_nothing(program: Path, name: str) -> None:
    before = identity(program)
    (program.parent / name).write_text("X = 2\n")
    assert identity(program) == before


@pytest.mark.parametrize(
    "name",
    [
        "hello.py",
        "kvsweep/names.py",
        "kvsweep/greeting.py",
        "kvsweep/words.py",  # imported by what the program imports
        "kvsweep/signs/end.py",
        "kvsweep/signs/__init__.py",
    ],
)
def test_what_makes_another_program(program: Path, name: str) -> None:
    before = identity(program)
    path = program.parent / name
    path.write_text(path.read_text() + "MORE = 1\n")
    assert identity(program) != before
    # The files that it reads, too.
    assert identity(program, [program.parent / "kvsweep/apart.py"]) != identity(program)


def test_another_checkout_is_the_same_program(program: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    (other / "kvsweep" / "signs").mkdir(parents=True)
    for path in (program, *program.parent.glob("kvsweep/**/*.py")):
        (other / path.relative_to(program.parent)).write_bytes(path.read_bytes())
    assert identity(other / "hello.py") == identity(program)


def test_a_file_that_cannot_be_read_is_one_sentence(program: Path) -> None:
    with pytest.raises(KvsweepError, match=r"data\.csv: cannot be read"):
        identity(program, [program.parent / "data.csv"])


RULES = "".join(path.read_text() for path in (ROOT / "workflow" / "rules").glob("*.smk"))


@pytest.mark.parametrize("name", sorted(set(re.findall(r'code\("(\w+)\.py"', RULES))))
def test_every_module_that_a_program_loads_is_a_part_of_it(name: str) -> None:
    loaded = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import {name}, sys; print(*(m for m in sys.modules if m.startswith('kvsweep.')))",
        ],
        env=os.environ | {"PYTHONPATH": str(SCRIPTS)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    found = {
        ".".join(path.relative_to(SCRIPTS).with_suffix("").parts).removesuffix(".__init__")
        for path in code_identity.program_files(SCRIPTS / f"{name}.py")
    }
    assert {*loaded, name} <= found


def test_nothing_is_imported_by_a_name_that_is_made_while_running() -> None:
    for path in [*SCRIPTS.glob("*.py"), *SCRIPTS.glob("kvsweep/**/*.py")]:
        assert not re.search(r"import_module|__import__|runpy", path.read_text()), path
