"""Two studies side by side: what one has built or fetched the other takes over, and neither touches the other's."""

import json
from pathlib import Path

import pytest
from kvsweep.inputs import download
from kvsweep.study.neighbours import link_or_copy, neighbours
from server import Page, serving
from study import make_repository
from support import Done, run_in_this_process, write_model


def results_of(*studies: Path) -> list[Path]:
    for study in studies:
        (study / "results").mkdir(parents=True)
    return [(study / "results").resolve() for study in studies]


def test_which_studies_are_neighbours(tmp_path: Path) -> None:
    checkout, elsewhere = tmp_path / "checkout", tmp_path / "elsewhere"
    main, a, b, c, d, _unrelated = results_of(
        checkout,
        checkout / "studies" / "a",
        checkout / "studies" / "b",
        elsewhere / "c",
        elsewhere / "d",
        tmp_path / "another-checkout",
    )
    assert neighbours(main, checkout) == [a, b]
    assert neighbours(a, checkout) == [main, b]
    assert neighbours(c, checkout) == [main, a, b, d]
    assert neighbours(elsewhere / "new" / "results", checkout) == [main, a, b, c, d]


def test_a_link_or_where_there_are_none_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "one").write_text("one")
    link_or_copy(tmp_path / "one", tmp_path / "new" / "linked")
    assert (tmp_path / "new" / "linked").samefile(tmp_path / "one")

    def none(*_arguments: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(Path, "hardlink_to", none)
    link_or_copy(tmp_path / "one", tmp_path / "copied")
    assert (tmp_path / "copied").read_text() == "one" and not (tmp_path / "copied").samefile(tmp_path / "one")


def build(name: str, definition: dict[str, object], results: Path, base: Path) -> tuple[Done, Path]:
    build_json = results / "engines" / name / "build.json"
    done = run_in_this_process(
        "build_engine",
        [
            *("--name", name, "--definition", json.dumps(definition), "--base", base),
            *("--threads", "1", "--build-json", build_json),
        ],
    )
    return done, build_json


def test_an_engine_is_built_once_for_all_studies(tmp_path: Path) -> None:
    commits = make_repository(tmp_path / "repository")
    definition: dict[str, object] = {
        "source": {"git": {"url": str(tmp_path / "repository"), "commit": commits["first"]}},
        "backend": "cpu",
    }
    base = tmp_path / "checkout"
    first, made = build("engine", definition, base / "studies" / "a" / "results", base)
    assert first.returncode == 0 and ": building " in first.stderr
    second, taken = build("renamed", definition, base / "studies" / "b" / "results", base)
    assert second.returncode == 0 and ": building " not in second.stderr
    assert f"engine renamed: taken over from {made.parent}, which is the same engine" in second.stderr
    one, other = (json.loads(path.read_text()) for path in (made, taken))
    assert other["engine"] == "renamed" and Path(other["directory"]).parent == taken.parent
    assert other | {"engine": one["engine"], "directory": one["directory"]} == one
    # Another commit is another engine; and so is one whose files are no longer what its manifest says.
    definition["source"] = {"git": {"url": str(tmp_path / "repository"), "commit": commits["second"]}}
    third, _ = build("second", definition, base / "studies" / "b" / "results", base)
    assert ": building " in third.stderr
    program = Path(one["directory"], "llama-bench")
    program.unlink()
    program.write_text("another")
    definition["source"] = {"git": {"url": str(tmp_path / "repository"), "commit": commits["first"]}}
    taken.unlink()
    fourth, _ = build("engine", definition, base / "studies" / "c" / "results", base)
    assert ": building " in fourth.stderr


def test_a_model_is_fetched_once_for_all_studies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(download, "PAUSES_SECONDS", ())
    model = write_model(tmp_path / "tiny.gguf").read_bytes()
    base = tmp_path / "checkout"

    def inspect(name: str, address: str, study: str) -> Done:
        origin = json.dumps({"url": f"{address}/tiny.gguf"})
        manifest = base / "studies" / study / "results" / "models" / name / "model.json"
        return run_in_this_process(
            "inspect_model",
            ["--name", name, "--path", origin, "--base", base, "--model-json", manifest],
        )

    with serving() as server:
        server.pages["/tiny.gguf"] = Page(model)
        assert inspect("m", server.address, "a").returncode == 0
        del server.pages["/tiny.gguf"]
        again = inspect("other", server.address, "b")
        assert again.returncode == 0, again.stderr
        assert "model other: taken over from " in again.stderr
        # From another address it is another file, as far as one can tell.
        server.pages["/tiny.gguf"] = Page(model)
        with serving() as elsewhere:
            assert inspect("third", elsewhere.address, "b").returncode == 1
