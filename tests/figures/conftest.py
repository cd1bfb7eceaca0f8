"""What the tests of all figures share."""

from pathlib import Path

import pytest
from figure_tables import write_figure_tables


@pytest.fixture(scope="session")
def figure_tables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """By figure the directory of its table."""
    return write_figure_tables(tmp_path_factory.mktemp("figure-tables"))
