"""The tokens of a cell as Parquet."""

import json
from pathlib import Path

import pyarrow.parquet as pq
from kvsweep.tables.quality_schemas import TOKENS
from kvsweep.tables.tokens import write_tokens
from scored_cell import BUILD, scored_cell
from support import run_in_this_process


def test_a_row_is_a_token_and_says_what_it_is_of(tmp_path: Path) -> None:
    path = tmp_path / "tokens.parquet"
    recorded = scored_cell(tmp_path / "cell", lambda window, position: position / 512 - window / 8)
    assert write_tokens(recorded, BUILD, path) == 2 * 511
    file = pq.ParquetFile(path)
    assert file.num_row_groups == 2  # a window each
    assert file.schema_arrow.equals(TOKENS, check_metadata=False)
    assert all(field.metadata[b"meaning"] for field in file.schema_arrow)
    first, last = (file.read().slice(at, 1).to_pylist()[0] for at in (0, 1021))
    assert first == {
        **{
            "engine": "mainline",
            "engine_commit": "c0ffee",
            "backend": "cpu",
            "machine": "here",
            "model": "tiny",
        },
        **{"model_sha256": "5b" * 32, "corpus": "text", "n_ctx": 1024, "positions": "half"},
        **{"ctk": "q4_0", "ctv": "q4_0", "pair": "q4_0", "window": 0, "depth": 513, "token": 512},
        **{"nll_base": 2.0, "nll": 2.5, "kld": 1.0, "delta_p": -0.25, "entropy_base": 1.5, "same_top": False},
    }
    assert (last["window"], last["depth"], last["same_top"]) == (1, 1023, False)


def test_the_program_writes_them(tmp_path: Path) -> None:
    scored_cell(tmp_path / "cell", lambda *_: 0.5, windows=3)
    (tmp_path / "build.json").write_text(json.dumps(BUILD))
    options = ("--run", tmp_path / "cell" / "run.json", "--build-json", tmp_path / "build.json")
    done = run_in_this_process("make_tokens", (*options, "--output", tmp_path / "t.parquet"))
    assert done.returncode == 0 and f"{tmp_path / 't.parquet'}: 1,533 tokens" in done.stderr
    assert pq.read_table(tmp_path / "t.parquet").num_rows == 1533


def test_a_cell_that_is_not_whole_has_none(tmp_path: Path) -> None:
    recorded = scored_cell(tmp_path / "cell", lambda *_: 0.5, windows=3)
    scores = tmp_path / "cell" / "tokens.scores"
    scores.write_bytes(scores.read_bytes()[:-32])
    assert write_tokens(recorded, BUILD, tmp_path / "tokens.parquet") == 0
    assert pq.read_table(tmp_path / "tokens.parquet").num_rows == 0
