"""``recall``: facts planted in a long text, asked for at its end.

The text is kvsweep's own prose (inputs/demo_text.py), which tells facts of the same kind about other people and things.
Nothing of it can be known, and what is asked for has to be told from what is alike; names are drawn for every item.

| question | planted | asked for |
|---|---|---|
| one | one fact; beside it as many as ``alike`` says about names that differ in one letter or digit | its value |
| several | four facts of one person | all four values |
| chain | three, each about the person that the one before names | the last person |
| count | the same sight at two to nine places | how many they were |

A model without a chat template is asked in the text's own words, which it continues.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

from kvsweep.inputs.demo_text import KINDS, Draw, beginning, compose_full_name, compose_name, compose_thing
from kvsweep.measure.tasks.item import MOST_BYTES_PER_TOKEN, Item, Words, fitted, placed

_VALUES, _LINKS = 4, 3
# Letters and digits that take each other's place in a name: those of the text's own syllables.
_ALIKE = ("bdklmnrt", "aeio", "123456789")
_ASK = "Read the text. Then answer the question about it.\n\n{text}\n\nQuestion: {question}\n{form}"
_SHORT = "Answer with the answer alone, without a sentence around it."


class _Planted(NamedTuple):
    """What a question is about: ``facts`` in the order in which they are told, ``lead`` how an answer begins.

    ``alike`` makes as many facts about others, which are told anywhere.
    """

    facts: Sequence[str]
    question: str
    lead: str
    expected: list[str]
    form: str = _SHORT
    alike: Callable[[int], list[str]] | None = None


def items(definition: dict[str, Any], words: Words, chat: bool) -> Iterator[Item]:
    """All of the task's, the short contexts first."""
    for context in sorted(definition["contexts"]):
        for question in definition["questions"]:
            for index in range(definition["items"]):
                yield _item(context, question, index, definition, words, chat)


def _item(
    context: int, question: str, index: int, definition: dict[str, Any], words: Words, chat: bool
) -> Item:
    key = f"{question}/{context}/{index:03d}"
    draw = random.Random(f"recall {definition['seed']} {key}").random
    n_predict = definition["answer_tokens"]
    background = list(beginning(int(draw() * 2**31), (context - n_predict) * MOST_BYTES_PER_TOKEN))
    planted = _KINDS[question](draw, "".join(background))
    # One fact lies evenly anywhere, over the items; several lie anywhere each.
    places = [(index + draw()) / definition["items"]]
    if len(planted.facts) > 1:
        places = sorted(draw() for _ in planted.facts)
    facts = list(zip(places, planted.facts, strict=True))
    if planted.alike is not None:
        facts += [(draw(), fact) for fact in planted.alike(definition.get("alike", 0))]

    def make(n_bytes: int) -> str:
        ends = list(accumulate(map(len, background)))
        text = placed([one for one, end in zip(background, ends, strict=True) if end <= n_bytes], facts)
        if not chat:
            form = "\n{} {}" if question == "one" else "\n\nQuestion: {}\nAnswer: {}"
            return f"{text}{form.format(planted.question, planted.lead)}".rstrip()
        return words.in_template(_ASK.format(text=text, question=planted.question, form=planted.form))

    return Item(
        key,
        context,
        question,
        partial(fitted, make, context - n_predict, words),
        planted.expected,
        n_predict,
        stop=() if chat else (".", "\n", "?"),
        said={"place": places[0] if len(places) == 1 else None, "chat": chat},
    )


def _new(compose: Callable[[Draw], str], draw: Draw, text: str) -> str:
    """A name that the text does not have."""
    while (name := compose(draw)) in text:
        pass
    return name


def _one(draw: Draw, text: str) -> _Planted:
    kind = KINDS[int(draw() * len(KINDS))]
    relation = kind.relations[int(draw() * len(kind.relations))]
    subject = _new(kind.compose_name, draw, text)
    value = _new(relation.compose_value, draw, text)
    question, lead = relation.recalled[0].partition("{v}")[0].rsplit("? ", 1)

    def tell(name: str, fact: str) -> str:
        told = relation.told[0].format(s=name, v=fact)
        return told[0].upper() + told[1:]

    def alike(most: int) -> list[str]:
        names = sorted(_names_like(subject, text), key=lambda _: draw())[:most]
        values = _several_new(relation.compose_value, draw, f"{text}{value} ", len(names))
        return [tell(name, other) for name, other in zip(names, values, strict=True)]

    return _Planted([tell(subject, value)], question.format(s=subject) + "?", lead, [value], alike=alike)


def _names_like(name: str, text: str) -> list[str]:
    """Names that differ in one letter or digit, of those that the text does not have."""
    begin = next(place for place, letter in enumerate(name) if letter.isupper() or letter.isdigit())
    return [
        other
        for place, letter in enumerate(name)
        for group in _ALIKE
        if place >= begin and letter.lower() in group
        for one in group
        if one != letter.lower()
        and (other := name[:place] + (one.upper() if letter.isupper() else one) + name[place + 1 :])
        not in text
    ]


def _several_new(compose: Callable[[Draw], str], draw: Draw, text: str, n: int) -> list[str]:
    """This many names: none of them is in the text or in another name."""
    names: list[str] = []
    while len(names) < n:
        names.append(_new(compose, draw, text + " ".join(names)))
    return names


def _several(draw: Draw, text: str) -> _Planted:
    owner = _new(compose_full_name, draw, text)
    things = _several_new(compose_thing, draw, text, _VALUES)
    facts = [f"{owner} hid a {thing} under the bridge." for thing in things]
    question = f"Which {_VALUES} things did {owner} hide under the bridge?"
    return _Planted(
        facts, question, "", things, "Answer with all of them, separated by commas, and nothing else."
    )


def _chain(draw: Draw, text: str) -> _Planted:
    people = _several_new(compose_full_name, draw, text, _LINKS + 1)
    facts = [f"{one} teaches {other} to sing." for one, other in pairwise(people)]
    order = sorted(facts, key=lambda _: draw())
    first = people[0]
    question = (
        f"{first} teaches somebody to sing, who teaches somebody, who teaches somebody. Who is that last one?"
    )
    return _Planted(order, question, "", [people[-1]])


def _count(draw: Draw, text: str) -> _Planted:
    n = 2 + int(draw() * 8)
    places = _several_new(compose_name, draw, text, n)
    facts = [f"A grey heron was seen near {place}." for place in places]
    return _Planted(
        facts, "Near how many towns was a grey heron seen?", "", [str(n)], "Answer with a number alone."
    )


_KINDS: dict[str, Callable[[Draw, str], _Planted]] = {
    "one": _one,
    "several": _several,
    "chain": _chain,
    "count": _count,
}
