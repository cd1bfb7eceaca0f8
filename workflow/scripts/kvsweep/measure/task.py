"""Measuring a task's cell: one llama-server with the pair's types, asked one item after the other.

Answers are kept one by one in ``.items`` beside the cell, and a runner that comes after one that was killed goes on
with the next item. What the server says in its log is the evidence of what ran.
"""

from __future__ import annotations

import argparse
import json
import math
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from kvsweep.engine import commands
from kvsweep.errors import KvsweepError
from kvsweep.files import read_json, sha256
from kvsweep.inputs.model_header import has_chat_template
from kvsweep.measure import cell, engine_run
from kvsweep.measure.engine_run import Subject
from kvsweep.measure.progress import pace
from kvsweep.measure.tasks import recall, tool_call, trajectory
from kvsweep.measure.tasks.item import Item, Record, prompt_identity
from kvsweep.measure.tasks.polyglot import Crashed, Exercise, Harness
from kvsweep.measure.tasks.server import Lost, Server, TookTooLong, Unanswered, address_in
from kvsweep.measure.tasks.spool import Spool
from kvsweep.measure.verified import load_corpus
from kvsweep.program import say
from kvsweep.study.programs import SERVER

LOG = "server.log"
_POLL_SECONDS = 0.1


def task(arguments: argparse.Namespace) -> None:
    """Measure the cell of one task and pair: ask every item that no earlier run has asked, then keep them all."""
    definition: dict[str, Any] = arguments.definition
    corpus = load_corpus(arguments.corpus) if arguments.corpus else None
    of_text = {} if corpus is None else {"corpus": corpus["corpus"], "corpus_sha256": corpus["sha256"]}
    manifest = read_json(arguments.harness) if arguments.harness else None
    of_harness = {} if manifest is None else {"harness": manifest["identity"]}
    subject = cell.prepare(arguments, task=arguments.task, definition=definition, **of_text, **of_harness)
    program = server_of(subject)
    chat = definition.get("chat", has_chat_template(Path(subject.model["path"])))
    subject.cell["chat"] = chat
    command = commands.server(
        *(program, subject.model["path"], arguments.pair, max(definition["contexts"])),
        cell.shared_threads(arguments.nodes),
    )
    cell.announce(arguments, f"task {arguments.task} with {arguments.pair}")
    if cell.kept_from_before(subject, command):
        return
    text = None if corpus is None else Path(corpus["path"]).read_text(encoding="utf-8", errors="replace")
    answer_seconds = 60.0 * arguments.answer_minutes.get(arguments.task, 60.0)
    spool = Spool(subject, program)
    items = partial(items_of, definition, chat, text)
    ask: Ask = Questions(spool, items, definition["seed"])
    if manifest is not None:
        ask = Exercises(spool, Harness.of(manifest), definition, answer_seconds)
    client = Client(subject.directory / LOG, answer_seconds, ask)
    before = len(spool.lines)

    def describe(_directory: Path, elapsed_seconds: float) -> str | None:
        return pace("item", len(spool.lines), before, arguments.n_items, elapsed_seconds)

    try:
        attempt = cell.run(arguments, subject, command, LOG, describe, client.is_done)
    finally:
        client.leave()
    client.raise_error()
    seconds = math.fsum(json.loads(line)["seconds"] for line in spool.lines)
    summary = f"{len(spool.lines)} of {arguments.n_items} items answered"
    cell.report_end(arguments, summary, subject, attempt, LOG)
    record = attempt.record._replace(streams=(spool.keep(), *attempt.record.streams))
    more = {
        "server_sha256": sha256(program),
        "items_asked": arguments.n_items,
        "items_before": before,
        "items_seconds": round(seconds, 3),
        "answer_seconds_limit": answer_seconds,
        "answer_took_too_long": client.took_too_long,
    }
    engine_run.keep(subject, [attempt._replace(record=record)], more=more)
    spool.leave(arguments.n_items)


def items_of(definition: dict[str, Any], chat: bool, text: str | None, server: Server) -> Iterator[Item]:
    """The items of a task that is not an exercise's; ``text`` is the one that it is of, if it is."""
    match definition["kind"]:
        case "recall":
            return recall.items(definition, server, chat)
        case "tool-call":
            return tool_call.items(definition, server, chat)
        case "trajectory":
            assert text is not None
            return trajectory.items(definition, server, text)
        case kind:
            raise ValueError(f"nothing makes the items of a task of the kind {kind!r}")


def server_of(subject: Subject) -> Path:
    """The engine's llama-server. Raise KvsweepError if it was built without."""
    if SERVER not in subject.build["files"]:
        name = subject.build["engine"]
        raise KvsweepError(
            f"engines.{name}: has no {SERVER}, which tasks need; run the workflow again to have it built."
        )
    return subject.program(SERVER)


# Asks what is left to ask, as long as the second says that it is not over. Raises Lost or TookTooLong.
Ask = Callable[[Server, Callable[[], bool]], None]


class Client:
    """Asks the server beside the thread that watches it."""

    def __init__(self, log: Path, answer_seconds: float, ask: Ask) -> None:
        self._log, self._answer_seconds, self._ask = log, answer_seconds, ask
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        self.took_too_long = False

    def is_done(self) -> bool:
        """Whether the server is not needed any more; asked for the first time once the server was started.

        Raises what went wrong on this side.
        """
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, daemon=True)
            self._thread.start()
        if self._thread.is_alive():
            return False
        self.raise_error()
        return True

    def leave(self) -> None:
        """Ask nothing more, after the server has ended."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()

    def raise_error(self) -> None:
        """Raise the error that happened while items were asked, if one did."""
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            until = time.monotonic() + self._answer_seconds
            while (address := address_in(self._log)) is None:
                if self._over.wait(_POLL_SECONDS):
                    raise Lost
                if time.monotonic() > until:
                    raise TookTooLong
            server = Server(address, self._answer_seconds)
            server.wait_until_ready(self._over.is_set)
            self._ask(server, self._over.is_set)
        except Lost:
            pass  # how the server ended says why
        except TookTooLong:
            self.took_too_long = True
        except BaseException as error:  # for the thread that can stop the run
            self._error = error


class Questions:
    """One item after the other: a prompt, and the answer to it."""

    def __init__(self, spool: Spool, items: Callable[[Server], Iterator[Item]], seed: int) -> None:
        self._spool, self._items, self._seed = spool, items, seed

    def __call__(self, server: Server, is_over: Callable[[], bool]) -> None:
        answered = self._spool.answered()
        for item in self._items(server):
            if item.key not in answered:
                self._spool.add(self._answer(server, item, is_over))

    def _answer(self, server: Server, item: Item, is_over: Callable[[], bool]) -> Record:
        record: Record = {
            **{"item": item.key, "context": item.context, "question": item.question},
            **{"expected": item.expected, **item.said},
        }
        start = time.monotonic()
        try:
            prompt = item.prompt()
            record["prompt_sha256"] = prompt_identity(prompt)
            answer = server.complete(prompt, item.n_predict, item.stop, self._seed)
            record |= {"answer": answer.text, "tokens": answer.tokens, "n_tokens": answer.n_tokens}
            record |= {"n_prompt": answer.n_prompt, "stopped": answer.stopped}
            record |= {"prompt_seconds": answer.prompt_seconds, "generate_seconds": answer.generate_seconds}
        except (Unanswered, ValueError) as error:
            record |= {"answer": None, "problem": str(error)}
        except Lost:
            if not server.is_back(is_over):
                raise
            record |= {"answer": None, "problem": "the server closed the connection"}
        return record | {"seconds": round(time.monotonic() - start, 3)}


class Exercises:
    """One exercise after the other, each in a sandbox. One that crashed the harness is tried once more at the end."""

    def __init__(self, spool: Spool, harness: Harness, definition: dict[str, Any], seconds: float) -> None:
        self._spool, self._harness, self._definition, self._seconds = spool, harness, definition, seconds

    def __call__(self, server: Server, is_over: Callable[[], bool]) -> None:
        answered = self._spool.answered()
        left = [name for name in self._definition["exercises"] if name not in answered]
        crashed = []
        for name in left:
            record = self._asked(name, server, is_over)
            if "crashed" in record:
                say(f"  {name}: {record['problem']}; tried once more at the end")
                crashed.append(name)
            else:
                self._spool.add(record)
        for name in crashed:
            self._spool.add(self._asked(name, server, is_over))

    def _asked(self, name: str, server: Server, is_over: Callable[[], bool]) -> Record:
        exercise = Exercise(name, self._definition, server, is_over, self._seconds)
        try:
            return exercise.run(self._harness)
        except Crashed as error:
            return exercise.without_answer(str(error)) | {"crashed": True}
        except Lost:
            if not server.is_back(is_over):
                raise
            return exercise.without_answer("the server closed the connection")
