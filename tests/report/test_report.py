"""The report: what must be in it, what must not, and that data never becomes markup."""

import base64
import hashlib
import json
import re
import subprocess
import sys
from collections import Counter
from html.parser import HTMLParser
from typing import Any

import pyarrow.parquet as pq
import pytest
from kvsweep.analysis.claims import STUDY, evaluate
from kvsweep.analysis.schemas import ANALYSIS, CLAIMS
from kvsweep.analysis.speed import over_rounds
from kvsweep.errors import KvsweepError
from kvsweep.figures.catalogue import FIGURES
from kvsweep.numbers import format_difference, format_error
from kvsweep.report.figures import Figure, numbers_of, read_figures
from kvsweep.report.html import render_html, sort_key
from kvsweep.report.markdown import escape_markdown, render_markdown
from kvsweep.report.parts import Entry
from kvsweep.report.svg import embeddable_svg
from kvsweep.report.view import Provenance, view_of
from kvsweep.statistics import Interval
from kvsweep.study.pairs import Pair
from kvsweep.tables.columns import as_table
from kvsweep.tables.published import read_published
from kvsweep.tables.schemas import TABLES
from support import ROOT, of_source
from synthetic_analysis import answer, answers, answers_of, draw_figures, speed_of
from synthetic_tables import (
    engine_row,
    model_row,
    quality_row,
    rounds_at,
    study,
    table_of,
    throughput_row,
    unmeasured,
    write_tables,
)

EMPTY_SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 10 10"><g id="a"><path d="M 0 0"/></g></svg>'
)
DRAWN = [
    Figure(name, listed, EMPTY_SVG, numbers_of("set-up,pair,value\na,f16,1.5\n"))
    for name, listed in FIGURES.items()
]
PROGRAM = ROOT / "workflow" / "scripts" / "write_report.py"
VOID = {"meta", "br", "img", "hr", "link", "input"}


def tables_with(**rows):
    """Every table of the report; those not given are empty, those of speed are made from throughput."""
    rows = speed_of(rows.get("throughput", [])) | rows
    return {
        **{name: table_of(name, rows.get(name, [])) for name in TABLES},
        **{name: answers_of(name, rows.get(name, [])) for name in ANALYSIS},
    }


def page_of(**rows):
    return render_html(view_of(tables_with(**rows)), DRAWN)


def markdown_of(**rows):
    return render_markdown(view_of(tables_with(**rows)))


class Page(HTMLParser):
    """Checks that tags nest, and collects text, ids and references."""

    def __init__(self, html):
        super().__init__()
        self.open: list[Any] = []
        self.ids: list[Any] = []
        self.references: list[Any] = []
        self.text: list[str] = []
        self.tags: Counter[str] = Counter()
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.handle_startendtag(tag, attributes)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags[tag] += 1
        for name, value in attributes:
            if name == "id":
                self.ids.append(value)
            if name in ("href", "src", "srcset", "action", "data", "poster"):
                self.references.append(value)
            self.references += re.findall(r"url\(([^)]*)\)", value or "")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] not in ("script", "style"):
            self.text.append(data)

    def words(self):
        return " ".join(" ".join(self.text).split())


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """The tables of a whole study and its figures, in a directory."""
    folder = tmp_path_factory.mktemp("study")
    tables = study() | answers() | {"claims": answers_of("claims", [])}
    write_tables(folder / "tables", tables)
    for name in ANALYSIS:
        pq.write_table(tables[name], folder / "tables" / f"{name}.parquet")
    draw_figures(tables, folder / "figures")
    return folder


@pytest.fixture(scope="module")
def whole(drawn):
    tables = study() | answers() | {"claims": answers_of("claims", [])}
    return Page(render_html(view_of(tables), read_figures(drawn / "figures")))


# --- one page, well-formed, alone -------------------------------------------------------------------------------------


def test_the_page_needs_nothing_else(whole):
    assert whole.references
    assert [target for target in whole.references if not target.startswith("#")] == []
    assert not whole.tags.keys() & {"img", "link", "iframe", "object", "base"}
    assert whole.tags["script"] == 2  # the cells' evidence, and the page's own


def test_every_id_is_there_once_and_every_reference_leads_somewhere(whole):
    assert len(whole.ids) == len(set(whole.ids))
    assert {target[1:] for target in whole.references} <= set(whole.ids)


def test_a_page_of_nothing_is_well_formed():
    assert "No cell has been measured yet." in Page(page_of()).words()
    assert "No cell has been measured yet." in markdown_of()


def test_the_program_writes_both_formats(drawn, tmp_path):
    arguments = ["--tables", drawn / "tables", "--figures", drawn / "figures"]
    arguments += ["--html", tmp_path / "report.html", "--markdown", tmp_path / "report.md"]
    arguments += ["--configfile", "examples/demo.yaml"]
    subprocess.run([sys.executable, PROGRAM, *arguments], check=True)
    assert "snakemake --configfile examples/demo.yaml" in Page((tmp_path / "report.html").read_text()).words()
    assert re.search(r"\nkvsweep \d+\.\d+\S*.*, Snakemake \S+\n", (tmp_path / "report.md").read_text())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "report.md"]


def test_a_missing_figure_is_an_error(tmp_path):
    with pytest.raises(KvsweepError, match="missing"):
        read_figures(tmp_path)


# --- every number -----------------------------------------------------------------------------------------------------


def test_every_number_appears_with_its_error_and_no_more_digits_than_it_deserves():
    quality = quality_row("q8_0", "turbo4") | {
        **{"ppl": 5.76123, "ppl_stderr": 0.0361, "ln_ppl_ratio": 0.004071, "ln_ppl_ratio_stderr": 0.00041},
        **{
            "kld_mean": 0.006772,
            "kld_mean_stderr": 0.00005,
            "kld_window_stderr": 0.00014,
            "kld_p999": 0.4201,
        },
        **{"top1_agreement": 0.96461, "top1_agreement_stderr": 0.00049, "chunks": 71},
    }
    speeds = rounds_at("q8_0", "turbo4", [75.4123, 75.5123, 75.3123], 8192, kv_bytes=5 * 2**30)
    rows = {"quality": [quality], "throughput": speeds, "engines": [engine_row()], "models": [model_row()]}
    numbers = [
        "5.761 ± 0.071",
        "0.0041 ± 0.0014",
        "0.00677 ± 0.00027",
        "0.42",
        "96.461 ± 0.097",
        "8.5 / 4.25",
        "71",
    ]
    numbers += [
        "75.41 ± 0.25",  # t of 2 degrees of freedom x 0.1 / sqrt(3)
        "8K",
        "11a241d0db78a68e0a5b99fe6f36de6683100f6a",
        "5b" * 32,
        "ab" * 32,
    ]
    text = Page(page_of(**rows)).words()
    assert [number for number in numbers if number not in text] == []


def test_what_is_not_known_is_a_dash_never_zero_or_nan():
    published: dict[str, Any] = dict.fromkeys(
        ("tokens_per_second_stddev", "samples", "fallback", "graph_splits", "kv_bytes")
    )
    speed = throughput_row("q8_0", "q8_0", tokens_per_second=57.9, source="published:x", **published)
    agreement = quality_row("q8_0", "q8_0")
    agreement |= dict.fromkeys(("kld_mean", "kld_mean_stderr", "kld_p999", "ppl_stderr"))
    page, post = (
        Page(page_of(throughput=[speed], quality=[agreement])).words(),
        markdown_of(throughput=[speed], quality=[agreement]),
    )
    assert "57.9 ± –" in page
    for text in (page, post):
        assert not re.search(r"\b(nan|None|inf)\b", text)


def test_a_cell_that_was_not_measured_shows_its_status_in_the_speed_table():
    rows = [throughput_row("f16", "f16", d) for d in (0, 8192)]
    rows[1] = unmeasured(rows[1], "oom", "no memory for the KV cache", "cudaMalloc failed: out of memory")
    view = view_of(tables_with(throughput=rows))
    (line,) = view.throughput[0].grids[0].rows
    assert [entry.text for entry in line][2] == "oom"
    (cell,) = [cell for cell in view.cells if cell.status == "oom"]
    assert (cell.reason, cell.log_line) == ("no memory for the KV cache", "cudaMalloc failed: out of memory")
    assert cell.command.startswith("llama-bench") and "-d 8192" in cell.command


def test_phases_that_ended_differently_are_both_told():
    rows = [throughput_row("f16", "f16", 0, "prefill", 900), throughput_row("f16", "f16", 0, "decode")]
    rows[1] = unmeasured(rows[1], "timeout", "no end after 60 s")
    assert "prefill: measured, decode: timeout" in Page(page_of(throughput=rows)).words()


# --- warnings ---------------------------------------------------------------------------------------------------------


def warnings_of(**rows):
    return {
        warning.kind.split(":")[0]: " ".join(warning.cells)
        for warning in view_of(tables_with(**rows)).warnings
    }


def test_nothing_to_warn_of():
    assert (
        warnings_of(throughput=[throughput_row("f16", "f16")], quality=[quality_row("f16", "f16", kld=0.0)])
        == {}
    )


def test_a_perplexity_of_guessing_is_a_warning():
    row = quality_row("f16", "f16")
    for ppl, warned in ((6.6e7, True), (200.0, True), (9.5, False)):
        found = warnings_of(quality=[row | {"ppl": ppl}], models=[{"model": row["model"], "n_vocab": 259}])
        assert ("Perplexity near or above the vocabulary's size, as of guessing" in found) is warned


@pytest.mark.parametrize(
    ("pair", "ratio", "warned"), [("f16", 0.213, True), ("f16", -2e-4, False), ("q8_0", 0.2, False)]
)
def test_a_baseline_that_left_much_out_is_a_warning(pair, ratio, warned):
    """An f16 that is no other than the baseline's, and yet 20 % worse: the post shows no number of it."""
    row = quality_row(pair, pair, ln_ppl_ratio=ratio)
    found = [
        line
        for kind, line in warnings_of(quality=[row]).items()
        if "own baseline" in kind or "of f16" in kind
    ]
    assert found == (["f16: quality – ln PPL ratio 0.213"] if warned else [])


def test_a_perplexity_is_written_in_full():
    row = quality_row("f16", "f16", kld=0.0) | {"ppl": 66_432_101.5}
    (line,) = warnings_of(quality=[row], models=[{"model": row["model"], "n_vocab": 259}]).values()
    assert line == "f16: quality – perplexity 66,400,000, vocabulary of 259 tokens"


def test_the_cells_of_a_warning_are_counted_and_not_its_lines():
    """Both phases of a cell are one process, and cells of which there is the same to say share a line."""
    rows = [
        throughput_row(pair, pair, depth, phase) | {"busy_cores_before": cores}
        for pair, cores in (("f16", 1.5), ("q8_0", 1.5), ("q4_0", 2.0))
        for depth in (0, 8192)
        for phase in ("prefill", "decode")
    ]
    tables = tables_with(throughput=rows)
    (busy,) = (one for one in view_of(tables).warnings if "busy" in one.kind)
    assert busy.cells == (
        "f16: prefill and decode at 0, 8K; q8_0: prefill and decode at 0, 8K – 1.5 cores",
        "q4_0: prefill and decode at 0, 8K – 2.0 cores",
    )
    assert busy.extent == "6 cells"
    assert f"{busy.kind} 6 cells {busy.cells[0]} {busy.cells[1]}" in Page(page_of(throughput=rows)).words()
    # Names and values of one line are apart from those of the next.
    lines = [f"- **{busy.kind}** (6 cells):", *(f"  - {line}" for line in busy.cells)]
    assert "\n".join(lines).replace("_", r"\_") in markdown_of(throughput=rows)


def test_each_kind_of_warning_names_its_cells():
    rows = [
        throughput_row("turbo3", "turbo3", 8192, effective_ctk="q8_0"),
        throughput_row("f16", "turbo4", 8192, fallback=True, graph_splits=22),
        throughput_row("q4_0", "q4_0", 0, samples=[45.0, 50.0, 55.0]),
        throughput_row("q5_0", "q5_0", 0, busy_cores_before=2.7),
        throughput_row("q5_1", "q5_1", 0, effective_ctk=None, effective_ctv=None),
        throughput_row("q4_1", "q4_1", 0, attempts=3),
        unmeasured(throughput_row("f16", "f16", 1024**2), "oom", "no memory"),
    ]
    assert warnings_of(throughput=rows) == {
        "Another pair ran than was asked for": "turbo3 (ran as q8_0/turbo3): decode at 8K",
        "Unknown what ran": "q5_1: decode at 0",
        "Fallback": "f16/turbo4: decode at 8K – 22 graph splits, KV cache on CUDA0",
        "Spread": "q4_0: decode at 0 – 10.0 %",
        "The machine was busy": "q5_0: decode at 0 – 2.7 cores",
        "The engine had to be started more than once": "q4_1: decode at 0 – 3 times",
        "Not measured": "f16: decode at 1M – no memory",
    }


def test_what_became_of_a_task_and_of_a_second_method_is_said_as_of_any_cell():
    """Of two methods one is compared; no cell is left out of counts, warnings and evidence."""
    asked = throughput_row("q8_0", "q8_0", n_ctx_train=1024)
    asked = {key: value for key, value in asked.items() if key not in ("depth", "phase", "round")}
    asked |= {"task": "recall", "kind": "recall", "n_ctx": 2048}
    scored = [quality_row("q8_0", "q8_0", method=method) for method in ("perplexity", "scorer")]
    view = view_of(
        tables_with(
            tasks=[asked, unmeasured(asked, "oom", "no memory") | {"task": "recall", "ctk": "q4_0"}],
            quality=[scored[0], unmeasured(scored[1], "crashed", "died") | {"method": "scorer"}],
        )
    )
    assert view.summary.startswith("4 cells, 2 of them measured")
    found = {warning.kind: warning.cells for warning in view.warnings}
    assert found["Not measured: crashed"] == ("q8_0: quality by the scorer – died",)
    assert found["Not measured: oom"][0].endswith("the task recall – no memory")
    assert any(
        "the task recall – trained for 1K" in one for one in found[next(k for k in found if "trained" in k)]
    )
    assert [section.title.partition(":")[0] for section in view.status] == [
        *("Quality", "Quality by the scorer", "Tasks"),
    ]
    assert len(view.cells) == 4


@pytest.mark.parametrize(("depth", "beyond"), [(0, False), (512, False), (513, True), (2048, True)])
def test_what_is_timed_behind_a_depth_counts_as_context(depth, beyond):
    row = throughput_row("f16", "f16", depth, n_tokens=512, n_ctx_train=1024)
    assert any("trained for" in kind for kind in warnings_of(throughput=[row])) is beyond


@pytest.mark.parametrize(
    "calm",
    [
        {"samples": [95.1, 100.0, 104.9]},
        {"busy_cores_before": 0.5},
        {
            "busy_cores_before": None,
            "samples": None,
            "fallback": None,
        },
    ],
)
def test_what_is_within_its_limits_is_no_warning(calm):
    assert warnings_of(throughput=[throughput_row("f16", "f16", **calm)]) == {}


def drifting(step, depths=(0, 8192), pairs=("f16", "q8_0", "q4_0")):
    """Cells whose repetitions each take longer by a fraction `step`."""
    return [
        throughput_row(k, k, depth, samples=[80 * (1 - (step + 1e-4 * i) * n) for n in range(4)])
        for i, (k, depth) in enumerate((k, depth) for k in pairs for depth in depths)
    ]


def test_a_drift_is_what_processes_have_in_common():
    (line,) = warnings_of(throughput=drifting(0.02)).values()
    assert line.startswith("decode at 0: +2")
    assert "of its time a repetition, over 6 processes" in line


@pytest.mark.parametrize(
    "rows",
    [
        drifting(0.002),  # certain, but small
        drifting(0.02)[:1],  # one process
        [
            row | {"samples": row["samples"][:: -1 if n // 2 % 2 else 1]}
            for n, row in enumerate(drifting(0.02))
        ],  # chance
    ],
)
def test_what_is_small_or_chance_is_no_drift(rows):
    assert warnings_of(throughput=rows) == {}


def test_cells_of_which_there_is_the_same_to_say_share_a_line():
    rows = [
        throughput_row("f16", "turbo4", d, p, fallback=True) for d in (0, 8192) for p in ("prefill", "decode")
    ]
    rows += [throughput_row("f16", "turbo3", 8192, "prefill", fallback=True)]
    (line,) = warnings_of(throughput=rows).values()
    assert (
        line
        == "f16/turbo4: prefill and decode at 0, 8K; f16/turbo3: prefill at 8K – 2 graph splits, KV cache on CUDA0"
    )


def test_warned_cells_are_marked_where_their_numbers_stand():
    rows = [
        throughput_row("turbo3", "turbo3", 0, effective_ctk="q8_0"),
        throughput_row("f16", "turbo4", 0, fallback=True),
    ]
    view = view_of(tables_with(throughput=rows))
    fallback, upgraded = view.throughput[0].grids[0].rows
    assert (fallback[0].text, fallback[1].marks) == ("f16/turbo4", ("fallback",))
    assert (upgraded[0].text, upgraded[0].marks) == ("turbo3 (ran as q8_0/turbo3)", ("another pair ran",))
    assert '<span class="mark">fallback</span>' in page_of(throughput=rows)
    assert "**fallback**" in markdown_of(throughput=rows)


def test_what_ran_is_not_missed_where_nothing_was_measured():
    row = unmeasured(quality_row("q8_0", "q8_0", effective_ctk=None), "crashed", "signal 11")
    assert list(warnings_of(quality=[row])) == ["Not measured"]


# --- differences in speed ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("interval", "text"),
    [
        (Interval(-0.1231, -0.1412, -0.1043), "−12.3 % [−14.1, −10.4]"),
        (Interval(0.004, -0.0093, 0.0172), "+0.4 % [−0.9, +1.7]"),
        (Interval(-0.03, -0.17, 0.13), "−3 % [−17, +13]"),
        (Interval(0.0, -0.9977, 438.1), "0 % [−100, > +999]"),
        (Interval(-0.0909, -0.0909, -0.0909), "−9.09 % [−9.09, −9.09]"),
    ],
)
def test_a_difference_has_the_digits_that_its_interval_deserves(interval, text):
    assert format_difference(interval.value, interval) == text


def test_a_difference_of_unknown_interval_says_so():
    assert format_difference(-0.12345, None) == "−12.3 %"


def differences_of(*rows):
    """The tables of differences: {caption: {pair: [entry of each depth]}}."""
    (section,) = view_of(tables_with(throughput=rows)).throughput
    return {
        grid.caption: {line[0].text: list(line[1:]) for line in grid.rows}
        for grid in section.grids
        if "difference from" in grid.caption
    }


def decode_differences(*rows):
    (lines,) = differences_of(*rows).values()
    return lines


F16 = rounds_at("f16", "f16", [100.0, 101.0, 99.0], 8192)


def test_rounds_that_are_very_far_apart_are_no_bare_difference():
    f16, far = rounds_at("f16", "f16", [230.0, 430.0]), rounds_at("q4_0", "q4_0", [2746.0, 108.0])
    (entry,) = decode_differences(*f16, *far)["q4_0"]
    assert (entry.text, entry.note) == ("no difference shown", "+73 % [−100, > +999]")
    assert "nothing is known of its error" not in Page(page_of(throughput=[*f16, *far])).words()


def test_speeds_are_compared_with_f16_at_equal_depth():
    slower = rounds_at("q8_0", "q8_0", [88.0, 89.0, 87.5], 8192)
    (entry,) = decode_differences(*F16, *slower)["q8_0"]
    assert entry.text == "−11.83 % [−12.32, −11.34]"  # Student's t of the logarithms, 2 degrees of freedom
    words = Page(page_of(throughput=[*F16, *slower])).words()
    assert "decode (text generation), 128 tokens timed: difference from f16 at equal depth" in words.lower()
    assert "Compared within rounds; in brackets the 95 % interval over rounds" in words


def test_a_difference_whose_interval_covers_zero_is_not_shown_but_its_interval_is():
    alike = rounds_at("q8_0", "q8_0", [100.5, 99.0, 101.9], 8192)
    (entry,) = decode_differences(*F16, *alike)["q8_0"]
    assert (entry.text, entry.note) == ("no difference shown", "+0.5 % [−5.5, +6.8]")
    assert "no difference shown +0.5 % [−5.5, +6.8]" in Page(page_of(throughput=[*F16, *alike])).words()


def test_one_round_has_no_interval():
    once = rounds_at("q8_0", "q8_0", [88.0], 8192)
    assert [entry.text for entry in decode_differences(*F16, *once)["q8_0"]] == ["−12 %"]


def test_the_reference_is_the_one_of_the_figures():
    """f16, or q8_0 where that ran at more depths."""
    rows = [row for depth in (8192, 16384) for row in rounds_at("q8_0", "q8_0", [50.0, 51.0], depth)]
    assert list(decode_differences(*F16, *rows)) == ["f16"]


def test_without_the_reference_at_a_depth_the_difference_is_unknown():
    rows = [
        *F16,
        *(row for depth in (8192, 16384) for row in rounds_at("q8_0", "turbo4", [88.0, 89.0], depth)),
    ]
    rows += [unmeasured(throughput_row("q4_0", "q4_0", 16384), "oom", "no memory")]
    assert [entry.text for entry in decode_differences(*rows)["q8_0/turbo4"]][1] == "–"
    assert [entry.text for entry in decode_differences(*rows)["q4_0"]] == ["", "oom"]


def test_a_fallback_is_no_reference():
    """What left the device is compared, and marked; nothing is compared with it."""
    fell_back = rounds_at("f16", "f16", [3.0, 3.1], 16384, fallback=True)
    rows = [*F16, *fell_back, *rounds_at("q8_0", "q8_0", [88.0, 89.0], 16384)]
    assert [entry.text for entry in decode_differences(*rows)["q8_0"]] == ["–"]
    (entry,) = decode_differences(*F16, *rounds_at("f16", "turbo4", [3.0, 3.1], 8192, fallback=True))[
        "f16/turbo4"
    ]
    assert entry.marks == ("fallback",)


def test_a_pair_that_ran_as_another_is_named_so_among_the_differences():
    upgraded = rounds_at("turbo3", "turbo3", [88.0, 89.0], 8192, effective_ctk="q8_0")
    assert list(decode_differences(*F16, *upgraded)) == ["turbo3 (ran as q8_0/turbo3)"]


def test_without_a_reference_or_anything_to_compare_there_is_no_table_of_differences():
    assert differences_of(*F16) == {}
    assert differences_of(*rounds_at("turbo3", "turbo3", [88.0, 89.0], 8192)) == {}


def test_phases_and_engines_are_compared_apart():
    rows = [
        throughput_row(k, k, 0, phase, engine=engine)
        for k in ("f16", "q8_0")
        for phase in ("prefill", "decode")
        for engine in ("fork", "mainline")
    ]
    sections = view_of(tables_with(throughput=rows)).throughput
    captions = [
        [grid.caption for grid in section.grids if "difference" in grid.caption] for section in sections
    ]
    assert [len(own) for own in captions] == [2, 2]


# --- paired quality ---------------------------------------------------------------------------------------------------


def quality_entries(*rows):
    """{pair: {column: entry}} of the one quality table."""
    (section,) = view_of(tables_with(quality=rows)).quality
    (grid,) = section.grids
    return {line[0].text: dict(zip(grid.columns, line, strict=True)) for line in grid.rows}


def quality_notes(*rows):
    (section,) = view_of(tables_with(quality=rows)).quality
    return " ".join(section.grids[0].notes)


def test_perplexities_are_compared_by_their_paired_difference():
    row = quality_row("q8_0", "q8_0", ppl_difference=-0.000512, ppl_difference_stderr=0.0012)
    assert quality_entries(row)["q8_0"]["PPL − PPL(base)"].text == "−0.0005 ± 0.0024"
    assert "−0.0005 ± 0.0024" in Page(page_of(quality=[row])).words()


@pytest.mark.parametrize(
    ("token_error", "window_error", "findings"),
    [
        (0.0010, 0.0005, ()),  # 2 standard errors off zero
        (0.0011, 0.0005, ("no difference shown",)),  # 1.8
        (0.0005, 0.0011, ("no difference shown",)),  # the larger of the two errors counts
        (0.0010, None, ()),
        (None, None, ()),  # nothing is known
    ],
)
def test_a_perplexity_ratio_that_may_be_one_shows_no_difference(token_error, window_error, findings):
    errors = {"ln_ppl_ratio_stderr": token_error, "ln_ppl_ratio_window_stderr": window_error}
    row = quality_row("q8_0", "q8_0", ln_ppl_ratio=0.002, **errors)
    assert quality_entries(row)["q8_0"]["ln PPL ratio"].findings == findings
    assert ('<span class="finding">no difference shown</span>' in page_of(quality=[row])) is bool(findings)


# --- errors between windows -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (0.00014, "0.00014"),
        (0.000034, "0.000034"),
        (0.0996, "0.10"),
        (4.2e-6, "4.2e−6"),
        (12.3, "12"),
        (0.0, "0"),
        (None, "–"),
    ],
)
def test_an_error_alone_has_two_digits(error, text):
    assert format_error(error) == text


def test_an_error_is_half_of_the_interval_over_windows():
    windows = [0.006, 0.007, 0.0075, 0.0065]
    row = quality_row(
        "q8_0", "q8_0", 0.00672, kld_mean_stderr=0.00005, kld_windows=windows, kld_window_rounding=5e-6
    )
    # t of 3 degrees of freedom, the standard error of the four, and half a printed digit
    assert quality_entries(row)["q8_0"]["mean KLD, nats"].text == "0.0067 ± 0.0010"
    assert "over the windows" in quality_notes(row)


def test_where_rounding_is_most_of_it_the_interval_is_what_it_may_hide():
    windows = [0.00001, -0.00001, 0.00002, 0.0]
    row = quality_row(
        "q8_0", "q8_0", 0.000005, kld_mean_stderr=1e-6, kld_windows=windows, kld_window_rounding=6e-6
    )
    assert quality_entries(row)["q8_0"]["mean KLD, nats"].text == "(0.5 [0, 2.6])e−5"


def test_the_methods_say_why_tokens_are_not_independent(whole):
    assert "Tokens of one window share their context" in whole.words()


# --- the floor --------------------------------------------------------------------------------------------------------

CONTROL = quality_row("f16", "f16", 0.0004)


@pytest.mark.parametrize(
    ("kld", "error", "findings"),
    [
        (0.00059, 0.0001, ("at the floor",)),
        (0.00061, 0.0001, ()),
        (0.0001, 0.00001, ("at the floor",)),
        (None, None, ()),
    ],
)
def test_a_pair_within_two_errors_of_the_control_is_at_the_floor(kld, error, findings):
    row = quality_row("q8_0", "q8_0", kld_mean=kld, kld_mean_stderr=error, kld_window_stderr=None)
    assert quality_entries(CONTROL, row)["q8_0"]["mean KLD, nats"].findings == findings
    assert ("cannot be told from f16" in quality_notes(CONTROL, row)) is bool(findings)


def test_the_control_is_not_measured_against_itself():
    assert quality_entries(CONTROL)["f16 (control)"]["mean KLD, nats"].findings == ()


def test_without_a_control_there_is_no_floor():
    lost = unmeasured(CONTROL, "oom", "no memory")
    row = quality_row("q8_0", "q8_0", 1e-7)
    assert quality_entries(row)["q8_0"]["mean KLD, nats"].findings == ()
    assert quality_entries(lost, row)["q8_0"]["mean KLD, nats"].findings == ()


# --- data is never markup ---------------------------------------------------------------------------------------------

HOSTILE = "<script>alert('&')</script>|`x`**y**"


def hostile_rows():
    named: dict[str, Any] = {"engine": HOSTILE, "model": HOSTILE, "machine": HOSTILE}
    return {
        "throughput": [
            throughput_row(HOSTILE, "f16", command=HOSTILE, **named),
            unmeasured(throughput_row("f16", "f16", 8192, **named), "oom", HOSTILE, HOSTILE),
        ],
        "quality": [quality_row("f16", HOSTILE, corpus=HOSTILE, **named)],
        "engines": [engine_row(HOSTILE, source=HOSTILE, files=[HOSTILE], cmake_options=[HOSTILE])],
        "models": [model_row(HOSTILE, file_name=HOSTILE)],
    }


def test_hostile_names_stay_text_on_the_page():
    html = page_of(**hostile_rows())
    page = Page(html)
    assert page.tags["script"] == 2
    assert page.words().count(HOSTILE) > 10
    (evidence,) = re.findall(r'<script type="application/json" id="evidence">(.*?)</script>', html, re.DOTALL)
    assert not re.search("[<>&]", evidence)
    assert HOSTILE in json.loads(evidence)["texts"]


def test_only_the_pages_own_script_may_run():
    html = page_of()
    script = re.findall("<script>(.*?)</script>", html, re.DOTALL)[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'\"" in html


def test_hostile_names_stay_text_in_markdown():
    text = re.sub(
        r"(?ms)^(`{3,})\n.*?^\1$", "", markdown_of(**hostile_rows())
    )  # code blocks show text as it is
    assert "\\<script\\>" in text
    assert not re.search(r"(?<!\\)[<>]|(?<!\\)`", text)
    rows = [line for line in text.splitlines() if line.startswith("|") and "script" in line]
    assert rows and all(len(re.split(r"(?<!\\)\|", row)) in (4, 5, 7) for row in rows)


def test_hostile_names_stay_text_in_figures(tmp_path):
    tables = tables_with(**hostile_rows())
    draw_figures(tables, tmp_path)
    page = Page(render_html(view_of(tables), read_figures(tmp_path)))
    assert page.tags["script"] == 2
    assert page.tags["svg"] >= 3


def test_only_drawings_are_taken_from_a_figure():
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 1 1">'
        "<script>alert(1)</script><!-- note --><metadata>when</metadata><style>* {fill: red}</style>"
        '<defs><path id="m" d="M 0 0"/></defs><g id="g" onclick="alert(1)" clip-path="url(#m)">'
        '<use xlink:href="#m"/><use xlink:href="https://example.org/x"/><foreignObject/></g></svg>'
    )
    assert embeddable_svg(svg, "f1") == (
        '<svg viewBox="0 0 1 1" role="img" aria-labelledby="f1-title"><defs><path d="M 0 0" id="f1-0" /></defs>'
        '<g clip-path="url(#f1-0)"><use href="#f1-0" /><use /></g></svg>'
    )


def test_a_figures_colours_follow_the_page_and_its_numbers_are_short():
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"><path d="M 10.123456 20.999999 L 1.5 -0.0001" '
        'style="fill: none; stroke: #0072b2" transform="scale(0.015625)"/></svg>'
    )
    short = embeddable_svg(svg, "f1")
    assert 'd="M 10.123 21 L 1.5 -0.0001" style="fill:none;stroke:var(--c-0072b2,#0072b2)"' in short
    assert 'transform="scale(0.015625)"' in short  # the size of a letter


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("q8_0 | turbo4", "q8\\_0 \\| turbo4"),
        ("two\nlines", "two lines"),
        ("https://example.org", "https:\\//example.org"),
    ],
)
def test_markdown_shows_text_as_it_is(text, escaped):
    assert escape_markdown(text) == escaped


# --- engines ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "source", "text"),
    [
        (
            "git",
            "https://example.org/llama.cpp at 11a241d0d",
            "git https://example.org/llama.cpp at 11a241d0d",
        ),
        (
            "pypi",
            "source distribution llama-cpp-python 0.3.36 (sha256 ab12)",
            "pypi source distribution llama-cpp-python 0.3.36 (sha256 ab12)",
        ),
        ("path", "/opt/llama.cpp/bin", "path /opt/llama.cpp/bin"),
        (None, None, "–"),
    ],
)
def test_an_engine_says_where_it_comes_from(kind, source, text):
    engine = engine_row(source_kind=kind, source=source)
    words = Page(page_of(engines=[engine])).words()
    assert f" source {text} commit" in words
    assert f"from {escape_markdown(text)}, compiler" in markdown_of(engines=[engine])


# --- provenance -------------------------------------------------------------------------------------------------------


def test_the_report_says_how_to_get_it_again():
    provenance = Provenance("1.0", "9.27", "https://example.org/kvsweep", "config.yaml")
    assert provenance.commands == (
        "git clone https://example.org/kvsweep kvsweep",
        "cd kvsweep",
        "make setup",
        ".venv/bin/snakemake --configfile config.yaml",
    )
    words = Page(render_html(view_of(tables_with(engines=[engine_row()]), provenance), DRAWN)).words()
    assert all(part in words for part in (*provenance.commands, "-DGGML_METAL=ON", "ab" * 32, "9.27"))


def test_a_report_of_published_numbers_alone_needs_no_measuring():
    theirs = throughput_row("f16", "f16", 65536, source="published:m5")
    assert view_of(tables_with(throughput=[theirs])).provenance.commands == ("make published",)
    both = view_of(tables_with(throughput=[theirs, throughput_row("f16", "f16", 65536)]))
    assert both.provenance.commands == ("make setup", ".venv/bin/snakemake")


# --- the answer first -------------------------------------------------------------------------------------------------


def words_of(**rows):
    return Page(page_of(**rows)).words()


def test_the_answer_comes_first_and_says_why():
    words = words_of(advice=answers()["advice"].to_pylist())
    first = words.index("coding agent: deep context, many generated tokens")
    assert first < words.index("Before you use the numbers")
    for said in (
        "q8_0 41.00 [40.60, 41.40] s a request, mean KLD 0.0016 nats (its error is not known), 8.5 bits per value",
        "fastest: 41.0 s a request",
        "What would change it: below 40 GiB of memory q8_0/turbo4",
    ):
        assert said in words or said.replace(" ,", ",") in words


def test_without_a_pick_nothing_is_recommended():
    row = answer(
        "advice", workload="rag", title="RAG", verdict="no data", why="no decode at 64K was measured"
    )
    words = words_of(advice=[row])
    assert "RAG No recommendation no decode at 64K was measured" in words
    assert "RAG: no recommendation. no decode at 64K was measured" in markdown_of(advice=[row])


def test_a_recall_that_was_asked_for_stands_beside_every_pair():
    shared = {"workload": "rag", "title": "RAG", "least_recall": 0.9}
    rows = [
        answer(
            "advice", **shared, verdict="pick", rank=1, ctk="f16", ctv="f16", why="fast",
            recall=0.97, recall_low=0.915, recall_high=0.99,
        ),
        answer(
            "advice", **shared, verdict="undecided", ctk="q4_0", ctv="q4_0", why="its recall is not told from 90 %",
            recall=0.92, recall_low=0.85, recall_high=0.959,
        ),
        answer("advice", **shared, verdict="no data", ctk="q8_0", ctv="q8_0", why="not known: its recall at 9K"),
    ]  # fmt: skip
    words = words_of(advice=rows)
    assert "recall of 90 % or more" in words and "recall 97.0 % [91.5, 99.0]" in words
    (answers,) = view_of(tables_with(advice=rows)).answers
    grid = answers.workloads[0].ranking
    place = grid.columns.index("recall, %")
    assert [row[place].text for row in grid.rows] == ["97.0 [91.5, 99.0]", "92.0 [85.0, 95.9]", "–"]
    assert [row[1].text for row in grid.rows] == ["pick", "undecided", "no data"]


def test_set_ups_with_an_answer_come_before_those_without():
    rows = [
        answer("advice", workload="rag", verdict="no data", why="nothing", engine="a"),
        answer(
            "advice", workload="rag", verdict="pick", rank=1, ctk="f16", ctv="f16", why="fast", engine="b"
        ),
    ]
    titles = [one.title.split(" · ")[0] for one in view_of(tables_with(advice=rows)).answers]
    assert titles == ["b", "a"]


@pytest.mark.parametrize(
    "sentence",
    [
        "No advice: nothing was measured that a workload of the configuration needs.",
        "No quality cell.",
        "No throughput cell.",
        "No claim was evaluated.",
        "No two pairs within half a bit per value were measured on one set-up.",
        "No cell was both measured here and published.",
        "Neither the engine's logs nor a model's header tell the size of the KV cache.",
    ],
)
def test_a_section_without_data_says_so(sentence):
    assert sentence in words_of()


def test_a_figure_without_numbers_is_a_sentence_not_a_blank():
    nothing = [Figure(f.name, f.listed, EMPTY_SVG, numbers_of("\n")) for f in DRAWN]
    page = Page(render_html(view_of(tables_with()), nothing))
    assert page.tags["svg"] == 0
    assert "No figure “Decode speed by depth”: No cell gave a text generation rate." in page.words()


def test_the_numbers_of_a_figure_stand_behind_it():
    text = "set-up,pair,depth,tokens/s,mark\na,f16,131072,82.7341234,\na,q8_0,0,,\nb,f16,0,1.5,fallback\n"
    one, other = numbers_of(text)
    assert (one.caption, other.caption) == ("a", "b")
    assert one.columns == ("pair", "depth", "tokens/s")
    assert [[entry.text for entry in row] for row in one.rows] == [
        ["f16", "131,072", "82.734"],
        ["q8_0", "0", "–"],
    ]


# --- tables of answers ------------------------------------------------------------------------------------------------


def section_of(name, **rows):
    (section,) = getattr(view_of(tables_with(**rows)), name)
    return section


def test_a_duel_says_who_is_better_and_by_how_much():
    section = section_of("duels", head_to_head=answers()["head_to_head"].to_pylist())
    quality, decode = section.grids
    assert quality.columns == (
        "pairs",
        "mean KLD, nats",
        "99.9 % KLD, nats",
        "same top-1, %",
        "KV cache of a token",
    )
    (line,) = quality.rows
    assert [entry.text for entry in line] == [
        "q4_0 : turbo4",
        "q4_0 by 16 %",
        "q4_0 ahead by 15 %",
        "no difference shown",
        "turbo4 by 5.6 %",
    ]
    assert line[1].note == "0.00809 : 0.00963 [−17.6, −14.4] %"
    assert line[2].findings == ("error unknown",)
    assert [entry.text for entry in decode.rows[0]] == ["q4_0 : turbo4", "turbo4 by 2.2 %"]


def test_a_claim_has_verdict_value_and_tolerance():
    row = {
        **dict.fromkeys(ANALYSIS["claims"].names),
        **{
            "claim": 3,
            "statement": "about 12 times",
            "subject": "measured",
            "verdict": "holds",
            "value": 12.44,
        },
        **{"expected": 12.0, "tolerance": 0.92, "unit": "times", "relation": "about", "engine": "fork"},
    }
    section = section_of("claims", claims=[row])
    assert section.summary == "1 holds"
    assert [entry.text for entry in section.grids[0].rows[0]][:6] == [
        "3",
        "about 12 times",
        "holds",
        "12.44 times",
        "12 times",
        "0.92 times",
    ]


def test_ours_stand_beside_theirs():
    section = section_of("comparisons", comparisons=answers()["comparisons"].to_pylist())
    lines = [[entry.text for entry in row] for row in section.grids[0].rows]
    assert lines[0][:6] == [
        "q8_0/turbo4, decode at 64K, tokens/s",
        "m5max-part2",
        "55.1",
        "55.9",
        "0.9857 [0.9801, 0.9914]",
        "yes",
    ]
    assert lines[1][3:7] == [
        "oom",
        "–",
        "no",
        "machine: ours AMD EPYC 2 cores 24GB, theirs Apple M5 Max 128GB",
    ]


def test_memory_tells_what_fits_and_what_is_not_explained():
    tables = answers()
    section = section_of(
        "memory", memory=tables["memory"].to_pylist(), largest_context=tables["largest_context"].to_pylist()
    )
    limits, sizes, surprises = section.grids
    assert limits.columns[1:4] == ("in 24 GiB", "in 48 GiB", "in 128 GiB (this machine)")
    assert [entry.text for entry in sizes.rows[0]][-1].endswith("(computed)")
    assert {row[2].text for row in surprises.rows} == {"ran out although it fits"}


def test_a_crossing_says_who_overtakes_whom_and_where():
    section = section_of("crossovers", crossovers=answers()["crossovers"].to_pylist())
    (line,) = section.grids[0].rows
    assert [entry.text for entry in line][2:6] == [
        "turbo3 overtakes q8_0",
        "78,300",
        "74,100 to 83,900",
        "64K and 128K",
    ]
    assert section.grids[0].notes == ("Without a crossing: 1 (none), 1 (too few depths).",)


@pytest.mark.parametrize(
    ("text", "value", "key"),
    [
        ("5.761 ± 0.036", 5.76123, ""),
        ("1,352.5", 1352.5, ""),
        ("−12.3 % [−14.1, −10.4]", -0.123, "-0.123"),
        ("(1.20 ± 0.12)e−7", 1.2e-7, "1.2e-07"),
        ("1.92e−5", 1.92e-5, "1.92e-05"),
        ("10 MiB", 10 * 2**20, "1.04858e+07"),
        ("no difference shown", 0.004, "0.004"),
        ("oom", None, ""),
    ],
)
def test_a_column_is_sorted_by_values_not_by_their_words(text, value, key):
    assert sort_key(Entry(text, value=value)) == key


# --- the post: the study's own tables ---------------------------------------------------------------------------------


def test_the_post_has_the_studys_three_tables_in_its_form():
    speeds = [
        throughput_row(k, v, depth, phase, tokens_per_second=rate)
        for k, v in (("f16", "f16"), ("q8_0", "turbo4"))
        for depth in (0, 65536)
        for phase, rate in (("prefill", 602.04), ("decode", 59.83))
    ]
    qualities = [quality_row("f16", "f16", 0.0), quality_row("q8_0", "turbo4", 0.0068, top1_agreement=0.9646)]
    post = markdown_of(throughput=speeds, quality=qualities)
    for line in (
        "**Quality, context 4096 (wikitext-2-test)**",
        "| pair | PPL | Δ ln PPL | mean KL vs f16 | same top-1 |",
        "| f16 | 5.7438 ± 0.071 | baseline | baseline | n/a |",
        "**Decode, tokens/s (tg128)**",
        "| depth | f16 | q8\\_0/turbo4 |",
        "**The 64K row (depth 65536), tokens/s**",
        "| pair | pp512 | tg128 |",
    ):
        assert line in post
    assert re.search(r"^\| 64K( \| 59\.83 \(± [\d.]+ % within\)){2} \|$", post, re.MULTILINE)
    assert re.search(
        r"^\| q8\\_0/turbo4 \| 602 \(± .* within\) \| 59\.83 \(± .* within\) \|$", post, re.MULTILINE
    )


def test_the_post_has_what_the_study_published_digit_by_digit():
    def theirs(name, *values):
        names = ("ppl", "ppl_stderr", "kld_mean", "kld_mean_stderr", "kld_window_stderr")
        known = dict(zip((*names, "top1_agreement", "top1_agreement_stderr"), values, strict=True))
        return quality_row(name, name, 0.0, source="published:m5") | known

    rows = [
        theirs("f16", 5.7438, 0.036, None, None, None, None, None),
        theirs("turbo4", 5.7810, None, 0.0131, None, None, 0.9528, None),
        theirs("turbo3", 5.8092, None, 0.0190, None, None, 0.9390, None),
    ]
    post = markdown_of(quality=rows)
    lines = ["| f16 | 5.7438 ± 0.036 | baseline | n/a |", "| turbo3 | 5.8092 | 0.0190 | 93.90 % |"]
    lines.append("| turbo4 | 5.7810 | 0.0131 | 95.28 % |")
    assert "\n".join(lines) in post


def test_the_posts_pairs_stand_as_in_the_study_and_the_others_below():
    pairs = "q4_0 turbo4 f16/turbo4 q8_0/turbo3 q5_1 turbo3 q8_0 f16 q8_0/turbo4".split()
    rows = [
        throughput_row(pair.ctk, pair.ctv, 65536, phase)
        for pair in map(Pair.parse, pairs)
        for phase in ("prefill", "decode")
    ]
    post = markdown_of(throughput=rows).replace("\\", "")
    order = "f16 q8_0 turbo3 turbo4 q8_0/turbo4 q8_0/turbo3 f16/turbo4 q5_1 q4_0".split()
    assert f"| depth | {' | '.join(order)} |" in post
    below = post.split("**The 64K row")[1].split("##")[0]
    assert re.findall(r"^\| ([\w/]+) \| \d", below, re.MULTILINE) == order


def test_a_divergence_of_zero_digits_has_the_error_of_printing_in_the_post():
    row = quality_row("q8_0", "q8_0", 0.000001) | {"kld_mean_stderr": 0.0, "kld_window_stderr": None}
    assert "| (1.00 ± 0.50)e−6 † |" in markdown_of(quality=[row])


def test_the_post_says_why_a_claim_fails_and_what_was_not_checked():
    published = of_source(read_published(ROOT / "resources" / "published"), STUDY)
    rows = evaluate(over_rounds(published.throughput), published.quality)
    post = markdown_of(claims=as_table(rows, CLAIMS).to_pylist()).replace("\\", "")
    assert re.findall(r"^- (\d+ \w+): ", post, re.MULTILINE) == ["5 fails", "11 fails"]
    assert (
        "| no data (not decided; 64K agrees; on the printed digits; the error from run to run is not known"
        in post
    )
    assert "| fails (on the printed digits; the error from run to run is not known) |" in post


def test_where_64k_was_not_measured_the_row_is_that_of_the_deepest_common_depth():
    rows = [throughput_row("f16", "f16", depth) for depth in (0, 512, 8192)]
    rows += [throughput_row("q8_0", "q8_0", depth) for depth in (0, 512)]
    post = markdown_of(throughput=rows)
    assert "**The 512 row (depth 512), tokens/s**" in post
    assert "The study shows depth 64K, which was not measured here; 512 is the deepest" in post


def test_published_numbers_fill_the_post_only_where_nothing_was_measured():
    theirs = throughput_row("f16", "f16", 65536, source="published:m5", tokens_per_second=59.8)
    ours = throughput_row("f16", "f16", 65536, tokens_per_second=71.2)
    assert "59.8" in markdown_of(throughput=[theirs])
    post = markdown_of(throughput=[theirs, ours])
    assert "71.2" in post and "59.8" not in post


def test_a_cell_that_ran_as_another_pair_is_marked_in_the_post():
    post = markdown_of(
        throughput=[throughput_row("turbo3", "turbo3", 65536, effective_ctk="q8_0", fallback=True)]
    )
    assert "turbo3 (ran as q8\\_0/turbo3)" in post and "**fallback**" in post
