"""Members of a slice that lie in one compressed archive: engines say nearly the same for every cell.

A bundle is a tar archive (ustar, POSIX 1003.1-1988) in xz. Its members stand in the order of their names, each with the
one header that their name and size make, so that nobody has to trust a header: a reader knows where everything lies.
"""

from __future__ import annotations

import lzma
import tarfile
from collections.abc import Mapping

from kvsweep.errors import KvsweepError
from kvsweep.units import format_bytes

_BLOCK = 512
_END = bytes(2 * _BLOCK)
# What its writer takes is 9 MiB; a stranger's may ask for gigabytes.
_MOST_MEMORY = 96 * 2**20


def fits(name: str) -> bool:
    """Whether one header has room for the name."""
    try:
        _header(name, 0)
    except ValueError:
        return False
    return True


def pack(members: Mapping[str, bytes]) -> bytes:
    """The bundle of these members."""
    parts = []
    for name, data in sorted(members.items()):
        parts += [_header(name, len(data)), data, bytes(-len(data) % _BLOCK)]
    return lzma.compress(b"".join([*parts, _END]), check=lzma.CHECK_CRC32, preset=6)


def unpack(data: bytes, sizes: Mapping[str, int], most_bytes: int) -> dict[str, bytes]:
    """The members of a bundle. They have to be exactly those of ``sizes`` (bytes).

    Raises KvsweepError with the end of a sentence.
    """
    expected = sum(_BLOCK + size + -size % _BLOCK for size in sizes.values()) + len(_END)
    if expected > most_bytes:
        raise KvsweepError(
            f"would have {format_bytes(expected)}, and at most {format_bytes(most_bytes)} are read"
        )
    inflate = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MOST_MEMORY)
    try:
        content = inflate.decompress(data, expected + 1)
    except (lzma.LZMAError, MemoryError, EOFError) as error:
        raise KvsweepError(f"is damaged ({type(error).__name__}); get the slice again") from None
    if len(content) != expected or not inflate.eof or inflate.unused_data:
        raise KvsweepError("does not hold what the manifest says; get the slice again")
    found, place = {}, 0
    for name, size in sorted(sizes.items()):
        start = place + _BLOCK
        if not fits(name) or content[place:start] != _header(name, size):
            raise KvsweepError(f"has something else where {name} should be; get the slice again")
        found[name] = content[start : start + size]
        place = start + size + -size % _BLOCK
    if content[place:] != _END:
        raise KvsweepError("does not end where it should; get the slice again")
    return found


def _header(name: str, size: int) -> bytes:
    """The header of a member. Raises ValueError if the name is too long for it."""
    entry = tarfile.TarInfo(name)
    entry.size = size
    return entry.tobuf(tarfile.USTAR_FORMAT)
