"""A text is checked before it is scored."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kvsweep.errors import KvsweepError
from kvsweep.inputs.plain_text import check_text

PROSE = ("All work and no play makes Jack a dull boy. Größe, 大きさ, размер, 😀.\n" * 50).encode()


def zipped() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a.txt", PROSE)
    return packed.getvalue()


def tarred() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        entry = tarfile.TarInfo("a.txt")
        entry.size = len(PROSE)
        archive.addfile(entry, io.BytesIO(PROSE))
    return packed.getvalue()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (zipped(), "is a zip archive; name the text in it with member, or unpack it."),
        (tarred(), "is a tar archive; name the text in it with member, or unpack it."),
        (gzip.compress(PROSE), "is compressed (gzip); name the text in it with member, or unpack it."),
        (bz2.compress(PROSE), "is compressed (bzip2); name the text in it with member, or unpack it."),
        (lzma.compress(PROSE), "is compressed (xz); name the text in it with member, or unpack it."),
        (b"%PDF-1.7\n%\xe2\xe3", "is a PDF file; save its text as plain UTF-8."),
        (PROSE.decode().encode("utf-16"), "is UTF-16 text; save it as UTF-8."),
        (b"All work and no play".decode().encode("utf-16-le"), "is UTF-16 text; save it as UTF-8."),
        (b"All work and no play".decode().encode("utf-16-be"), "is UTF-16 text; save it as UTF-8."),
        (PROSE.decode().encode("utf-32"), "is UTF-32 text; save it as UTF-8."),
        ("Größe".encode("latin-1"), "is not UTF-8 text (near byte 2); save it as UTF-8, or name a plain text."),
        (b"\n <!DOCTYPE html><html>", "is a web page (HTML), perhaps a server's answer instead of the file; "
         "name a plain text."),
        (PROSE + b"\0", f"has a zero byte at {len(PROSE)}, as no text has; name a plain text."),
        (PROSE[:-2] + b"\xf0\x9f", f"is not UTF-8 text (near byte {len(PROSE)}); save it as UTF-8, or name a "
         "plain text."),
        (b"", "is empty; name a text."),
        (b"a" * 9000, "is the character 'a' again and again; name a text."),
        (b"\n" * 9000, "is the character '\\n' again and again; name a text."),
        (b"\0" * 9000, "has a zero byte at 0, as no text has; name a plain text."),
        (b"\x1b[31mred\x1b[0m" * 900, "has 1800 control or replacement characters among 10800, as no text has; name a "
         "plain text."),
        (("Gr\ufffd\ufffde" * 900).encode(), "has 1800 control or replacement characters among 4500, as no text has; "
         "name a plain text."),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "is the pointer of a file that git-lfs has not "
         "fetched; fetch the file (git lfs pull)."),
        (b"{\\rtf1 text}", "is an RTF document; save it as plain UTF-8."),
        (b"%!PS-Adobe-3.0", "is a PostScript file; name a plain text."),
        (PROSE.decode().encode("utf-16-be"), "is UTF-16 text; save it as UTF-8."),
    ],
)  # fmt: skip
def test_what_is_no_text_is_said_in_one_sentence(content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes(content)
    with pytest.raises(KvsweepError) as caught:
        check_text(path, "corpora.c")
    assert str(caught.value) == f"corpora.c: {path} {said}"


def test_random_bytes_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes(random.Random(1).randbytes(2**16))
    with pytest.raises(KvsweepError):
        check_text(path, "corpora.c")


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1))
def test_any_text_is_one_unless_it_begins_like_something_else(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    path = tmp_path_factory.mktemp("t") / "text"
    path.write_text("It begins. " + text, encoding="utf-8", newline="")
    check_text(path, "corpora.c")


def test_a_character_across_two_chunks_is_one(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes(b"x" * (2**20 - 1) + "😀".encode())
    check_text(path, "corpora.c")
