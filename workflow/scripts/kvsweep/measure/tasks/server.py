"""A client of llama-server: one request at a time, to this machine, with answers of limited size and time.

Endpoints and fields as in llama.cpp's tools/server/README.md: /health, /tokenize, /apply-template, /completion.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import requests

from kvsweep.errors import printable
from kvsweep.files import partial
from kvsweep.measure.engine_run import SERVER_LOG_BYTES
from kvsweep.measure.tasks.item import Prompt

# What the server says once it can be reached, also while it loads the model.
_LISTENING = re.compile(r"listening on http://127\.0\.0\.1:(\d+)")
# Of an answer with its tokens and what the server says of it: 100,000 tokens take less.
MOST_ANSWER_BYTES = 4 * 2**20
_POLL_SECONDS = 0.1
# A server that closed a connection and does not answer for so long is given up.
_LOST_SECONDS = 20.0
_CONNECT_SECONDS = 10.0
# What the server calls it where a prompt is longer than the context.
_NO_ROOM = "exceed_context_size_error"


class Unanswered(Exception):
    """The server answered, but not with what was asked for; the message says what came."""


class _NoRoom(Unanswered):
    """Prompt and answer do not fit into the context; ``error`` is what the server says of it."""

    def __init__(self, message: str, error: dict[str, Any]) -> None:
        super().__init__(message)
        self.error = error


class Lost(Exception):
    """The server does not answer any more."""


class TookTooLong(Exception):
    """An answer was not there in time; the server is still at it."""


class Answer(NamedTuple):
    text: str
    tokens: list[int]
    n_tokens: int
    n_prompt: int
    stopped: str | None
    prompt_seconds: float | None
    generate_seconds: float | None


def address_in(log: Path) -> str | None:
    """The address at which the server that writes this log listens; None until it listens."""
    try:
        with partial(log).open("rb") as file:
            found = _LISTENING.search(file.read(SERVER_LOG_BYTES).decode("utf-8", errors="replace"))
    except OSError:
        return None
    return f"http://127.0.0.1:{found[1]}" if found else None


class Server:
    """``answer_seconds`` is the longest time that an answer may take."""

    def __init__(self, address: str, answer_seconds: float) -> None:
        self._address, self._answer_seconds = address, answer_seconds
        self._session = requests.Session()
        self._session.trust_env = False  # no proxy between a machine and itself, no password from a file

    def wait_until_ready(self, is_over: Callable[[], bool]) -> None:
        """Return once the model is loaded. Raises Lost where that is no more to be waited for, TookTooLong where it
        takes longer than an answer may: a server that was stopped while it loads ends by nothing else."""
        until = time.monotonic() + self._answer_seconds
        while not is_over():
            if time.monotonic() > until:
                raise TookTooLong
            try:
                if self._session.get(f"{self._address}/health", timeout=_CONNECT_SECONDS).status_code == 200:
                    return
            except requests.RequestException:
                pass
            time.sleep(_POLL_SECONDS)
        raise Lost

    def is_back(self, is_over: Callable[[], bool]) -> bool:
        """Whether the server answers again, after it closed a connection."""
        until = time.monotonic() + _LOST_SECONDS
        try:
            self.wait_until_ready(lambda: is_over() or time.monotonic() > until)
        except Lost:
            return False
        return True

    def tokens(self, text: str) -> list[int]:
        asked = {"content": text, "add_special": True, "parse_special": True}
        return _whole_numbers(self._post("tokenize", asked).get("tokens"))

    def in_template(self, message: str) -> str:
        # A model that thinks aloud first would need more tokens than an answer has; others ignore this.
        asked = {
            "messages": [{"role": "user", "content": message}],
            "chat_template_kwargs": {"enable_thinking": False},
        }
        found = self._post("apply-template", asked).get("prompt")
        if not isinstance(found, str):
            raise Unanswered("no prompt came from the model's chat template")
        return found

    def complete(self, prompt: Prompt, n_predict: int, stop: tuple[str, ...], seed: int) -> Answer:
        """The likeliest continuation."""
        asked = {
            **{"prompt": prompt, "n_predict": n_predict, "stop": list(stop), "seed": seed},
            **{"temperature": 0.0, "top_k": 1, "samplers": ["top_k"], "cache_prompt": False},
            **{"return_tokens": True, "stream": False},
        }
        found = self._post("completion", asked)
        text = found.get("content")
        if not isinstance(text, str):
            raise Unanswered("the server's answer has no text")
        timings = found.get("timings")
        timings = timings if isinstance(timings, dict) else {}
        tokens = _whole_numbers(found.get("tokens"))
        return Answer(
            # Half of a character can be no text of a file.
            text.encode("utf-8", errors="replace").decode(),
            tokens,
            found["tokens_predicted"] if isinstance(found.get("tokens_predicted"), int) else len(tokens),
            found["tokens_evaluated"] if isinstance(found.get("tokens_evaluated"), int) else 0,
            found["stop_type"] if isinstance(found.get("stop_type"), str) else None,
            _seconds(timings.get("prompt_ms")),
            _seconds(timings.get("predicted_ms")),
        )

    def chat(
        self, messages: list[dict[str, str]], n_predict: int, seed: int, thinking: bool | None, seconds: float
    ) -> tuple[int, dict[str, Any]]:
        """The likeliest next message, in the form of OpenAI's API, with HTTP's status: 200, or 400 where the messages
        and the answer do not fit into the context."""
        asked = {
            **{"messages": messages, "max_tokens": n_predict, "seed": seed, "stream": False},
            **{"temperature": 0.0, "top_k": 1, "samplers": ["top_k"], "cache_prompt": False},
            **({} if thinking is None else {"chat_template_kwargs": {"enable_thinking": thinking}}),
        }
        try:
            found = self._post("v1/chat/completions", asked, seconds)
        except _NoRoom as refusal:
            return 400, {"error": refusal.error}
        message = _message_in(found)
        if message.get("content") is None and isinstance(message.get("reasoning_content"), str):
            message["content"] = ""  # it thought until it was cut off
        if not isinstance(message.get("content"), str):
            raise Unanswered("the server's answer has no text")
        return 200, found

    def _post(self, endpoint: str, asked: Mapping[str, Any], seconds: float | None = None) -> dict[str, Any]:
        """The JSON object that came. Raises Unanswered, Lost or TookTooLong."""
        seconds = self._answer_seconds if seconds is None else seconds
        until = time.monotonic() + seconds
        data = bytearray()
        try:
            with self._session.post(
                f"{self._address}/{endpoint}",
                json=asked,
                stream=True,
                timeout=(_CONNECT_SECONDS, seconds),
                allow_redirects=False,
            ) as answer:
                for piece in answer.iter_content(65536):
                    data += piece
                    if len(data) > MOST_ANSWER_BYTES:
                        raise Unanswered(
                            f"an answer of more than {MOST_ANSWER_BYTES} bytes, which was not read on"
                        )
                    if time.monotonic() > until:
                        raise TookTooLong
                status = answer.status_code
        except requests.Timeout:
            raise TookTooLong from None
        except (requests.RequestException, OSError):
            raise Lost from None
        return _read(data, status)


def _message_in(found: Mapping[str, Any]) -> dict[str, Any]:
    try:
        message = found["choices"][0]["message"]
    except (KeyError, IndexError, TypeError):
        return {}
    return message if isinstance(message, dict) else {}


def _read(data: bytearray, status: int) -> dict[str, Any]:
    try:
        found = json.loads(data.decode("utf-8"))
    except UnicodeDecodeError:
        raise Unanswered(f"HTTP {status} and bytes that are no UTF-8") from None
    except (ValueError, RecursionError):
        what = "nothing" if not data.strip() else "what is no JSON"
        raise Unanswered(f"HTTP {status} and {what}") from None
    if status != 200 or not isinstance(found, dict):
        error = found.get("error") if isinstance(found, dict) else None
        said = error.get("message") if isinstance(error, dict) else None
        refusal = f"HTTP {status}" + (f": {printable(said[:300])}" if isinstance(said, str) else "")
        if status == 400 and isinstance(error, dict) and error.get("type") == _NO_ROOM:
            raise _NoRoom(refusal, error)
        raise Unanswered(refusal)
    return found


def _whole_numbers(value: Any) -> list[int]:
    if not isinstance(value, list) or not all(isinstance(one, int) for one in value):
        raise Unanswered("the server's answer has no list of tokens")
    return value


def _seconds(milliseconds: Any) -> float | None:
    return round(milliseconds / 1000, 6) if isinstance(milliseconds, int | float) else None
