"""A slice of the recorded study, made once."""

from __future__ import annotations

import pytest
from recorded_slice import Made, make


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make(tmp_path_factory.mktemp("slice"))
