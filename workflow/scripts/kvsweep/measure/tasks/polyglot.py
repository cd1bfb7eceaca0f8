"""``aider-polyglot``: Aider's own harness on its own exercises, one after the other, each in a sandbox of its own.

The harness asks a model as if it were on the network; what it asks is handed to the server here, with the settings of
all tasks (temperature 0, one seed, no prompt kept from before). A prompt says on which day and on which system it was
made: both are always the same here, so that every pair is asked the same.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from kvsweep.errors import printable
from kvsweep.measure.tasks.item import Record, prompt_identity
from kvsweep.measure.tasks.sandbox import Confined, Places, Sandbox
from kvsweep.measure.tasks.server import Lost, Server, TookTooLong, Unanswered
from kvsweep.program import last_line
from kvsweep.study.polyglot import language_of

TIME_LIMIT = "time limit"
_POLL_SECONDS = 0.5
_SAME_FOR_ALL = (
    (re.compile(r"^- Current date: .*$", re.MULTILINE), "- Current date: 2026-05-22"),
    (re.compile(r"^- Platform: .*$", re.MULTILINE), "- Platform: Linux"),
)
# What a harness that went through leaves; else it left the reason why it did not.
_KEPT = ("test_timeouts", "num_malformed_responses", "num_error_outputs", "num_exhausted_context_windows")


class Crashed(Exception):
    """The harness ended without a result; the message says how."""


class Harness(NamedTuple):
    """The harness as it was made ready for a task, with the sandbox that it runs in."""

    sandbox: Sandbox
    places: Places

    @classmethod
    def of(cls, manifest: Mapping[str, Any]) -> Harness:
        places = {
            name: None if manifest[name] is None else Path(manifest[name])
            for name in ("aider", "exercises", "python", "base")
        }
        return cls(Sandbox(**manifest["sandbox"]), Places(**places))  # type: ignore[arg-type]

    def example_passes(self, exercise: str) -> str | None:
        """What the tests say of the exercise's own solution here; None where they pass."""
        with Confined(self.sandbox, self.places) as inside:
            inside.send({"exercise": exercise, "example": True})
            while (message := inside.receive(_POLL_SECONDS)) == {}:
                pass
            if message is None:
                return inside.last_words()
        result = message["result"]
        if result["passed"] is True:
            return None
        return printable(last_line(str(result["log"])) or "the tests say nothing")


class Exercise:
    """One exercise, asked once."""

    def __init__(
        self,
        name: str,
        definition: Mapping[str, Any],
        server: Server,
        is_over: Callable[[], bool],
        seconds: float,
    ) -> None:
        self._name, self._definition, self._server = name, definition, server
        self._is_over, self._seconds = is_over, seconds
        self._answers: list[Mapping[str, Any]] = []
        self._prompt: list[dict[str, str]] | None = None
        self._refused = 0
        self._start = time.monotonic()

    def run(self, harness: Harness) -> Record:
        """Raises Crashed; Lost or TookTooLong where the server is to blame."""
        until = self._start + self._seconds
        asked = {name: self._definition[name] for name in ("edit_format", "tries", "answer_tokens")}
        with Confined(harness.sandbox, harness.places) as inside:
            inside.send({"exercise": self._name, **asked})
            try:
                found = self._listen(inside, until)
            except Unanswered as error:
                found = {"answer": None, "problem": str(error)}
            except TookTooLong:
                if not self._answers:
                    raise
                found = {"answer": "", "outcomes": [], "stopped": TIME_LIMIT}
        return self._record(found)

    def without_answer(self, problem: str) -> Record:
        return self._record({"answer": None, "problem": problem})

    def _record(self, found: Record) -> Record:
        return {
            **{"item": self._name, "context": self._definition["contexts"][0]},
            **{"question": language_of(self._name), "expected": None},
            "prompt_sha256": None if self._prompt is None else prompt_identity(json.dumps(self._prompt)),
            **self._spent(),
            **found,
            "seconds": round(time.monotonic() - self._start, 3),
        }

    def _listen(self, inside: Confined, until: float) -> Record:
        while True:
            message = inside.receive(_POLL_SECONDS)
            if self._is_over():
                raise Lost
            if time.monotonic() > until:
                raise TookTooLong
            if message is None:
                raise Crashed(f"the sandbox ended without a result ({inside.last_words()})")
            if "ask" in message:
                inside.send(self._ask(message["ask"], until))
            elif "result" in message:
                return read_result(message["result"])

    def _ask(self, request: Any, until: float) -> dict[str, Any]:
        messages = messages_in(request)
        if self._prompt is None:
            self._prompt = messages
        of = self._definition
        seconds = max(until - time.monotonic(), 1.0)
        status, body = self._server.chat(
            messages, of["answer_tokens"], of["seed"], of.get("thinking"), seconds
        )
        if status == 200:
            self._answers.append(body)
        else:
            self._refused += 1
        return {"status": status, "body": body}

    def _spent(self) -> dict[str, Any]:
        """What the server says of its answers, together."""
        usage = [_mapping(answer.get("usage")) for answer in self._answers]
        timings = [_mapping(answer.get("timings")) for answer in self._answers]
        prompts = [_number(one.get("prompt_tokens")) for one in usage]
        ends = [answer["choices"][0].get("finish_reason") for answer in self._answers]
        return {
            "requests": len(self._answers) + self._refused,
            "refused": self._refused,
            "cut_off": ends.count("length"),
            "n_prompt": int(max(prompts, default=0)),
            "n_tokens": int(sum(_number(one.get("completion_tokens")) for one in usage)),
            "prompt_seconds": round(sum(_number(one.get("prompt_ms")) for one in timings) / 1000, 3),
            "generate_seconds": round(sum(_number(one.get("predicted_ms")) for one in timings) / 1000, 3),
            "stopped": ends[-1] if ends and isinstance(ends[-1], str) else None,
        }


def messages_in(request: Any) -> list[dict[str, str]]:
    """What a harness says to the model: roles and text, and nothing else that it may ask for. Raises Crashed."""
    found = []
    asked = request.get("messages") if isinstance(request, dict) else None
    for one in asked if isinstance(asked, list) else ():
        role, content = _mapping(one).get("role"), _mapping(one).get("content")
        if isinstance(content, list):  # marked for a cache of prompts, which is not there
            parts = [_mapping(part).get("text") for part in content]
            content = None if None in parts else "".join(map(str, parts))
        if role not in ("system", "user", "assistant") or not isinstance(content, str):
            raise Crashed("the harness asked for something that is no text")
        for pattern, text in _SAME_FOR_ALL:
            content = pattern.sub(text, content) if role == "system" else content
        found.append({"role": role, "content": content})
    if not found:
        raise Crashed("the harness asked nothing")
    return found


def read_result(found: Any) -> Record:
    """What is kept of an exercise that went through: ``outcomes`` says of each try whether the tests passed.

    Raises Crashed for one that did not.
    """
    if not isinstance(found, dict):
        raise Crashed("the sandbox gave no result")
    try:
        results = json.loads(found["results"])
    except (KeyError, TypeError, ValueError, RecursionError):
        ended = f"exit status {found.get('exit_status')}"
        raise Crashed(f"the harness left no result ({ended}): {_last_line(found.get('log'))}") from None
    if not isinstance(results, dict):
        raise Crashed("the harness left a result that is none")
    if "exception" in results:
        raise Crashed(f"the harness crashed: {_last_line(results['exception'])}")
    outcomes = results.get("tests_outcomes")
    if not isinstance(outcomes, list) or not outcomes or not all(isinstance(one, bool) for one in outcomes):
        raise Crashed("the harness left a result without outcomes of tests")
    answer = found.get("answer")
    return {
        "answer": answer if isinstance(answer, str) else "",
        "outcomes": outcomes,
        "harness": {name: int(_number(results.get(name))) for name in _KEPT},
        "aider_version": found.get("version") if isinstance(found.get("version"), str) else None,
    }


def _last_line(text: Any) -> str:
    said = last_line(text) if isinstance(text, str) else None
    return said[:300] if said else "it said nothing"


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _number(value: Any) -> float:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else 0
