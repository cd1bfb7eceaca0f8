"""Whether a file is a text to score. An engine scores any bytes, and what it says of them means nothing."""

from __future__ import annotations

import codecs
import re
from pathlib import Path

from kvsweep.errors import KvsweepError
from kvsweep.files import not_readable

_CHUNK_BYTES = 2**20
# By how they begin.
_ARCHIVE = "is {}; name the text in it with member, or unpack it"
_KINDS: tuple[tuple[bytes, str], ...] = (
    (b"PK\x03\x04", _ARCHIVE.format("a zip archive")),
    (b"PK\x05\x06", "is an empty zip archive; name a text"),
    (b"\x1f\x8b", _ARCHIVE.format("compressed (gzip)")),
    (b"BZh", _ARCHIVE.format("compressed (bzip2)")),
    (b"\xfd7zXZ\x00", _ARCHIVE.format("compressed (xz)")),
    (b"\x28\xb5\x2f\xfd", "is compressed (zstd); unpack it"),
    (b"7z\xbc\xaf\x27\x1c", "is a 7z archive; unpack it"),
    (b"%PDF-", "is a PDF file; save its text as plain UTF-8"),
    (b"GGUF", "is a model file (GGUF); name a text"),
    (b"PAR1", "is a Parquet table; write its text column into a plain file"),
    (
        b"version https://git-lfs",
        "is the pointer of a file that git-lfs has not fetched; fetch the file (git lfs pull)",
    ),
    (b"{\\rtf", "is an RTF document; save it as plain UTF-8"),
    (b"%!PS", "is a PostScript file; name a plain text"),
    (b"\x89PNG", "is a picture (PNG); name a text"),
    (b"\xff\xfe\x00\x00", "is UTF-32 text; save it as UTF-8"),
    (b"\x00\x00\xfe\xff", "is UTF-32 text; save it as UTF-8"),
    (b"\xff\xfe", "is UTF-16 text; save it as UTF-8"),
    (b"\xfe\xff", "is UTF-16 text; save it as UTF-8"),
)
_PAGE = (b"<!doctype html", b"<html")
# What a terminal or a program was told, and what stands for a character that could not be read.
_NO_WRITING = re.compile(r"[\x01-\x08\x0e-\x1f\x7f\ufffd]")
# Some stand in good texts.
_MOST_OF_THEM, _MOST_SHARE = 100, 0.01


def check_text(path: Path, where: str) -> None:
    """Raise KvsweepError, with one sentence that says what to do, if the file is no plain UTF-8 text.

    ``where`` is the configuration key to name.
    """
    problem = _problem(path)
    if problem:
        raise KvsweepError(f"{where}: {path} {problem}.")


def _problem(path: Path) -> str | None:
    characters: set[str] = set()
    number = strange = 0
    decoder, done_bytes = codecs.getincrementaldecoder("utf-8")(), 0
    try:
        with path.open("rb") as file:
            start = file.read(512)
            for beginning, said in _KINDS:
                if start.startswith(beginning):
                    return said
            if start[257:262] == b"ustar":
                return _ARCHIVE.format("a tar archive")
            if start.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(_PAGE):
                return (
                    "is a web page (HTML), perhaps a server's answer instead of the file; name a plain text"
                )
            if not start:
                return "is empty; name a text"
            file.seek(0)
            while chunk := file.read(_CHUNK_BYTES):
                if b"\0" in chunk:
                    at = done_bytes + chunk.index(b"\0")
                    # Of every two bytes of Latin text one is zero.
                    wide = any(half.count(0) > len(half) // 4 for half in (start[1::2], start[::2]))
                    wide = wide and start.count(0) < len(start)
                    kind = "is UTF-16 text" if wide else f"has a zero byte at {at}, as no text has"
                    return f"{kind}; save it as UTF-8" if wide else f"{kind}; name a plain text"
                text = decoder.decode(chunk)
                number += len(text)
                strange += len(_NO_WRITING.findall(text))
                characters |= set(text)
                done_bytes += len(chunk)
            decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        return f"is not UTF-8 text (near byte {done_bytes + error.start}); save it as UTF-8, or name a plain text"
    except OSError as error:
        raise not_readable(path, error) from error
    if len(characters) == 1 and number > 1:
        return f"is the character {characters.pop()!r} again and again; name a text"
    if strange > max(_MOST_OF_THEM, number * _MOST_SHARE):
        return f"has {strange} control or replacement characters among {number}, as no text has; name a plain text"
    return None
