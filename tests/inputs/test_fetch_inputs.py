"""Models and texts from elsewhere, through the programs of the workflow: addresses, Hugging Face, archives, parts."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from kvsweep.errors import KvsweepError
from kvsweep.inputs import download
from kvsweep.inputs.model_header import read_header
from kvsweep.measure import verified
from kvsweep.study.origin import Origin
from server import COMMIT, Page, Server, hub_pages, serving, sha256
from support import ROOT, SCRIPTS, STAND_IN, TINY, Done, run_in_this_process, write_model

TOKEN = "hf_secretsecretsecretsecretsecretsecret"
TEXT = b"All work and no play makes Jack a dull boy. " * 5000
HUB = {"repo": "owner/name", "revision": COMMIT, "file": "q8/tiny.gguf", "type": "model"}
RESOLVED = f"/owner/name/resolve/{COMMIT}/q8/tiny.gguf"
DATA = {"repo": "ggml-org/ci", "revision": COMMIT, "file": "wiki.zip", "type": "dataset"}
DATA_RESOLVED = f"/datasets/ggml-org/ci/resolve/{COMMIT}/wiki.zip"
MEMBER = "wikitext-2-raw/wiki.test.raw"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with serving() as running:
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setenv("HF_ENDPOINT", running.address)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
        monkeypatch.delenv("HF_TOKEN", raising=False)
        monkeypatch.setattr(download, "PAUSES_SECONDS", ())
        yield running


@pytest.fixture
def model(tmp_path: Path) -> bytes:
    return write_model(tmp_path / "original.gguf").read_bytes()


class Place:
    """A results directory, and the programs that fill it."""

    def __init__(self, root: Path) -> None:
        self.model_json = root / "models" / "m" / "model.json"
        self.corpus_json = root / "corpora" / "c" / "corpus.json"

    def model(self, origin: object, *more: str) -> Done:
        path = origin if isinstance(origin, Path) else json.dumps(origin)
        return run_in_this_process(
            "inspect_model", ["--name", "m", "--path", path, "--model-json", self.model_json, *more]
        )

    def corpus(self, origin: object, *more: str) -> Done:
        path = origin if isinstance(origin, Path) else json.dumps(origin)
        return run_in_this_process(
            "make_corpus", ["--name", "c", "--path", path, "--corpus-json", self.corpus_json, *more]
        )


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "results")


def error_of(done: Done) -> str:
    assert done.returncode == 1, done.stderr
    return done.stderr.splitlines()[-1].removeprefix("kvsweep: error: ")


def read(manifest: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(manifest.read_text())
    return value


# -- an address -------------------------------------------------------------------------------------------------------


def test_a_model_from_an_address(server: Server, place: Place, model: bytes) -> None:
    server.pages["/models/tiny.gguf"] = Page(model, '"one"')
    origin = {"url": f"{server.address}/models/tiny.gguf?signature=SECRET"}
    done = place.model(origin, "--sha256", sha256(model))
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[0].startswith(
        f"kvsweep: model m: fetching {server.address}/models/tiny.gguf"
    )
    made = read(place.model_json)
    assert (made["sha256"], made["size_bytes"], made["parts"]) == (sha256(model), len(model), [])
    assert made["path"] == str(place.model_json.parent / "fetched" / "tiny.gguf")
    assert made["source"] == {"url": f"{server.address}/models/tiny.gguf?..."}
    assert "SECRET" not in done.stderr + place.model_json.read_text()
    assert verified.load_model(place.model_json) == made
    # The manifest is made anew without fetching or reading the file again.
    place.model_json.unlink()
    again = place.model(origin, "--sha256", sha256(model))
    assert len(server.requests) == 1
    assert "fetching" not in again.stderr
    assert read(place.model_json) == made


def test_a_model_with_another_sha256_than_expected(server: Server, place: Place, model: bytes) -> None:
    server.pages["/tiny.gguf"] = Page(model)
    origin = {"url": f"{server.address}/tiny.gguf"}
    directory = place.model_json.parent / "fetched"
    assert error_of(place.model(origin, "--sha256", "0" * 64)) == (
        f"models.m.sha256: {directory}/tiny.gguf has {sha256(model)}, the configuration says {'0' * 64}; "
        f"correct the configuration, or remove {directory} to fetch again."
    )
    assert not place.model_json.exists()
    # The configuration was wrong: nothing is fetched again.
    assert place.model(origin, "--sha256", sha256(model)).returncode == 0
    assert len(server.requests) == 1


def test_what_is_no_model_is_fetched_again_the_next_time(server: Server, place: Place, model: bytes) -> None:
    server.pages["/tiny.gguf"] = [Page(b"<html>Please log in"), Page(model)]
    origin = {"url": f"{server.address}/tiny.gguf"}
    assert "tiny.gguf is not a GGUF file (it starts with b'<htm')." in error_of(place.model(origin))
    assert place.model(origin).returncode == 0


def test_a_fetched_model_that_is_gone_or_changed(server: Server, place: Place, model: bytes) -> None:
    server.pages["/tiny.gguf"] = Page(model)
    place.model({"url": f"{server.address}/tiny.gguf"})
    path = place.model_json.parent / "fetched" / "tiny.gguf"
    path.write_bytes(model + b"x")
    with pytest.raises(KvsweepError, match="the model changed since"):
        verified.load_model(place.model_json)
    path.unlink()
    with pytest.raises(KvsweepError) as caught:
        verified.load_model(place.model_json)
    assert str(caught.value) == f"{path}: the model is gone; remove {place.model_json} to get it again."


def test_a_text_from_an_address(server: Server, place: Place) -> None:
    server.pages["/text.txt"] = Page(TEXT)
    assert place.corpus({"url": f"{server.address}/text.txt"}, "--sha256", sha256(TEXT)).returncode == 0
    made = read(place.corpus_json)
    assert (made["sha256"], made["archive_sha256"]) == (sha256(TEXT), None)
    assert Path(made["path"]).read_bytes() == TEXT
    assert verified.load_corpus(place.corpus_json) == made


# -- Hugging Face -----------------------------------------------------------------------------------------------------


def test_a_model_from_hugging_face(
    server: Server, place: Place, model: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with serving() as storage:
        server.pages |= hub_pages(RESOLVED, model, f"{storage.address}/blob?signature=SECRET")
        storage.pages["/blob"] = Page(model, '"elsewhere"')
        done = place.model({"huggingface": HUB}, "--sha256", sha256(model))
        assert done.returncode == 0, done.stderr
        # The token is for the hub and nobody else.
        assert server.requests[0].headers["authorization"] == f"Bearer {TOKEN}"
        assert "authorization" not in storage.requests[0].headers
    made = read(place.model_json)
    assert made["source"] == {"huggingface": HUB}
    assert made["sha256"] == sha256(model)
    written = b"".join(path.read_bytes() for path in place.model_json.parent.rglob("*") if path.is_file())
    for secret in (TOKEN, "SECRET"):
        assert secret not in done.stderr and secret.encode() not in written
    said = f"q8/tiny.gguf of the Hugging Face model owner/name at {COMMIT}"
    assert f"kvsweep: model m: fetching {said} (" in done.stderr


def test_an_interrupted_download_from_hugging_face_goes_on(
    server: Server, place: Place, model: bytes
) -> None:
    model += bytes(1_000_000)
    server.pages |= hub_pages(RESOLVED, model, "/blob")
    server.pages["/blob"] = Page(model, '"one"', cut_after=500_000)
    assert "the connection ended early" in error_of(place.model({"huggingface": HUB}))
    # Another address and another ETag of the same commit are no other file.
    server.pages |= hub_pages(RESOLVED, model, "/blob2")
    server.pages["/blob2"] = Page(model, '"two"')
    assert place.model({"huggingface": HUB}).returncode == 0
    assert server.continued_at() > 400_000
    assert read(place.model_json)["sha256"] == sha256(model)


def test_the_programs_themselves_read_endpoint_and_token(server: Server, place: Place, model: bytes) -> None:
    server.pages |= hub_pages(RESOLVED, model)
    command = [sys.executable, str(SCRIPTS / "inspect_model.py"), "--name", "m"]
    command += ["--path", json.dumps({"huggingface": HUB}), "--model-json", str(place.model_json)]
    done = subprocess.run(
        command, env=os.environ | {"HF_TOKEN": TOKEN}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert server.requests[0].headers["authorization"] == f"Bearer {TOKEN}"
    assert TOKEN not in done.stdout + done.stderr


def test_without_a_token_none_is_sent(server: Server, place: Place, model: bytes) -> None:
    server.pages |= hub_pages(RESOLVED, model)
    assert place.model({"huggingface": HUB}).returncode == 0
    assert "authorization" not in server.requests[0].headers


def test_a_wrong_sha256_is_noticed_before_the_file_is_fetched(
    server: Server, place: Place, model: bytes
) -> None:
    server.pages |= hub_pages(RESOLVED, model)
    said = error_of(place.model({"huggingface": HUB}, "--sha256", "0" * 64))
    assert said == (
        f"models.m: q8/tiny.gguf of the Hugging Face model owner/name at {COMMIT} has the sha256 {sha256(model)} "
        f"there, the configuration says {'0' * 64}; correct the configuration."
    )
    assert not list((place.model_json.parent / "fetched").iterdir())


def test_a_file_that_was_damaged_on_the_way(server: Server, place: Place, model: bytes) -> None:
    damaged = model[:-1] + bytes([model[-1] ^ 1])
    server.pages |= hub_pages(RESOLVED, model, "/blob")
    server.pages["/blob"] = [Page(damaged), Page(model)]
    said = error_of(place.model({"huggingface": HUB}))
    assert f"is damaged: its sha256 is {sha256(damaged)}, that of " in said
    assert said.endswith(f" is {sha256(model)}; run again to fetch it anew.")
    assert place.model({"huggingface": HUB}).returncode == 0


@pytest.mark.parametrize(
    ("status", "code", "clause"),
    [
        (404, "EntryNotFound", "the repository has no such file at that commit; correct file or revision."),
        (404, "RevisionNotFound", "the repository has no such commit; correct revision."),
        (
            401,
            "RepoNotFound",
            "there is no such repository, or it is private; correct repo, or set HF_TOKEN.",
        ),
        (
            403,
            "GatedRepo",
            "its owner gives it only to who accepted the conditions on its page; accept them and set HF_TOKEN.",
        ),
    ],
)
def test_what_hugging_face_refuses(server: Server, place: Place, status: int, code: str, clause: str) -> None:
    server.pages[RESOLVED] = Page(status=status, headers={"X-Error-Code": code})
    assert error_of(place.model({"huggingface": HUB})) == (
        f"models.m.huggingface: q8/tiny.gguf of the Hugging Face model owner/name at {COMMIT}: {clause}"
    )
    assert len(server.requests) == 1


def test_what_is_no_hub_or_gives_another_commit(server: Server, place: Place, model: bytes) -> None:
    server.pages[RESOLVED] = Page(b"<html>Welcome to this hotel")
    assert error_of(place.model({"huggingface": HUB})).endswith(
        "what answered is no Hugging Face hub; check HF_ENDPOINT and the network."
    )
    server.pages[RESOLVED] = Page(model, headers={"X-Repo-Commit": "f" * 40})
    assert error_of(place.model({"huggingface": HUB})).endswith(f"the server gave commit {'f' * 40} instead.")


def test_a_hub_that_may_not_be_asked_is_not(
    server: Server, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        said = error_of(place.model({"huggingface": HUB}))
    assert (
        said == "models.m.huggingface: HF_HUB_OFFLINE is set and the file is not here yet; unset it to fetch."
    )
    monkeypatch.setenv("HF_ENDPOINT", server.address.replace("//", "//me:word@"))
    said = error_of(place.model({"huggingface": HUB}))
    assert said == "models.m.huggingface: HF_ENDPOINT has a user or password in it; set HF_TOKEN instead."
    assert not server.requests


def test_a_small_file_that_the_hub_serves_itself(server: Server, place: Place) -> None:
    origin = {"huggingface": {**DATA, "file": "text.txt"}}
    server.pages[f"/datasets/ggml-org/ci/resolve/{COMMIT}/text.txt"] = Page(
        TEXT, f'"{"a" * 40}"', headers={"X-Repo-Commit": COMMIT}
    )
    assert place.corpus(origin).returncode == 0
    assert read(place.corpus_json)["sha256"] == sha256(TEXT)


@pytest.mark.usefixtures("model")
def test_what_is_not_needed_is_not_imported(tmp_path: Path) -> None:
    """huggingface_hub and requests take long to import, and most runs fetch nothing."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); sys.argv[:] = ['inspect_model.py', *sys.argv[2:]];"
        "import inspect_model; inspect_model.main();"
        "print([name for name in ('huggingface_hub', 'httpx2') if name in sys.modules])"
    )
    arguments: list[str | Path] = ["--name", "m", "--path", tmp_path / "original.gguf"]
    arguments += ["--model-json", tmp_path / "model.json"]
    done = subprocess.run(
        [sys.executable, "-c", code, SCRIPTS, *arguments], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


# -- archives ---------------------------------------------------------------------------------------------------------


def zipped(names: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in names.items():
            archive.writestr(name, content)
    return out.getvalue()


def tarred(names: dict[str, bytes], kind: str = "gz") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=f"w:{kind}") as archive:  # type: ignore[call-overload]
        for name, content in names.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
        link = tarfile.TarInfo("link.txt")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    return out.getvalue()


def test_wikitext_2_as_llama_cpp_gets_it(server: Server, place: Place) -> None:
    archive = zipped({"wikitext-2-raw/": b"", MEMBER: TEXT, "wikitext-2-raw/wiki.train.raw": b"other"})
    server.pages |= hub_pages(DATA_RESOLVED, archive)
    options = ["--member", MEMBER, "--sha256", sha256(TEXT), "--archive-sha256", sha256(archive)]
    done = place.corpus({"huggingface": DATA}, *options)
    assert done.returncode == 0, done.stderr
    made = read(place.corpus_json)
    assert (made["sha256"], made["archive_sha256"]) == (sha256(TEXT), sha256(archive))
    assert made["source"] == {"huggingface": DATA, "member": MEMBER}
    assert Path(made["path"]).read_bytes() == TEXT
    assert verified.load_corpus(place.corpus_json) == made
    assert sorted(path.name for path in place.corpus_json.parent.iterdir()) == [
        "archive-checksum.json", "checksum.json", "corpus.json", "fetched", "text.txt",
    ]  # fmt: skip
    place.corpus_json.unlink()
    assert place.corpus({"huggingface": DATA}, *options).returncode == 0
    assert len(server.requests) == 1


@pytest.mark.parametrize("kind", ["", "gz", "bz2", "xz"])
def test_a_member_of_a_local_tar_archive(place: Place, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "texts.tar"
    path.write_bytes(tarred({"./a/text.txt": TEXT}, kind))
    assert place.corpus(path, "--member", "a/text.txt").returncode == 0
    assert read(place.corpus_json)["sha256"] == sha256(TEXT)
    assert read(place.corpus_json)["archive_sha256"] == sha256(path.read_bytes())


@pytest.mark.parametrize(
    ("member", "clause"),
    [
        ("wiki.test.raw", f"has no file 'wiki.test.raw'; the nearest one is '{MEMBER}'."),
        (
            "wikitext-2-raw/wiki.tset.raw",
            f"has no file 'wikitext-2-raw/wiki.tset.raw'; the nearest one is '{MEMBER}'.",
        ),
        ("0", f"has no file '0'; it has {MEMBER}, README."),
    ],
)
@pytest.mark.parametrize("pack", [zipped, tarred])
def test_a_member_that_is_not_there(
    place: Place, tmp_path: Path, member: str, clause: str, pack: Any
) -> None:
    path = tmp_path / "archive"
    path.write_bytes(pack({MEMBER: TEXT, "README": b""}))
    assert error_of(place.corpus(path, "--member", member)) == f"corpora.c.member: {path} {clause}"


@pytest.mark.parametrize("member", ["../text.txt", "a/../../text.txt", "/text.txt"])
@pytest.mark.parametrize("pack", [zipped, tarred])
def test_a_member_that_leads_out_of_the_archive(place: Place, tmp_path: Path, member: str, pack: Any) -> None:
    path = tmp_path / "archive"
    path.write_bytes(pack({member: TEXT}))
    assert error_of(place.corpus(path, "--member", member)) == (
        f"corpora.c.member: {member!r} leads out of the archive; write a path inside it."
    )


def test_a_link_in_an_archive_is_not_followed(place: Place, tmp_path: Path) -> None:
    path = tmp_path / "archive"
    path.write_bytes(tarred({"text.txt": TEXT}))
    assert "has no file 'link.txt'" in error_of(place.corpus(path, "--member", "link.txt"))


@pytest.mark.parametrize("kind", ["zip", "gz", "bz2", "xz"])
@pytest.mark.parametrize("damage", ["cut short", "other bytes"])
def test_a_damaged_archive(place: Place, tmp_path: Path, kind: str, damage: str) -> None:
    path = tmp_path / "archive"
    names = {"first": bytes(1_000_000), MEMBER: os.urandom(100_000), "last": b""}
    content = bytearray(zipped(names) if kind == "zip" else tarred(names, kind))
    middle = len(content) // 2
    content[middle:] = b"" if damage == "cut short" else bytes(100) + content[middle + 100 :]
    path.write_bytes(content)
    said = error_of(place.corpus(path, "--member", MEMBER))
    assert said.startswith(f"corpora.c.member: {path} is ") and " damaged" in said
    assert not (place.corpus_json.parent / "text.txt").exists()


def test_what_is_no_archive(place: Place, tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(TEXT)
    assert error_of(place.corpus(path, "--member", "text.txt")) == (
        f"corpora.c.member: {path} is no zip or tar archive, or a damaged one; remove member if it is the text itself."
    )


def test_another_archive_or_text_than_expected(place: Place, tmp_path: Path) -> None:
    path = tmp_path / "archive.zip"
    path.write_bytes(zipped({"text.txt": TEXT}))
    member = ("--member", "text.txt")
    said = error_of(place.corpus(path, *member, "--archive-sha256", "0" * 64))
    assert said.startswith(f"corpora.c.archive_sha256: {path} has {sha256(path.read_bytes())}, ")
    said = error_of(place.corpus(path, *member, "--sha256", "0" * 64))
    assert said.startswith("corpora.c.sha256: ") and said.endswith("; correct the configuration.")


# -- split models -----------------------------------------------------------------------------------------------------


def write_parts(directory: Path, n_parts: int = 3) -> list[Path]:
    """A split model as gguf-split writes it: the header in the first part, tensors in all."""
    directory.mkdir(parents=True, exist_ok=True)
    paths = [directory / f"big-{number + 1:05d}-of-{n_parts:05d}.gguf" for number in range(n_parts)]
    for number, path in enumerate(paths):
        writer = gguf.GGUFWriter(path, "llama")
        if number == 0:
            for name, value in TINY.items():
                writer.add_uint32(name, value)
        writer.add_uint16("split.no", number)
        writer.add_uint16("split.count", n_parts)
        writer.add_int32("split.tensors.count", n_parts)
        # The first part has fewer values of another type than all the others together.
        kind = np.float32 if number == 0 else np.float16
        writer.add_tensor(f"blk.{number}.weight", np.full((4, 32), number, dtype=kind))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    return paths


def combined(paths: list[Path]) -> str:
    """As docs/configuration.md says it: sha256sum NAME-*.gguf | cut -c 1-64 | sha256sum."""
    return hashlib.sha256(b"".join(f"{sha256(path.read_bytes())}\n".encode() for path in paths)).hexdigest()


def test_a_split_model(place: Place, tmp_path: Path) -> None:
    paths = write_parts(tmp_path / "models")
    done = place.model(paths[0], "--sha256", combined(paths))
    assert done.returncode == 0, done.stderr
    made = read(place.model_json)
    assert (made["path"], made["sha256"]) == (str(paths[0]), combined(paths))
    assert made["size_bytes"] == sum(path.stat().st_size for path in paths)
    assert made["parts"] == [
        {"path": str(path), "size_bytes": path.stat().st_size, "sha256": sha256(path.read_bytes())}
        for path in paths
    ]
    assert (made["n_parameters"], made["weight_type"], made["n_layers"]) == (3 * 4 * 32, "F16", 4)
    assert verified.load_model(place.model_json) == made


def test_the_documented_command_gives_a_split_models_sha256(tmp_path: Path) -> None:
    paths = write_parts(tmp_path)
    documented = "sha256sum big-*.gguf | cut -c 1-64 | sha256sum"
    assert documented.replace("big-", "NAME-") in (ROOT / "docs" / "configuration.md").read_text()
    done = subprocess.run(documented, shell=True, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split()[0] == combined(paths)


@pytest.mark.parametrize("number", [0, 2])
def test_a_part_that_changed_or_is_gone(place: Place, tmp_path: Path, number: int) -> None:
    paths = write_parts(tmp_path / "models")
    place.model(paths[0])
    content = paths[number].read_bytes()
    paths[number].write_bytes(content + b"x")
    with pytest.raises(KvsweepError) as caught:
        verified.load_model(place.model_json)
    assert str(caught.value) == (
        f"{paths[number]}: the model changed since {place.model_json} was written; run the workflow again."
    )
    paths[number].unlink()
    with pytest.raises(KvsweepError) as caught:
        verified.load_model(place.model_json)
    assert str(caught.value) == (
        f"{paths[number]}: the model is gone; put it back, or correct its path in the configuration."
    )


def test_parts_that_are_missing(tmp_path: Path) -> None:
    paths = write_parts(tmp_path)
    paths[1].unlink()
    with pytest.raises(KvsweepError) as caught:
        read_header(paths[0], "models.m.path")
    assert str(caught.value) == (
        f"models.m.path: of the 3 parts of {paths[0]}, {paths[1].name} cannot be found; put all of them into one "
        "directory."
    )


def test_parts_under_wrong_names(tmp_path: Path) -> None:
    paths = write_parts(tmp_path)
    paths[1].rename(tmp_path / "second")
    paths[2].rename(paths[1])
    (tmp_path / "second").rename(paths[2])
    with pytest.raises(KvsweepError) as caught:
        read_header(paths[0], "models.m.path")
    assert str(caught.value) == (
        f"models.m.path: {paths[1]} is part 3 of 3 by its header, and not part 2 of 3; give the parts the names that "
        "they were made with."
    )
    alone = paths[0].rename(tmp_path / "alone.gguf")
    with pytest.raises(KvsweepError, match="is part 1 of 3 by its header, and not part 1 of 1; "):
        read_header(alone, "models.m.path")


def test_parts_of_two_models(tmp_path: Path) -> None:
    paths = write_parts(tmp_path)
    writer = gguf.GGUFWriter(paths[1], "llama")
    writer.add_uint16("split.no", 1)
    writer.add_uint16("split.count", 3)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    with pytest.raises(KvsweepError, match="have 2 tensors and should have 3; they are not of one model"):
        read_header(paths[0], "models.m.path")


def test_another_part_than_the_first(place: Place, tmp_path: Path) -> None:
    paths = write_parts(tmp_path)
    assert error_of(place.model(paths[1])) == (
        "models.m.path: 'big-00002-of-00003.gguf' is not the first part of a split model; name "
        "big-00001-of-00003.gguf."
    )


@pytest.mark.parametrize("kind", ["url", "huggingface"])
def test_all_parts_are_fetched_and_each_only_once(
    server: Server, place: Place, tmp_path: Path, kind: str
) -> None:
    paths = write_parts(tmp_path / "there")
    folder = "/m" if kind == "url" else f"/owner/name/resolve/{COMMIT}/q8"
    for path in paths:
        server.pages |= hub_pages(f"{folder}/{path.name}", path.read_bytes())
    last = server.pages.pop(f"{folder}/{paths[2].name}")
    origin: dict[str, Any] = {"url": f"{server.address}/m/{paths[0].name}"}
    if kind == "huggingface":
        origin = {"huggingface": {**HUB, "file": f"q8/{paths[0].name}"}}
    assert paths[2].name in error_of(place.model(origin))
    server.pages[f"{folder}/{paths[2].name}"] = last
    done = place.model(origin, "--sha256", combined(paths))
    assert done.returncode == 0, done.stderr
    assert [request.path for request in server.requests] == [
        f"{folder}/{paths[i].name}" for i in (0, 1, 2, 2)
    ]
    made = read(place.model_json)
    assert [Path(part["path"]).name for part in made["parts"]] == [path.name for path in paths]
    assert verified.load_model(place.model_json) == made


def test_where_a_file_lies(tmp_path: Path) -> None:
    assert Origin(path="m.gguf").local_path(tmp_path) == Path("m.gguf")
    for url in ("http://host/a/b%20c.gguf?x=/y", "http://host/a/..%2Fb%20c.gguf"):
        assert Origin(url=url).local_path(tmp_path).parent == tmp_path / "fetched"
    assert Origin(url="http://host/").local_path(tmp_path) == tmp_path / "fetched" / "file"
    assert Origin(url="http://host/..").local_path(tmp_path) == tmp_path / "fetched" / "file"


# -- the workflow -----------------------------------------------------------------------------------------------------


def study(models: object, **more: object) -> dict[str, Any]:
    engine = {"source": {"path": str(STAND_IN)}, "backend": "cpu"}
    return {"engines": {"e": engine}, "models": {"m": models}, "pairs": ["f16"], **more}


def test_the_workflow_fetches_once_and_has_nothing_to_do_then(
    server: Server, place: Place, tmp_path: Path, model: bytes
) -> None:
    archive = zipped({MEMBER: TEXT})
    server.pages["/tiny.gguf"] = Page(model)
    server.pages |= hub_pages(DATA_RESOLVED, archive)
    corpus = {"huggingface": DATA, "member": MEMBER, "archive_sha256": sha256(archive)}
    configuration = tmp_path / "study.yaml"
    configuration.write_text(
        json.dumps(
            study(
                {"url": f"{server.address}/tiny.gguf?a=b&c='d'"},
                corpora={"c": corpus},
                quality={"contexts": [512], "chunks": 4},
            )
        )
    )
    command: list[str | Path] = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile"]
    command += [
        *("--configfile", configuration, "--directory", tmp_path, "--cores", "1"),
        *("--", "results/models/m/model.json", "results/corpora/c/corpus.json"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert {request.path for request in server.requests} == {"/tiny.gguf?a=b&c='d'", DATA_RESOLVED}
    assert read(place.model_json)["sha256"] == sha256(model)
    assert read(place.corpus_json)["sha256"] == sha256(TEXT)
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "Nothing to be done" in again.stdout + again.stderr
    assert len(server.requests) == 2


def test_the_plan_knows_a_model_once_it_is_fetched(
    server: Server, place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = write_parts(tmp_path / "there")
    for path in paths:
        server.pages[f"/{path.name}"] = Page(path.read_bytes())
    origin = {"url": f"{server.address}/{paths[0].name}"}
    config = json.dumps(study(origin, throughput={"depths": [0]}))
    command = ["--results", tmp_path / "results", "--config", config]
    unknown = f"models.m: its sizes are unknown until {origin['url']} is fetched"
    assert run_in_this_process("make_plan", command).returncode == 0
    assert unknown in " ".join(capsys.readouterr().out.split())
    assert place.model(origin).returncode == 0
    done = run_in_this_process("make_plan", command)
    assert done.returncode == 0
    assert unknown not in " ".join(capsys.readouterr().out.split())
    # From the manifest, not from the files again.
    assert "reading the header" not in done.stderr
    place.model_json.unlink()
    assert "reading the header" in run_in_this_process("make_plan", command).stderr
