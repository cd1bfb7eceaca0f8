"""Text for the demo: English-like prose that keeps coming back to what it said long before.

People, towns, ships and chests are introduced under freshly composed names, and facts about them are told one
sentence at a time. Each fact is then restated or asked for 96 to 12,288 bytes later, often several times. Names,
numbers and things are drawn anew for every fact, so no model can know them from its weights: it has to read them in its
context, that is, from the KV cache.

The text is a function of the seed alone, on every platform and Python version. Two restrictions below see to that: all
randomness comes from `random.Random.random`, the one method whose sequence Python promises to keep, and arithmetic on
its results uses only operations that IEEE 754 defines exactly (powers and logarithms would depend on the C library).
"""

import random
from collections.abc import Callable, Iterator, Sequence
from heapq import heappop, heappush
from itertools import count
from typing import NamedTuple

SHORTEST_RECALL_BYTES = 96
RECALL_OCTAVES = 7  # the longest recall goes back 96 * 2**7 = 12,288 bytes
RECALL_AGAIN = 0.6  # share of the recalled facts that will be recalled once more
SUBJECTS_AT_A_TIME = 5
FACTS_PER_SUBJECT = 3
PARAGRAPH_END = 0.1  # share of the sentences that end a paragraph

Draw = Callable[[], float]


class Relation(NamedTuple):
    """One kind of fact: how its value `{v}` is composed, and how it is told and recalled of a subject `{s}`."""

    compose_value: Callable[[Draw], str]
    told: tuple[str, ...]
    recalled: tuple[str, ...]


class Kind(NamedTuple):
    """One kind of subject: how its name is composed, and which facts there are about it."""

    compose_name: Callable[[Draw], str]
    relations: tuple[Relation, ...]


class Fact(NamedTuple):
    """What one sentence says, and later ones repeat."""

    relation: Relation
    subject: str
    value: str


# Few syllables and family names, so that names resemble each other and telling them apart takes precision.
SYLLABLES = tuple(onset + rhyme for onset in "bdklmnrt" for rhyme in "a an e en i o or".split())
FAMILY_ENDINGS = "by dale ford ley man son ton well".split()
QUALITIES = "black blue bone brass broken clay cold copper dark fine glass gold green heavy hollow horn linen long \
narrow new pale pewter plain red round short silver small stone tall thin tin velvet white wooden yellow".split()
THINGS = (
    "anchor axe basket bell book bowl box button candle chain chair clock coat comb cradle cup drum fiddle flute \
hammer harp hat hook horn jar kettle key knife ladder lamp lantern mask mirror needle oar pipe plough ring rope saddle \
scarf seal shield spade spoon sword table vase wheel whistle".split()
)


def _choose(draw: Draw, options: Sequence[str]) -> str:
    return options[int(draw() * len(options))]


def _word(draw: Draw) -> str:
    word = _choose(draw, SYLLABLES) + _choose(draw, SYLLABLES)
    return word + _choose(draw, SYLLABLES) if draw() < 0.25 else word


def compose_name(draw: Draw) -> str:
    return _word(draw).capitalize()


def compose_full_name(draw: Draw) -> str:
    family = _choose(draw, SYLLABLES) + _choose(draw, FAMILY_ENDINGS)
    return f"{compose_name(draw)} {family.capitalize()}"


def compose_thing(draw: Draw) -> str:
    return f"{_choose(draw, QUALITIES)} {_choose(draw, THINGS)}"


def _number(draw: Draw) -> str:
    return str(1000 + int(draw() * 99000))


_VALUES = {
    "name": compose_name,
    "full name": compose_full_name,
    "thing": compose_thing,
    "number": _number,
    "word": _word,
}


def _relations(table: str) -> tuple[Relation, ...]:
    """Two lines a relation: what its values are and how it is told, then how it is recalled."""
    rows = [[part.strip() for part in line.split("|")] for line in table.strip().splitlines()]
    return tuple(
        Relation(_VALUES[kind], tuple(told), tuple(recalled))
        for (kind, *told), (_, *recalled) in zip(rows[::2], rows[1::2], strict=True)
    )


PERSON = Kind(
    compose_full_name,
    _relations(
        """
        name | {s} lives in {v}. | {s} came to live in {v}. | In {v} there is the house of {s}.
             | Where does {s} live? In {v}. | {s} still lives in {v}. | Who lives in {v}? {s} does.
        thing | {s} bought a {v}. | {s} found a {v} on the road. | A {v} was left to {s}.
              | What does {s} own? A {v}. | {s} still has the {v}. | The {v} belongs to {s}.
        number | {s} borrowed {v} coins. | {s} lost {v} coins at cards.
               | How much does {s} owe? {v} coins. | {s} has yet to pay the {v} coins. | Who owes {v} coins? {s} does.
        full name | {s} married {v}. | {s} and {v} were married in spring.
                  | Who is married to {s}? {v} is. | Nobody but {v} is married to {s}.
        word | The password of {s} is {v}. | {s} chose the password {v}.
             | What is the password of {s}? It is {v}. | {s} whispered the password: {v}.
        """
    ),
)
TOWN = Kind(
    compose_name,
    _relations(
        """
        full name | The mayor of {s} is {v}. | In {s} they made {v} the mayor.
                  | Who is the mayor of {s}? {v} is. | In {s} the mayor is still {v}. | Where is {v} the mayor? In {s}.
        number | {v} people live in {s}. | They counted {v} people in {s}.
               | How many people live in {s}? It is {v}. | The people of {s} number {v}.
        thing | The town of {s} is famous for a {v}. | In the market of {s} hangs a {v}.
              | What is {s} famous for? A {v}. | To {s} they came to see the {v}.
        name | The road from {s} leads to {v}. | {s} and {v} are joined by a road.
             | Where does the road from {s} lead? To {v}. | They took the road from {s} to {v}.
        """
    ),
)
SHIP = Kind(
    lambda draw: f"the ship {compose_name(draw)}",
    _relations(
        """
        full name | The captain of {s} is {v}. | A sailor called {v} took command of {s}.
                  | Who is the captain of {s}? {v} is. | On {s} they obey {v}. | What does {v} command? Why, {s}.
        name | The harbour of {s} is {v}. | From {v} sailed {s}.
             | Which harbour does {s} hail from? From {v}. | To {v} returned {s}.
        number | The hold of {s} has {v} barrels. | They loaded {v} barrels onto {s}.
               | How many barrels are on {s}? It is {v}. | On {s} they counted the barrels: {v}.
        """
    ),
)
CHEST = Kind(
    lambda draw: f"chest {1000 + int(draw() * 9000)}",
    _relations(
        """
        thing | There is a {v} in {s}. | They locked a {v} in {s}.
              | What is in {s}? A {v}. | The {v} is safe in {s}. | {s} still holds the {v}.
        full name | {s} belongs to {v}. | The key to {s} was given to {v}.
                  | Who owns {s}? {v} does. | {s} was opened by {v}. | What does {v} own? Why, {s}.
        number | The lock of {s} opens with {v}. | {s} was sold for {v} coins.
               | What number belongs to {s}? It is {v}. | On {s} is written {v}.
        """
    ),
)
KINDS = (PERSON, PERSON, TOWN, SHIP, CHEST)


def _introduce(draw: Draw) -> Iterator[Fact]:
    """The facts about a new subject, in the order in which they will be told."""
    kind = KINDS[int(draw() * len(KINDS))]
    name = kind.compose_name(draw)
    first = int(draw() * len(kind.relations))
    for step in range(FACTS_PER_SUBJECT):
        relation = kind.relations[(first + step) % len(kind.relations)]
        yield Fact(relation, name, relation.compose_value(draw))


def _recall_distance(draw: Draw) -> int:
    """Bytes until a fact is recalled: every octave is equally likely, and so is every distance within one."""
    return int((SHORTEST_RECALL_BYTES << int(draw() * RECALL_OCTAVES)) * (1 + draw()))


def sentences(draw: Draw) -> Iterator[str]:
    """Tell new facts until an earlier one is due to be recalled; every sentence ends with its separator."""
    position = 0
    # A heap by the position at which a fact is due; serial numbers break ties.
    due: list[tuple[int, int, Fact]] = []
    serials = count()
    subjects = [_introduce(draw) for _ in range(SUBJECTS_AT_A_TIME)]
    while True:
        if due and due[0][0] <= position:
            fact = heappop(due)[2]
            template = _choose(draw, fact.relation.recalled)
            recall = draw() < RECALL_AGAIN
        else:
            place = int(draw() * SUBJECTS_AT_A_TIME)
            told = next(subjects[place], None)
            if told is None:
                subjects[place] = _introduce(draw)
                continue
            fact = told
            template = _choose(draw, fact.relation.told)
            recall = True
        sentence = template.format(s=fact.subject, v=fact.value) + ("\n" if draw() < PARAGRAPH_END else " ")
        sentence = sentence[0].upper() + sentence[1:]
        position += len(sentence)
        if recall:
            heappush(due, (position + _recall_distance(draw), next(serials), fact))
        yield sentence


def generate(seed: int, n_bytes: int) -> str:
    """The first `n_bytes` bytes of the text that belongs to `seed`, in ASCII."""
    return "".join(beginning(seed, n_bytes))[:n_bytes]


def beginning(seed: int, n_bytes: int) -> Iterator[str]:
    """The first sentences of the text that belongs to ``seed``, until they have so many bytes."""
    for sentence in sentences(random.Random(seed).random):
        if n_bytes <= 0:
            return
        n_bytes -= len(sentence)
        yield sentence
