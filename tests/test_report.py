"""The report: what must be in it, what must not, and that data never becomes markup."""

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from kvsweep.errors import KvsweepError
from kvsweep.figures import FIGURES, save
from kvsweep.presentation import format_difference, format_error
from kvsweep.report import embeddable_svg, escape_markdown, read_drawings, render_html, render_markdown
from kvsweep.report_view import Provenance, view_of
from kvsweep.schemas import TABLES
from kvsweep.statistics import Interval
from synthetic_tables import (
    engine_row,
    model_row,
    quality_row,
    study,
    table_of,
    throughput_row,
    unmeasured,
    write_tables,
)

EMPTY_SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 10 10"><g id="a"><path d="M 0 0"/></g></svg>'
)
DRAWINGS = dict.fromkeys(FIGURES, EMPTY_SVG)
PROGRAM = Path(__file__).parents[1] / "workflow" / "scripts" / "write_report.py"
VOID = {"meta", "br", "img", "hr", "link", "input"}


def tables_with(**rows):
    return {name: table_of(name, rows.get(name, [])) for name in TABLES}


def page_of(**rows):
    return render_html(view_of(tables_with(**rows)), DRAWINGS)


def markdown_of(**rows):
    return render_markdown(view_of(tables_with(**rows)), "figures")


class Page(HTMLParser):
    """Checks that tags nest, and collects text, ids and references."""

    def __init__(self, html):
        super().__init__()
        self.open, self.ids, self.references, self.text, self.tags = [], [], [], [], set()
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.handle_startendtag(tag, attributes)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.add(tag)
        for name, value in attributes:
            if name == "id":
                self.ids.append(value)
            if name in ("href", "src", "srcset", "action", "data", "poster") or "url(" in (value or ""):
                self.references.append(value)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    def words(self):
        return " ".join(" ".join(self.text).split())


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """The tables of a whole study and its figures, in a directory."""
    folder = tmp_path_factory.mktemp("study")
    tables = study()
    write_tables(folder / "tables", tables)
    (folder / "figures").mkdir()
    for name, picture in FIGURES.items():
        save(picture.draw(tables[picture.table].to_pandas()), folder / "figures" / f"{name}.svg", "svg")
    return folder


@pytest.fixture(scope="module")
def whole(drawn):
    return Page(render_html(view_of(study()), read_drawings(drawn / "figures")))


# --- one page, well-formed, alone -------------------------------------------------------------------------------------


def test_the_page_needs_nothing_else(whole):
    assert whole.references
    assert not [target for target in whole.references if not re.fullmatch(r"#[\w-]+|url\(#[\w-]+\)", target)]
    assert not whole.tags & {"script", "img", "link", "iframe", "object", "base"}


def test_every_id_is_there_once_and_every_reference_leads_somewhere(whole):
    assert len(whole.ids) == len(set(whole.ids))
    assert {re.sub(r"url\(|\)", "", target)[1:] for target in whole.references} <= set(whole.ids)


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
        read_drawings(tmp_path)


# --- every number -----------------------------------------------------------------------------------------------------


def test_every_number_appears_with_its_error_and_no_more_digits_than_it_deserves():
    quality = quality_row(
        "q8_0",
        "turbo4",
        **{"ppl": 5.76123, "ppl_stderr": 0.0361, "ln_ppl_ratio": 0.004071, "ln_ppl_ratio_stderr": 0.00041},
        **{
            "kld_mean": 0.006772,
            "kld_mean_stderr": 0.00005,
            "kld_window_stderr": 0.00014,
            "kld_p999": 0.4201,
        },
        **{"top1_agreement": 0.96461, "top1_agreement_stderr": 0.00049, "chunks": 71},
    )
    speed = throughput_row(
        "q8_0", "turbo4", 8192, tokens_per_second=75.4123, tokens_per_second_stddev=0.2345, kv_bytes=5 * 2**30
    )
    rows = {"quality": [quality], "throughput": [speed], "engines": [engine_row()], "models": [model_row()]}
    numbers = [
        "5.761 ± 0.036",
        "0.00407 ± 0.00041",
        "0.006772 ± 0.000050",
        "± 0.00014",
        "0.42",
        "96.461 ± 0.049",
        "8.5 / 4.25",
        "71",
    ]
    numbers += [
        "75.41 ± 0.23",
        "5 GiB",
        "8K",
        "11a241d0db78a68e0a5b99fe6f36de6683100f6a",
        "5b" * 32,
        "ab" * 32,
    ]
    for text in (Page(page_of(**rows)).words(), markdown_of(**rows)):
        assert [number for number in numbers if number not in text] == []


def test_what_is_not_known_is_a_dash_never_zero_or_nan():
    published = dict.fromkeys(("tokens_per_second_stddev", "samples", "fallback", "graph_splits", "kv_bytes"))
    speed = throughput_row("q8_0", "q8_0", tokens_per_second=57.9, source="published:x", **published)
    agreement = quality_row(
        "q8_0", "q8_0", **dict.fromkeys(("kld_mean", "kld_mean_stderr", "kld_p999", "ppl_stderr"))
    )
    for text in (
        Page(page_of(throughput=[speed], quality=[agreement])).words(),
        markdown_of(throughput=[speed], quality=[agreement]),
    ):
        assert "57.9 ± –" in text
        assert not re.search(r"\b(nan|None|null|inf)\b", text)


def test_a_cell_that_was_not_measured_shows_its_status_in_the_speed_table():
    rows = [throughput_row("f16", "f16", d) for d in (0, 8192)]
    rows[1] = unmeasured(rows[1], "oom", "no memory for the KV cache", "cudaMalloc failed: out of memory")
    view = view_of(tables_with(throughput=rows))
    (line,) = view.throughput[0].grids[0].rows
    assert [entry.text for entry in line][2] == "oom"
    (cell,) = [cell for cell in view.status[0].cells if cell.status == "oom"]
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
    assert warnings_of(throughput=[throughput_row("f16", "f16")], quality=[quality_row("f16", "f16")]) == {}


def test_each_kind_of_warning_names_its_cells():
    rows = [
        throughput_row("turbo3", "turbo3", 8192, effective_ctk="q8_0"),
        throughput_row("f16", "turbo4", 8192, fallback=True, graph_splits=22),
        throughput_row("q8_0", "q8_0", 0, drift_per_repetition=-0.021, drift_stderr=0.003),
        throughput_row("q4_0", "q4_0", 0, tokens_per_second=50.0, tokens_per_second_stddev=5.5),
        throughput_row("q5_0", "q5_0", 0, busy_cores_before=2.7),
        throughput_row("q5_1", "q5_1", 0, effective_ctk=None, effective_ctv=None),
        throughput_row("q4_1", "q4_1", 0, attempts=3),
        unmeasured(throughput_row("f16", "f16", 1024**2), "oom", "no memory"),
    ]
    assert warnings_of(throughput=rows) == {
        "Another pair ran than was asked for": "turbo3 (ran as q8_0/turbo3): decode at 8K",
        "Unknown what ran": "q5_1: decode at 0",
        "Fallback": "f16/turbo4: decode at 8K – 22 graph splits, KV cache on CUDA0",
        "Drift over the repetitions": "q8_0: decode at 0 – −2.10 ± 0.30 % a repetition",
        "Spread": "q4_0: decode at 0 – 11.0 %",
        "The machine was busy": "q5_0: decode at 0 – 2.7 cores",
        "The engine had to be started more than once": "q4_1: decode at 0 – 3 times",
        "Not measured": "f16: decode at 1M – no memory",
    }


@pytest.mark.parametrize(
    "calm",
    [
        {"drift_per_repetition": 0.02, "drift_stderr": 0.01},  # large, but noise
        {"drift_per_repetition": 0.004, "drift_stderr": 0.0001},  # certain, but small
        {"tokens_per_second": 100.0, "tokens_per_second_stddev": 4.9},
        {"busy_cores_before": 0.5},
        {
            "busy_cores_before": None,
            "drift_per_repetition": None,
            "tokens_per_second_stddev": None,
            "fallback": None,
        },
    ],
)
def test_what_is_within_its_limits_is_no_warning(calm):
    assert warnings_of(throughput=[throughput_row("f16", "f16", **calm)]) == {}


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
    assert format_difference(interval.difference, interval) == text


def test_a_difference_of_unknown_interval_says_so():
    assert format_difference(-0.12345, None) == "−12.3 % [–]"


def rate_of(ctk, ctv, samples, depth=8192, **replaced):
    mean = sum(samples) / len(samples)
    return throughput_row(ctk, ctv, depth, samples=samples, tokens_per_second=mean, **replaced)


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


F16 = rate_of("f16", "f16", [100.0, 101.0, 99.0])


def test_speeds_are_compared_with_f16_at_equal_depth():
    slower = rate_of("q8_0", "q8_0", [88.0, 89.0, 87.5])
    (entry,) = decode_differences(F16, slower)["q8_0"]
    assert entry.text == "−11.8 % [−13.7, −9.9]"
    for text in (Page(page_of(throughput=[F16, slower])).words(), markdown_of(throughput=[F16, slower])):
        assert (
            "decode (text generation), 128 tokens timed: difference from f16 at equal depth" in text.lower()
        )
        assert "within one process" in text and "10 to 20 %" in text


def test_a_difference_whose_interval_covers_zero_is_not_shown_but_its_interval_is():
    alike = rate_of("q8_0", "q8_0", [100.5, 99.0, 101.9])
    (entry,) = decode_differences(F16, alike)["q8_0"]
    assert (entry.text, entry.note) == ("no difference shown", "+0.5 % [−2.5, +3.5]")
    assert "no difference shown +0.5 % [−2.5, +3.5]" in Page(page_of(throughput=[F16, alike])).words()
    assert "no difference shown (+0.5 % \\[−2.5, +3.5\\])" in markdown_of(throughput=[F16, alike])


def test_one_repetition_has_no_interval():
    once = rate_of("q8_0", "q8_0", [88.0])
    assert [entry.text for entry in decode_differences(F16, once)["q8_0"]] == ["−12 % [–]"]


def test_the_reference_is_the_one_of_the_figures():
    """f16, or q8_0 where that ran at more depths."""
    rows = [F16, rate_of("q8_0", "q8_0", [50.0, 51.0]), rate_of("q8_0", "q8_0", [25.0, 26.0], depth=16384)]
    assert list(decode_differences(*rows)) == ["f16"]


def test_without_the_reference_at_a_depth_the_difference_is_unknown():
    rows = [F16, *(rate_of("q8_0", "turbo4", [88.0, 89.0], depth=depth) for depth in (8192, 16384))]
    rows += [unmeasured(throughput_row("q4_0", "q4_0", 16384), "oom", "no memory")]
    assert [entry.text for entry in decode_differences(*rows)["q8_0/turbo4"]][1] == "–"
    assert [entry.text for entry in decode_differences(*rows)["q4_0"]] == ["", "oom"]


def test_a_fallback_is_no_reference():
    """What left the device is compared, and marked; nothing is compared with it."""
    fell_back = rate_of("f16", "f16", [3.0, 3.1], depth=16384, fallback=True)
    rows = [F16, fell_back, rate_of("q8_0", "q8_0", [88.0, 89.0], depth=16384)]
    assert [entry.text for entry in decode_differences(*rows)["q8_0"]] == ["–"]
    (entry,) = decode_differences(F16, rate_of("f16", "turbo4", [3.0, 3.1], fallback=True))["f16/turbo4"]
    assert entry.marks == ("fallback",)


def test_a_pair_that_ran_as_another_is_named_so_among_the_differences():
    upgraded = rate_of("turbo3", "turbo3", [88.0, 89.0], effective_ctk="q8_0")
    assert list(decode_differences(F16, upgraded)) == ["turbo3 (ran as q8_0/turbo3)"]


def test_without_a_reference_or_anything_to_compare_there_is_no_table_of_differences():
    assert differences_of(F16) == {}
    assert differences_of(rate_of("turbo3", "turbo3", [88.0, 89.0])) == {}


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
    assert quality_entries(row)["q8_0"]["PPL − PPL(base)"].text == "−0.0005 ± 0.0012"
    assert "−0.0005 ± 0.0012" in Page(page_of(quality=[row])).words()


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
    assert ("*no difference shown*" in markdown_of(quality=[row])) is bool(findings)


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


def test_the_error_between_windows_stands_beside_that_of_tokens():
    row = quality_row(
        "q8_0",
        "q8_0",
        **{"kld_mean": 0.006772, "kld_mean_stderr": 0.00005, "kld_window_stderr": 0.00014},
        **{"ln_ppl_ratio": 0.00407, "ln_ppl_ratio_stderr": 0.00041, "ln_ppl_ratio_window_stderr": 0.00062},
    )
    entries = quality_entries(row)["q8_0"]
    assert (entries["mean KLD, nats"].text, entries["mean KLD, nats"].note) == (
        "0.006772 ± 0.000050",
        "windows ± 0.00014",
    )
    assert entries["ln PPL ratio"].note == "windows ± 0.00062"
    assert "†" not in quality_notes(row)
    assert "(windows ± 0.00014)" in markdown_of(quality=[row])


@pytest.mark.parametrize(
    ("window_error", "rounding", "note"),
    [
        (0.00014, 0.00006, "windows ± 0.00014"),
        (0.00014, 0.00007, "windows ± 0.00014 †"),
        (1.4e-21, 5.27e-6, "windows < 5.3e−6 †"),
        (0.00014, None, "windows ± 0.00014"),
        (None, None, ""),
    ],
)
def test_what_may_be_rounding_is_marked(window_error, rounding, note):
    row = quality_row("q8_0", "q8_0", kld_window_stderr=window_error, kld_window_rounding=rounding)
    assert quality_entries(row)["q8_0"]["mean KLD, nats"].note == note
    assert ("five decimals" in quality_notes(row)) is ("†" in note)
    assert ("five decimals" in markdown_of(quality=[row])) is ("†" in note)


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
    named = {"engine": HOSTILE, "model": HOSTILE, "machine": HOSTILE}
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
    page = Page(page_of(**hostile_rows()))
    assert "script" not in page.tags
    assert page.words().count(HOSTILE) > 10


def test_hostile_names_stay_text_in_markdown():
    text = re.sub(
        r"(?ms)^(`{3,})\n.*?^\1$", "", markdown_of(**hostile_rows())
    )  # code blocks show text as it is
    assert "\\<script\\>" in text
    assert not re.search(r"(?<!\\)[<>]|(?<!\\)`", text)
    rows = [line for line in text.splitlines() if line.startswith("|") and "script" in line]
    assert rows and all(len(re.split(r"(?<!\\)\|", row)) in (4, 5, 7, 11) for row in rows)


def test_hostile_names_stay_text_in_figures(tmp_path):
    tables = tables_with(**hostile_rows())
    for name, picture in FIGURES.items():
        save(picture.draw(tables[picture.table].to_pandas()), tmp_path / f"{name}.svg", "svg")
    assert "script" not in Page(render_html(view_of(tables), read_drawings(tmp_path))).tags


def test_only_drawings_are_taken_from_a_figure():
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 1 1">'
        "<script>alert(1)</script><!-- note --><metadata>when</metadata><style>* {fill: red}</style>"
        '<defs><path id="m" d="M 0 0"/></defs><g id="g" onclick="alert(1)" clip-path="url(#m)">'
        '<use xlink:href="#m"/><use xlink:href="https://example.org/x"/><foreignObject/></g></svg>'
    )
    assert embeddable_svg(svg, "kld") == (
        '<svg viewBox="0 0 1 1" role="img" aria-labelledby="kld-title"><defs><path id="kld-m" d="M 0 0" /></defs>'
        '<g id="kld-g" clip-path="url(#kld-m)"><use href="#kld-m" /><use /></g></svg>'
    )


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
    assert f" source {text} version it states" in words
    assert f" source {text} commit" in words
    assert f"from {escape_markdown(text)}, knobs" in markdown_of(engines=[engine])


# --- provenance -------------------------------------------------------------------------------------------------------


def test_the_report_says_how_to_get_it_again():
    provenance = Provenance("1.0", "9.27", "https://example.org/kvsweep", "config.yaml")
    assert provenance.commands == (
        "git clone https://example.org/kvsweep kvsweep",
        "cd kvsweep",
        "make setup",
        "snakemake --configfile config.yaml",
    )
    words = Page(render_html(view_of(tables_with(engines=[engine_row()]), provenance), DRAWINGS)).words()
    assert all(part in words for part in (*provenance.commands, "-DGGML_METAL=ON", "ab" * 32, "9.27"))
