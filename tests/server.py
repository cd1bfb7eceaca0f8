"""A web server in a thread, for tests: what it serves, how it misbehaves, and what it was asked."""

from __future__ import annotations

import contextlib
import hashlib
import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Page:
    """What is served under a path. After ``cut_after`` bytes of a response the connection ends, ``cuts`` times."""

    content: bytes = b""
    etag: str | None = None
    status: int = 200
    ranges: bool = True
    if_range: bool = True
    length: bool = True
    cut_after: int | None = None
    cuts: int = 1_000
    stall: threading.Event | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Request:
    path: str
    headers: Mapping[str, str]


class Server:
    """``requests`` are those that came, in order."""

    def __init__(self) -> None:
        self.pages: dict[str, Page | list[Page]] = {}
        self.requests: list[Request] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer.requests.append(Request(self.path, {k.lower(): v for k, v in self.headers.items()}))
                page = outer.pages.get(self.path.partition("?")[0], Page(status=404))
                if isinstance(page, list):
                    page = page.pop(0) if len(page) > 1 else page[0]
                outer.answer(self, page)

            def log_message(self, format: str, *args: object) -> None:
                pass

        class Quiet(ThreadingHTTPServer):
            def handle_error(self, *_: object) -> None:
                """Clients that go away are what is tested."""

        self._server = Quiet(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def ranges(self) -> list[str | None]:
        """The ranges that were asked for."""
        return [request.headers.get("range") for request in self.requests]

    def continued_at(self) -> int:
        """From which byte the last request wanted the file."""
        match = re.fullmatch(r"bytes=(\d+)-", self.ranges[-1] or "")
        return int(match[1]) if match else 0

    def answer(self, handler: BaseHTTPRequestHandler, page: Page) -> None:
        content, status, start = page.content, page.status, 0
        asked = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
        condition = handler.headers.get("If-Range")
        headers = dict(page.headers)
        if page.etag is not None:
            headers["ETag"] = page.etag
        if status == 200 and asked and page.ranges:
            if int(asked[1]) >= len(content):
                status, headers["Content-Range"], content = 416, f"bytes */{len(content)}", b""
            elif condition is None or condition == page.etag or not page.if_range:
                status, start = 206, int(asked[1])
                headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        body = content[start:]
        if page.length:
            headers["Content-Length"] = str(len(body))
        else:
            headers["Connection"] = "close"
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        cut = page.cut_after if page.cuts > 0 and status in (200, 206) else None
        with contextlib.suppress(OSError):
            handler.wfile.write(body if cut is None else body[:cut])
            handler.wfile.flush()
            if page.stall is not None:
                page.stall.wait(30)
        if cut is not None:
            page.cuts -= 1
            handler.close_connection = True


@contextlib.contextmanager
def serving() -> Iterator[Server]:
    server = Server()
    try:
        yield server
    finally:
        server.close()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def hub_pages(path: str, content: bytes, storage: str | None = None) -> dict[str, Page]:
    """A large file as the Hugging Face hub serves it: it describes it and sends on to where the bytes are."""
    described = {
        "X-Repo-Commit": COMMIT,
        "X-Linked-Etag": f'"{sha256(content)}"',
        "X-Linked-Size": str(len(content)),
    }
    if storage is None:
        return {path: Page(content, headers=described)}
    return {path: Page(status=302, headers={**described, "Location": storage})}
