"""Families of engines: in two of them a type of one name may be kept in different ways."""

from typing import Any

import pytest
from kvsweep.engine.family import family_of

OF_MAINLINE = ["f16", "q8_0", "q4_0", "iq4_nl"]


@pytest.mark.parametrize(
    ("build", "family"),
    [
        ({"source": "https://github.com/ikawrakow/ik_llama.cpp at 1", "cache_types": None}, "ik_llama.cpp"),
        ({"address": "https://github.com/ikawrakow/ik_llama.cpp", "cache_types": None}, "ik_llama.cpp"),
        ({"cache_types": OF_MAINLINE}, "llama.cpp"),
        ({"cache_types": [*OF_MAINLINE, "turbo4", "turbo3", "q6_0"]}, "llama.cpp with q6_0, turbo"),
        ({"cache_types": None}, None),
    ],
)
def test_what_an_engine_is_known_by(build: dict[str, Any], family: str | None) -> None:
    assert family_of(build) == family
