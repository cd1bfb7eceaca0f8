"""The tables of answers: every column explains itself, and the synthetic rows fit."""

import pytest
from kvsweep.analysis.schemas import ANALYSIS
from kvsweep.tables import names as table_names
from kvsweep.tables.schemas import TABLES as MEASURED
from synthetic_analysis import answers

IDENTITY = ("engine", "engine_commit", "backend", "machine", "model", "model_sha256")


@pytest.mark.parametrize("name", ANALYSIS)
def test_every_column_has_a_meaning_and_every_row_its_set_up(name: str) -> None:
    schema = ANALYSIS[name]
    assert all(field.metadata[b"meaning"] for field in schema)
    assert set(IDENTITY) <= set(schema.names)
    assert ("subject" if name == "claims" else "source") in schema.names


def test_the_synthetic_rows_have_no_value_that_a_column_forbids() -> None:
    tables = answers()
    assert set(tables) == set(ANALYSIS) - {"claims"}
    for name, table in tables.items():
        assert table.num_rows >= 3, name
        for column in (c for c in table.column_names if c.startswith("share") or c in ("theirs", "ours")):
            assert all(value is None or value >= 0 for value in table[column].to_pylist()), (name, column)


def test_the_names_that_the_workflow_uses_are_those_of_the_schemas() -> None:
    assert tuple(ANALYSIS) == table_names.ANALYSIS
    assert tuple(MEASURED) == table_names.MEASURED
