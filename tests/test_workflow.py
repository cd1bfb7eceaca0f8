"""The workflow itself: what it would run, and how a wrong configuration ends. Every call of Snakemake takes seconds."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from kvsweep.study import cells, engines
from kvsweep.study.config import parse_study
from support import ROOT, STAND_IN, write_model


def dry_run(place: Path, configuration: Path) -> subprocess.CompletedProcess[str]:
    return snakemake(place, configuration, "--dry-run")


def snakemake(place: Path, configuration: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            *(sys.executable, "-m", "snakemake", "--cores", "1"),
            *map(
                str, ("--snakefile", ROOT / "Snakefile", "--configfile", configuration, "--directory", place)
            ),
            *arguments,
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def jobs(output: str) -> dict[str, int]:
    """Snakemake's own table of the jobs to run."""
    table = output.partition("Job stats:")[2].partition("\n\n")[0]
    return {name: int(count) for name, count in re.findall(r"^(\w+) +(\d+)$", table, re.MULTILINE)}


# Models and texts of these need not be here: a dry run looks at the configuration only.
@pytest.mark.parametrize(
    ("configuration", "throughput", "quality", "baselines"),
    [
        ("config.yaml", 14 * 8 + 10 * 5, 14 * 5 + 10 * 3, 2),
        ("examples/demo.yaml", 6 * 2 * 3, 6, 1),
        ("examples/quick.yaml", 8 * 3 * 2, 8 * 2, 2),
        ("examples/wider-quants.yaml", (7 + 7) * 4, 7 + 7, 2),
        ("examples/second-model.yaml", 7 * 4, 7, 1),
        ("examples/cuda.yaml", (8 + 11) * 4, 8 + 11, 2),
        ("examples/cluster.yaml", 2 * 3 * 2, 2 * 3, 2),
        ("examples/newest.yaml", 4 * 2, 4, 1),
        ("examples/small-models.yaml", (12 + 9) * 2 * 3 * 3, (12 + 9 + 9) * 2 * 4, 0),
        ("examples/tasks.yaml", 4 * 3 * 2, 4, 1),
        ("examples/polyglot.yaml", 0, 0, 0),
    ],
)
def test_what_would_run(
    tmp_path: Path, configuration: str, throughput: int, quality: int, baselines: int
) -> None:
    done = dry_run(tmp_path, ROOT / configuration)
    assert done.returncode == 0, done.stderr
    found = jobs(done.stdout + done.stderr)
    study = parse_study(yaml.safe_load((ROOT / configuration).read_text()))
    once = ("study", "tables", "figures", "report", "all")
    assert {name: found[name] for name in once} == dict.fromkeys(once, 1)
    assert (found["engine"], found["accepted_types"]) == (len(study.engines), len(study.engines))
    assert (found["model"], found.get("corpus", 0)) == (len(study.models), len(study.corpora))
    scored = found.get("scorer_cell", 0)
    by_tool = found.get("quality_cell", 0)
    assert (found.get("throughput_cell", 0), by_tool + scored, found.get("baseline", 0)) == (
        throughput,
        quality,
        baselines,
    )
    assert found.get("tokens", 0) == scored
    assert len(cells.throughput_cells(study)) == throughput
    assert len(cells.quality_cells(study)) == quality
    assert len(cells.baseline_runs(study)) == baselines
    # To look changes nothing.
    assert not (tmp_path / "results" / "throughput").exists()


def test_every_example_is_tried() -> None:
    tried = {Path(case[0]).name for case in test_what_would_run.pytestmark[0].args[1]}  # type: ignore[attr-defined]
    assert tried == {"config.yaml", *(path.name for path in (ROOT / "examples").glob("*.yaml"))}


def test_the_head_to_head_is_a_part_of_the_paper() -> None:
    """Whoever has run one need not run its cells again for the other."""
    paper, part = (
        parse_study(yaml.safe_load((ROOT / name).read_text()))
        for name in ("config.yaml", "examples/wider-quants.yaml")
    )
    assert set(cells.throughput_cells(part)) < set(cells.throughput_cells(paper))
    assert set(cells.quality_cells(part)) < set(cells.quality_cells(paper))
    definitions = [
        {name: engines.engine_definition(engine) for name, engine in shipped["engines"].items()}
        for shipped in (
            yaml.safe_load((ROOT / name).read_text())
            for name in ("config.yaml", "examples/wider-quants.yaml")
        )
    ]
    assert definitions[0] == definitions[1]
    assert part.models == paper.models and part.corpora == paper.corpora
    assert part.quality is not None and paper.quality is not None
    assert part.quality.chunks[4096] == paper.quality.chunks[4096]
    assert part.throughput is not None and paper.throughput is not None
    assert (part.throughput.prompt, part.throughput.generate, part.throughput.repetitions) == (
        paper.throughput.prompt, paper.throughput.generate, paper.throughput.repetitions,
    )  # fmt: skip


def test_a_missing_model_is_said_before_anything_is_built(tmp_path: Path) -> None:
    wrong = yaml.safe_load((ROOT / "examples" / "demo.yaml").read_text())
    wrong["models"]["other"] = {"path": "models/other.gguf"}
    wrong["corpora"]["other"] = {"path": "other.txt"}
    path = tmp_path / "wrong.yaml"
    path.write_text(yaml.safe_dump(wrong))
    done = snakemake(tmp_path, path)
    assert done.returncode != 0
    said = done.stdout + done.stderr
    assert (
        f"models.other.path: there is no file {ROOT / 'models/other.gguf'}; "
        f"corpora.other.path: there is no file {ROOT / 'other.txt'}. Put" in said
    )
    assert not (tmp_path / "results" / "engines").exists()


def test_snakemake_is_at_rest_while_an_engine_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its rate limit would have it look at all open jobs every second, on a core that the engine may be using."""
    write_model(tmp_path / "tiny.gguf")
    study = {
        "engines": {"stand-in": {"source": {"path": str(STAND_IN)}, "backend": "cpu"}},
        "models": {"tiny": {"path": str(tmp_path / "tiny.gguf")}},
        "pairs": ["f16", "q8_0"],
        "throughput": {"depths": [0], "prompt": 64, "generate": 16, "repetitions": 3},
        "limits": {"cell_hours": 2.5 / 3600},
    }
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(study))
    monkeypatch.setenv("STAND_IN", "hang")
    done = snakemake(tmp_path, path, "measurements")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("ended by time limit") == 2
    starts = done.stderr.split("Execute ")
    of_cells = [said for said in starts if "Rule: throughput_cell" in said]
    assert len(of_cells) == 2
    for said in of_cells:
        assert "Select jobs" not in said.partition("Finished jobid")[0], done.stderr


@pytest.mark.parametrize(("fault", "ends"), [("", "done"), ("sigkill", "stopped")])
def test_the_end_of_a_measuring_run_is_told_by_the_users_own_command(
    tmp_path: Path, fault: str, ends: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_model(tmp_path / "tiny.gguf")
    study = {
        "engines": {"stand-in": {"source": {"path": str(STAND_IN)}, "backend": "cpu"}},
        "models": {"tiny": {"path": str(tmp_path / "tiny.gguf")}},
        "pairs": ["f16"],
        "throughput": {"depths": [0], "prompt": 64, "generate": 16, "repetitions": 3},
    }
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(study))
    monkeypatch.setenv("STAND_IN", fault)
    # It fails, and the run does not.
    monkeypatch.setenv("KVSWEEP_NOTIFY", f'echo "$KVSWEEP_MESSAGE" >> {tmp_path}/told; exit 3')
    done = snakemake(tmp_path, path, "measurements")
    assert (done.returncode == 0) == (ends == "done"), done.stderr
    assert (tmp_path / "told").read_text() == f"kvsweep: {ends} in {tmp_path}\n"
    assert "the notification was not sent: the command in KVSWEEP_NOTIFY ended with 3" in done.stderr
    # One that has nothing to measure tells nobody.
    if ends == "done":
        assert snakemake(tmp_path, path, "measurements").returncode == 0
        assert (tmp_path / "told").read_text().count("\n") == 1


def test_a_wrong_configuration_is_one_sentence(tmp_path: Path) -> None:
    wrong = yaml.safe_load((ROOT / "examples" / "demo.yaml").read_text())
    wrong["throughput"]["depth"] = wrong["throughput"].pop("depths")
    path = tmp_path / "wrong.yaml"
    path.write_text(yaml.safe_dump(wrong))
    done = dry_run(tmp_path, path)
    assert done.returncode != 0
    said = done.stdout + done.stderr
    assert "throughput.depth: unknown key; the nearest valid one is 'depths'." in said
    assert "Traceback" not in said


def test_the_published_numbers_alone_make_the_report_without_an_engine(tmp_path: Path) -> None:
    locked = tmp_path / ".snakemake" / "locks"
    locked.mkdir(parents=True)
    (locked / "0.output.lock").write_text("results/report.html\n")  # as of a run that is measuring

    def snakemake(*arguments: str) -> str:
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
        command += ["--directory", str(tmp_path), "--cores", "2", "--nolock", *arguments, "--", "published"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    snakemake()
    results = tmp_path / "results"
    assert sorted(path.name for path in results.iterdir()) == ["logs", "published"]
    post = (results / "published" / "report.md").read_text(encoding="utf-8")
    # The study's own three tables, number for number.
    for line in (
        "| turbo4 | 5.7810 | 0.0131 | 95.28 % |",
        "| 256K | oom | 26.6 | – | – | 27.1 | 25.0 | skipped |",
        "| turbo3 | 469.8 | 49.9 |",
    ):
        assert line in post
    page = (results / "published" / "report.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 12 and "No figure “" not in page
    # As where an older kvsweep made all but one figure and kept no notes.
    shutil.rmtree(tmp_path / ".snakemake")
    (results / "published" / "figures" / "decode_by_depth-slide.pdf").unlink()
    assert re.search(r"^figures +1$", snakemake("--dry-run"), re.MULTILINE)


def test_only_builds_and_measurements_go_to_a_cluster() -> None:
    """All else takes seconds, where a job on a cluster takes 15; or it needs the network, which nodes often lack."""
    text = "\n".join(
        path.read_text() for path in (ROOT / "Snakefile", *(ROOT / "workflow" / "rules").glob("*.smk"))
    )
    local = re.findall(r"\w+", " ".join(re.findall(r"^localrules:\n((?:    \w+,\n)+)", text, re.MULTILINE)))
    rules = re.findall(r"^rule (\w+):", text, re.MULTILINE)
    assert set(rules) - set(local) == {
        "engine",
        "baseline",
        "quality_cell",
        "scorer_cell",
        "task_cell",
        "throughput_cell",
    }


def test_an_engine_that_lacks_a_program_is_not_built_anew() -> None:
    """Snakemake removes the output of a rule before it runs, but not what is marked so; the builder reads it."""
    rule = (ROOT / "workflow" / "rules" / "engine.smk").read_text()
    assert 'update("results/engines/{engine}/build.json")' in rule
