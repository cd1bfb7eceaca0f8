"""What pytest gives to every test file."""

import json
import os
import shutil
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import recorded_study
from hypothesis import HealthCheck, settings
from support import STAND_IN, Workplace, run_in_this_process, run_make, write_model

# The stand-in is a Python program: it shall find this Python first, as under the workflow.
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])

# Few cases by default, so that the whole of the tests stays quick; KVSWEEP_HYPOTHESIS=thorough tries many more.
settings.register_profile(
    "quick", max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("thorough", settings.get_profile("quick"), max_examples=2000)
settings.load_profile(os.environ.get("KVSWEEP_HYPOTHESIS", "quick"))


@pytest.fixture(scope="session", autouse=True)
def _signals_count() -> None:
    """A shell ignores SIGINT for what it runs in the background, nohup SIGHUP; and what is ignored stays ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(scope="session")
def _prepared(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """Made once by the workflow's own programs."""
    place = Workplace(tmp_path_factory.mktemp("workplace"))
    model = write_model(place.root / "tiny.gguf")
    corpus = place.root / "text.txt"
    corpus.write_text("All work and no play makes Jack a dull boy. " * 300)
    definition = json.dumps(
        {"source": {"path": str(STAND_IN)}, "backend": "cpu", "env": {"TURBO_EXAMPLE": 1}}
    )
    engine = ["--name", "stand-in", "--definition", definition, "--threads", "1"]
    programs: dict[str, Sequence[object]] = {
        "build_engine": [*engine, "--build-json", place.build_json],
        "inspect_model": ["--name", "tiny", "--path", model, "--model-json", place.model_json],
        "make_corpus": ["--name", "text", "--path", corpus, "--corpus-json", place.corpus_json],
        "measure": place.baseline_command(),
    }
    for name, arguments in programs.items():
        done = run_in_this_process(name, arguments)
        assert done.returncode == 0, done.stderr
    return place


@pytest.fixture
def workplace(_prepared: Workplace, tmp_path: Path) -> Workplace:
    """A results directory where engine, model and corpus are ready and nothing has been measured."""
    shutil.copytree(_prepared.results, tmp_path / "results", ignore=shutil.ignore_patterns("baseline"))
    return Workplace(tmp_path)


@pytest.fixture
def with_baseline(_prepared: Workplace, tmp_path: Path) -> Workplace:
    """The same with a baseline."""
    shutil.copytree(_prepared.results, tmp_path / "results")
    return Workplace(tmp_path)


@pytest.fixture(scope="session")
def demo() -> str:
    """What the quick study prints; the results stay in results/ as a user's would."""
    done = run_make("run", "CONFIG=examples/quick.yaml")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="session")
def tables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """What kvsweep makes of the recorded study."""
    return recorded_study.of_the_study(tmp_path_factory.mktemp("study"))
