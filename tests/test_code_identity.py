"""When a program counts as changed: its code and that of the modules it imports, not how they are written."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from kvsweep.code_identity import code_identity, data_meaning, program_files
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


@pytest.fixture
def program(tmp_path: Path) -> Path:
    (tmp_path / "kvsweep" / "signs").mkdir(parents=True)
    for name, text in MODULES.items():
        (tmp_path / "kvsweep" / f"{name}.py").write_text(text)
    path = tmp_path / "hello.py"
    path.write_text(PROGRAM)
    return path


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("hello.py", "  # a comment", "\n    # another comment\n"),
        ("hello.py", "(\n    NAME,\n)", "NAME"),
        ("hello.py", "Docstring.", "What it says."),
        ("kvsweep/words.py", "'hello '", '"hello "'),
        ("kvsweep/apart.py", "1", "2"),
        ("kvsweep/signs/apart.py", "!", "?"),
    ],
)
def test_what_changes_nothing(program: Path, name: str, old: str, new: str) -> None:
    before = code_identity(program)
    path = program.parent / name
    path.write_text(path.read_text().replace(old, new))
    assert code_identity(program) == before


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("hello.py", "print", "repr"),
        ("kvsweep/names.py", "you", "me"),
        ("kvsweep/greeting.py", "+ name", "+ name + '!'"),
        ("kvsweep/words.py", "hello", "good day"),  # imported by what the program imports
        ("kvsweep/signs/end.py", "'.'", "'!'"),
        ("kvsweep/signs/__init__.py", ".!", ".!?"),
    ],
)
@pytest.mark.parametrize("remembered", [False, True])
def test_what_makes_another_program(program: Path, name: str, old: str, new: str, remembered: bool) -> None:
    memory = program.parent / "memory.json" if remembered else None
    before = code_identity(program, memory=memory)
    path = program.parent / name
    path.write_text(path.read_text().replace(old, new))
    after = code_identity(program, memory=memory)
    assert after != before
    assert after == code_identity(program, memory=memory) == code_identity(program)


def test_another_checkout_is_the_same_program(program: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    (other / "kvsweep" / "signs").mkdir(parents=True)
    for path in (program, *program.parent.glob("kvsweep/**/*.py")):
        (other / path.relative_to(program.parent)).write_bytes(path.read_bytes())
    assert code_identity(other / "hello.py") == code_identity(program)


def test_a_damaged_memory_costs_only_time(program: Path) -> None:
    memory = program.parent / "memory.json"
    for text in ("{", "[]", '{"' + str(program) + '": 3}'):
        memory.write_text(text)
        assert code_identity(program, memory=memory) == code_identity(program)


def test_a_file_that_is_not_python_is_one_sentence(program: Path) -> None:
    program.write_text("def:\n")
    with pytest.raises(KvsweepError, match=r"hello\.py:1: not valid Python"):
        code_identity(program)


@pytest.mark.parametrize(
    ("suffix", "one", "same", "other"),
    [
        (".yaml", "a: 1 # one\n", "{a: 1}\n", "a: 2\n"),
        (".csv", 'a,b\n"1",2\n', "a,b\r\n1,2\r\n", "a,b\n1,3\n"),
        (".j2", "{# note #}<p>", "<p>", "<q>"),
        (".txt", "a", "a", "a "),
    ],
)
def test_data_by_what_is_read_from_it(suffix: str, one: str, same: str, other: str) -> None:
    assert data_meaning(one, suffix) == data_meaning(same, suffix) != data_meaning(other, suffix)


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
        for path in program_files(SCRIPTS / f"{name}.py")
    }
    assert {*loaded, name} <= found


def test_nothing_is_imported_by_a_name_that_is_made_while_running() -> None:
    for path in [*SCRIPTS.glob("*.py"), *SCRIPTS.glob("kvsweep/**/*.py")]:
        assert not re.search(r"import_module|__import__|runpy", path.read_text()), path
