"""``tool-call``: a long log of calls of tools, a list of tools, and one call that is to be made.

Log and tools are made up for every item. What the call needs stands in one result far above: the model has to find it,
choose the tool among ones with names alike, and give each value with its type. It answers with a JSON object, in a form
that the prompt states, so that every model and engine is asked alike; no grammar helps it.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from functools import partial
from typing import Any

from kvsweep.inputs.demo_text import Draw, compose_full_name, compose_name, compose_thing
from kvsweep.measure.tasks.item import MOST_BYTES_PER_TOKEN, Item, Words, fitted, placed

_VERBS = tuple("order return inspect repair reserve ship store label weigh insure move pack".split())
_OBJECTS = ("part", "parcel", "pallet", "crate")
_ASK = """\
You work in a warehouse and call tools. The tools, in JSON:
{tools}

The log so far, a call and its result a line:
{log}

Now: {task}
Answer with one JSON object and nothing else, in this form: {{"tool": NAME, "arguments": {{...}}}}"""


def items(definition: dict[str, Any], words: Words, chat: bool) -> Iterator[Item]:
    """All of the task's, the short contexts first."""
    for context in sorted(definition["contexts"]):
        for index in range(definition["items"]):
            yield _item(context, index, definition, words, chat)


def _item(context: int, index: int, definition: dict[str, Any], words: Words, chat: bool) -> Item:
    key = f"call/{context}/{index:03d}"
    draw = random.Random(f"tool-call {definition['seed']} {key}").random
    n_predict = definition["answer_tokens"]
    names = [f"{verb}_{what}" for what in _OBJECTS for verb in _VERBS]
    names = sorted(names, key=lambda _: draw())[: definition["tools"]]
    name = names[int(draw() * len(names))]
    ticket = _ticket(draw)
    wanted = _order(draw)
    n_lines = (context - n_predict) * MOST_BYTES_PER_TOKEN // 100
    log = [f"{_line(draw, ticket)}\n" for _ in range(n_lines)]
    place = (index + draw()) / definition["items"]
    fact = _result(ticket, compose_full_name(draw), wanted)

    def make(n_bytes: int) -> str:
        kept, left = [], n_bytes
        for line in log:
            left -= len(line)
            if left < 0:
                break
            kept.append(line)
        asked = _ASK.format(
            tools="\n".join(json.dumps(_tool(one)) for one in sorted(names)),
            log=placed(kept, [(place, f"{fact}\n")]).replace("\n ", "\n"),
            task=f"{name.replace('_', ' ')} as ticket {ticket} says.",
        )
        return words.in_template(asked) if chat else f"{asked}\n\nAnswer:"

    return Item(
        key,
        context,
        "call",
        partial(fitted, make, context - n_predict, words),
        {"tool": name, "arguments": wanted},
        n_predict,
        said={"place": place, "chat": chat},
    )


def _tool(name: str) -> dict[str, Any]:
    kinds = {"item": "string", "quantity": "integer", "depot": "string", "express": "boolean"}
    return {"tool": name, "arguments": kinds}


def _ticket(draw: Draw) -> str:
    return f"T-{10000 + int(draw() * 90000)}"


def _order(draw: Draw) -> dict[str, Any]:
    """What a ticket asks for: the arguments of a call."""
    return {
        "item": compose_thing(draw),
        "quantity": 2 + int(draw() * 97),
        "depot": compose_name(draw),
        "express": draw() < 0.5,
    }


def _line(draw: Draw, not_this: str) -> str:
    """A call about another ticket, and what came of it."""
    while (ticket := _ticket(draw)) == not_this:
        pass
    given = _order(draw)
    return _result(ticket, compose_full_name(draw), given)


def _result(ticket: str, author: str, wanted: dict[str, Any]) -> str:
    return f'read_ticket({{"ticket": "{ticket}"}}) -> {json.dumps({"by": author, **wanted})}'
