"""The demo's text and model: what they promise."""

import hashlib
import re
from collections.abc import Iterator

import gguf
import pytest
from kvsweep.inputs.demo_text import generate
from support import ROOT

MODEL = ROOT / "resources" / "demo" / "kvsweep-demo-3.7M-F16.gguf"
CONTEXT_LENGTH = 16384


def test_the_same_seed_gives_the_same_text() -> None:
    assert generate(7, 5000) == generate(7, 5000)


def test_another_seed_gives_other_text() -> None:
    assert generate(7, 5000) != generate(8, 5000)


def test_the_text_does_not_depend_on_platform_or_python_version() -> None:
    digest = hashlib.sha256(generate(1, 100_000).encode("ascii")).hexdigest()
    assert digest == "ec83daddc635120f45699adde093b0b1d2a5557829ef5ecae745016aa66169ad"


@pytest.mark.parametrize("n_bytes", [0, 1, 80, 4096, 100_001])
def test_it_has_exactly_the_length_asked_for(n_bytes: int) -> None:
    assert len(generate(3, n_bytes)) == n_bytes


def test_a_shorter_text_is_the_beginning_of_a_longer_one() -> None:
    assert generate(5, 20_000).startswith(generate(5, 1234))


def test_it_is_printable_ascii_in_lines() -> None:
    assert re.fullmatch(r"[ -~\n]+", generate(2, 50_000))


def recalls(text: str) -> Iterator[tuple[int, str, str]]:
    """Each question of two forms as its position, its subject and its answer."""
    for form in (
        r"Who is the mayor of (\w+)\? (\w+ \w+) is\.",
        r"What is the password of (\w+ \w+)\? It is (\w+)\.",
    ):
        for match in re.finditer(form, text):
            yield match.start(), match[1], match[2]


def test_every_question_was_answered_before_it_is_asked() -> None:
    text = generate(4, 200_000)
    asked = list(recalls(text))
    assert len(asked) > 100
    for position, subject, answer in asked:
        told = [mention.span() for mention in re.finditer(answer, text[:position])]
        assert any(subject in text[max(0, start - 60) : end + 60] for start, end in told), (
            f"{answer} came from nowhere"
        )


def test_answers_lie_at_many_distances() -> None:
    text = generate(4, 400_000)
    distances = [position - text.rfind(answer, 0, position) for position, _, answer in recalls(text)]
    for shortest, longest in ((96, 400), (400, 1600), (1600, 6400), (6400, CONTEXT_LENGTH)):
        share = sum(shortest <= distance < longest for distance in distances) / len(distances)
        assert share > 0.1, f"only {share:.0%} of the answers lie {shortest} to {longest} bytes back"
    assert max(distances) < CONTEXT_LENGTH


@pytest.fixture(scope="module")
def header() -> gguf.GGUFReader:
    return gguf.GGUFReader(MODEL)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("general.architecture", "llama"),
        ("general.name", "kvsweep demo 3.7M"),
        ("general.license", "mit"),
        ("kvsweep.training_seed", 20260501),
        ("llama.context_length", CONTEXT_LENGTH),
        ("llama.block_count", 4),
        ("llama.embedding_length", 256),
        ("llama.feed_forward_length", 768),
        ("llama.attention.head_count", 4),
        ("llama.attention.head_count_kv", 1),
        ("llama.attention.key_length", 128),
        ("llama.attention.value_length", 128),
        ("tokenizer.ggml.model", "rwkv"),
        ("tokenizer.ggml.add_bos_token", False),
    ],
)
def test_the_model_is_what_its_documentation_says(header: gguf.GGUFReader, key: str, value: object) -> None:
    field = header.get_field(key)
    assert field is not None
    assert field.contents() == value


def test_the_model_has_one_token_for_each_byte(header: gguf.GGUFReader) -> None:
    field = header.get_field("tokenizer.ggml.tokens")
    assert field is not None
    decoded = [token.encode("ascii").decode("unicode_escape") for token in field.contents()]
    assert decoded == [chr(byte) for byte in range(256)]


def test_the_model_is_small_and_in_half_precision(header: gguf.GGUFReader) -> None:
    assert MODEL.stat().st_size <= 8_000_000
    assert sum(int(tensor.n_elements) for tensor in header.tensors) == 3_737_856
    assert {tensor.tensor_type for tensor in header.tensors if len(tensor.shape) == 2} == {
        gguf.GGMLQuantizationType.F16
    }
