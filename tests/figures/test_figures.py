"""Figures draw what the table says, no more and no less."""

import csv
import math
from typing import Any

import numpy as np
import pytest
from figure_tables import made_up_tables
from kvsweep.analysis.reference import pareto_front
from kvsweep.analysis.speed import against
from kvsweep.figures import style
from kvsweep.figures.axes import depth_position, log_ticks
from kvsweep.figures.catalogue import FIGURES
from kvsweep.figures.draw import DRAWERS, FORMS, draw, save
from kvsweep.figures.layout import MOST_PANELS, one_figure, pages
from kvsweep.figures.marks import FALLBACK_NOTE
from kvsweep.figures.style import pair_style
from kvsweep.study.pairs import Pair, pair_label, pair_order
from matplotlib.colors import to_hex
from matplotlib.container import ErrorbarContainer
from synthetic_analysis import PUBLISHED, answer, answers, answers_of, speed_of
from synthetic_tables import (
    PAPER_PAIRS,
    WIDE_PAIRS,
    in_rounds,
    quality_row,
    rounds_at,
    study,
    table_of,
    throughput_row,
    unmeasured,
)


def curves(axes):
    """What a panel's error bars show: {label: [(x, y, low, high)]}, with None for an end that has no bar."""
    found = {}
    for container in axes.containers:
        line, _, bars = container.lines
        along = 0 if container.has_xerr else 1
        points = [(float(x), float(y)) for x, y in zip(*line.get_data(), strict=True)]
        segments = bars[0].get_segments() if bars else [np.empty((0, 2))] * len(points)
        found[container.get_label()] = [
            (*point, *(float(end[along]) if np.isfinite(end).all() else None for end in segment))
            if len(segment)
            else (*point, None, None)
            for point, segment in zip(points, segments, strict=True)
            if not math.isnan(point[1])
        ]
    return found


def rows_of(name, rows):
    """The rows as the figures get them: by way of the schema."""
    return table_of(name, rows).to_pylist()


def speeds_of(rows):
    """The table `speed` of these throughput rows, as the figures get it."""
    return answers_of("speed", speed_of(rows)["speed"]).to_pylist()


def prefill_by_depth(rows):
    return one_figure(draw("prefill_by_depth", rows))


def decode_by_depth(rows):
    return one_figure(draw("decode_by_depth", rows))


def decode_relative(rows):
    return one_figure(draw("decode_relative", rows))


def kld_by_pair(rows):
    return one_figure(draw("kld_by_pair", rows))


def kld_by_bits(rows):
    return one_figure(draw("kld_by_bits", rows))


def top1_by_pair(rows):
    return one_figure(draw("top1_by_pair", rows))


def legend_of(figure):
    return [" ".join(text.get_text().split()) for legend in figure.legends for text in legend.get_texts()]


# --- speed by depth ---------------------------------------------------------------------------------------------------


def test_a_curve_shows_the_rates_and_their_intervals_over_rounds():
    rows = [
        row
        for depth, rate in ((0, 80), (8192, 70), (32768, 60))
        for row in rounds_at("q8_0", "turbo4", [rate, 1.01 * rate, 0.99 * rate], depth)
    ]
    table = speeds_of(rows)
    (axes,) = decode_by_depth(table).axes
    (points,) = curves(axes).values()
    for row, (x, y, low, high) in zip(table, points, strict=True):
        assert x == depth_position(row["depth"], 8192)
        assert y == row["tokens_per_second"]
        assert (low, high) == pytest.approx((row["tokens_per_second_low"], row["tokens_per_second_high"]))


def test_the_depth_axis_shows_zero_and_powers_of_two_at_equal_steps():
    rows = [throughput_row("f16", "f16", depth) for depth in (0, 8192, 16384, 1024 * 1024)]
    (axes,) = decode_by_depth(speeds_of(rows)).axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0", "8K", "16K", "1M"]
    assert list(axes.get_xticks()) == [0, 1, 2, 8]


def test_phases_do_not_mix():
    rows = [throughput_row("f16", "f16", 0, "prefill", 900), throughput_row("f16", "f16", 0, "decode", 80)]
    table = speeds_of(rows)
    assert curves(prefill_by_depth(table).axes[0])["f16"][0][1] == table[0]["tokens_per_second"]
    assert curves(decode_by_depth(table).axes[0])["f16"][0][1] == table[1]["tokens_per_second"]


def test_a_missing_cell_is_not_drawn_and_interrupts_the_line():
    rows = [throughput_row("f16", "f16", depth) for depth in (0, 8192, 16384)]
    rows[1] = unmeasured(rows[1], "oom", "no memory")
    (axes,) = decode_by_depth(speeds_of(rows)).axes
    assert [x for x, *_ in curves(axes)["f16"]] == [0, 1]  # 16K is the smallest depth that was measured
    y = axes.containers[0].lines[0].get_ydata()
    assert len(y) == 3 and math.isnan(y[1])


@pytest.mark.parametrize("source", ["measured", "published:somewhere"])
def test_a_rate_of_one_round_has_no_error_bar(source):
    (row,) = speeds_of([throughput_row("f16", "f16", 0, source=source)])
    (axes,) = decode_by_depth([row]).axes
    assert curves(axes)["f16"] == [(0, row["tokens_per_second"], None, None)]


@pytest.mark.parametrize(
    "other",
    [
        {"engine": "mainline"},
        {"model": "another-model"},
        {"machine": "another machine"},
        {"model_sha256": "77" * 32},
        {"engine_commit": "77" * 20},
        {"source": "slice:somewhere"},
        {"n_tokens": 32},
    ],
)
def test_what_measured_something_else_gets_its_own_panel(other):
    rows = [throughput_row("f16", "f16", 0), throughput_row("f16", "f16", 8192, **other)]
    figure = decode_by_depth(speeds_of(rows))
    assert [len(curves(axes)["f16"]) for axes in figure.axes] == [1, 1]
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles[0] != titles[1]


def test_a_pair_that_ran_as_another_is_named_and_half_filled():
    row = throughput_row("turbo3", "turbo3", 0, effective_ctk="q8_0")
    figure = decode_by_depth(speeds_of([row]))
    (container,) = figure.axes[0].containers
    assert container.get_label() == "turbo3 (ran as q8_0/turbo3)"
    assert container.lines[0].get_fillstyle() == "bottom"


def test_fallback_cells_are_crossed_out_and_explained():
    rows = [throughput_row("f16", "turbo4", depth, fallback=depth > 0) for depth in (0, 8192)]
    figure = decode_by_depth(speeds_of(rows))
    (cross,) = [line for line in figure.axes[0].lines if line.get_label() == "fallback"]
    assert list(zip(*cross.get_data(), strict=True)) == [
        (1, pytest.approx(rows[1]["tokens_per_second"], rel=1e-3))
    ]
    assert FALLBACK_NOTE in legend_of(figure)


def test_speeds_are_compared_with_the_reference_at_the_same_depth():
    rows = [throughput_row("f16", "f16", d, rate=80 - d / 1024) for d in (0, 8192)]
    rows += [throughput_row("q8_0", "q8_0", d, rate=88 - d / 1024) for d in (0, 8192, 16384)]
    rows += [throughput_row("q4_0", "q4_0", d, rate=90) for d in (0, 16384)]
    table = speeds_of(in_rounds(rows))
    (axes,) = decode_relative(table).axes
    shown = curves(axes)
    assert set(shown) == {"f16", "q4_0"}  # q8_0 ran at more depths than f16: it is the reference
    found = against(table[6], table[4])
    assert shown["q4_0"][1][1:] == pytest.approx(
        [100 * (found[name] - 1) for name in ("ratio", "ratio_low", "ratio_high")]
    )


def test_fallback_cells_do_not_stretch_the_comparison():
    rows = [
        throughput_row("f16", "f16"),
        throughput_row("q8_0", "q8_0"),
        throughput_row("f16", "turbo4", fallback=True),
    ]
    figure = decode_relative(speeds_of(rows))
    assert set(curves(figure.axes[0])) == {"q8_0"}
    assert "left out (fallback): f16/turbo4" in legend_of(figure)


# --- quality ----------------------------------------------------------------------------------------------------------


def test_divergences_stand_with_half_of_their_intervals():
    rows = [
        quality_row("q8_0", "q8_0", 0.0016, kld_mean_stderr=1e-5, kld_window_stderr=4e-5),
        quality_row("q4_0", "q4_0", 0.0089, kld_mean_stderr=9e-5, kld_window_stderr=None),
    ]
    (axes,) = kld_by_pair(rows_of("quality", rows)).axes
    shown = curves(axes)
    assert shown["q8_0"] == [pytest.approx((0.0016, 0, 0.0016 - 1.96 * 4e-5, 0.0016 + 1.96 * 4e-5), abs=1e-6)]
    assert shown["q4_0"] == [pytest.approx((0.0089, 1, 0.0089 - 1.96 * 9e-5, 0.0089 + 1.96 * 9e-5), abs=1e-6)]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["q8_0", "q4_0"]


def test_the_floor_is_a_line_with_a_name():
    rows = [quality_row("f16", "f16", 0.0004), quality_row("q8_0", "q8_0", 0.0016)]
    figure = kld_by_pair(rows_of("quality", rows))
    (floor,) = [line for line in figure.axes[0].lines if line.get_label() == "floor"]
    assert list(floor.get_xdata()) == [0.0004, 0.0004]
    assert legend_of(figure) == ["floor (f16 against itself): 0.0004"]
    assert "f16" not in curves(figure.axes[0])


@pytest.mark.parametrize(("kld", "said"), [(0.0, "0"), (-1e-7, "0"), (3.1e-7, "3.1e−7")])
def test_a_floor_that_is_zero_or_far_below_is_said_not_drawn(kld, said):
    rows = [quality_row("f16", "f16", 0.0, kld_mean=kld), quality_row("q8_0", "q8_0", 0.0016)]
    for drawn in (kld_by_pair, kld_by_bits):
        figure = drawn(rows_of("quality", rows))
        assert f"floor (f16 against itself): {said}, below the axis" in legend_of(figure)
        assert not [line for line in figure.axes[0].lines if line.get_label() == "floor"]


def test_divergence_stands_over_the_mean_bits_of_k_and_v():
    rows = [
        quality_row("q8_0", "turbo4", 0.006, bits_per_value_k=8.5, bits_per_value_v=4.25),
        quality_row("q4_0", "q4_0", 0.009),
        quality_row("q5_0", "q5_0", 0.02),
    ]
    (axes,) = kld_by_bits(rows_of("quality", rows)).axes
    assert {label: point[0][:2] for label, point in curves(axes).items()} == {
        "q8_0/turbo4": (6.375, 0.006),
        "q4_0": (4.5, 0.009),
        "q5_0": (5.5, 0.02),
    }
    (front,) = [line for line in axes.lines if line.get_label() == "front"]
    assert list(zip(*front.get_data(), strict=True)) == [(4.5, 0.009), (6.375, 0.006)]
    assert {text.get_text() for text in axes.texts} == {"q8_0/turbo4", "q4_0", "q5_0"}


def test_a_pair_is_on_the_front_if_no_other_is_better_in_both():
    assert pareto_front([(4, 0.9), (4, 0.8), (5, 0.8), (6, 0.1), (7, 0.2)]) == [(4, 0.8), (6, 0.1)]


def test_labels_of_fourteen_pairs_do_not_cover_each_other():
    figure = kld_by_bits(study(WIDE_PAIRS)["quality"].to_pylist())
    (axes,) = figure.axes
    figure.draw_without_rendering()
    boxes = [super(type(text), text).get_window_extent() for text in axes.texts]
    assert len(boxes) == 12  # without the control and the cell that was not measured
    assert not [(a, b) for i, a in enumerate(boxes) for b in boxes[:i] if a.overlaps(b)]


def test_agreement_is_in_percent():
    row = quality_row("q8_0", "q8_0", top1_agreement=0.9864, top1_agreement_stderr=0.0003)
    (axes,) = top1_by_pair(rows_of("quality", [row])).axes
    # 1.96 standard errors, and half of the last printed digit.
    assert curves(axes)["q8_0"] == [pytest.approx((98.64, 0, 98.5807, 98.6993), abs=1e-4)]


@pytest.mark.parametrize("other", [{"n_ctx": 512}, {"corpus": "another"}, {"engine": "mainline"}])
def test_qualities_of_other_texts_get_their_own_panel(other):
    rows = [quality_row("q8_0", "q8_0"), quality_row("q8_0", "q8_0", **other)]
    for drawn in (kld_by_pair, kld_by_bits, top1_by_pair):
        assert len(drawn(rows_of("quality", rows)).axes) == 2


def test_a_divergence_of_zero_is_said_in_words():
    rows = [quality_row("q8_0", "q8_0", 0.0016), quality_row("bf16", "bf16", 0.0, kld_mean=0.0)]
    (axes,) = kld_by_pair(rows_of("quality", rows)).axes
    assert set(curves(axes)) == {"q8_0"}
    assert [text.get_text().strip() for text in axes.texts] == ["0 (not above 0)"]


WITH_BARS = (
    *(
        "kld_by_pair",
        "kld_by_bits",
        "top1_by_pair",
        "tail_by_mean",
        "right_by_context",
        "speed_ratios",
        "speed_across",
    ),
    *(
        "prefill_by_depth",
        "decode_by_depth",
        "prefill_relative",
        "decode_relative",
        "kld_by_decode",
        "crossovers",
    ),
)

# --- all figures ------------------------------------------------------------------------------------------------------


def test_without_rows_a_figure_has_every_form(tmp_path):
    save(draw("crossovers", []), tmp_path, "crossovers")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(f"crossovers{end}" for end in FORMS)
    assert (tmp_path / "crossovers.csv").read_text() == "\n"


@pytest.mark.parametrize("name", FIGURES)
def test_without_rows_a_figure_says_so(name):
    drawing = draw(name, [])
    (axes,) = one_figure(drawing).axes
    assert [text.get_text() for text in axes.texts] == ["no cell measured"]
    assert not drawing.points


@pytest.mark.parametrize("name", [name for name in FIGURES if FIGURES[name].table in ("speed", "quality")])
def test_a_table_where_nothing_was_measured_has_nothing_to_draw(name):
    table = FIGURES[name].table
    row = throughput_row("f16", "f16") if table == "speed" else quality_row("f16", "f16")
    failed = [unmeasured(row, "oom", "no memory")]
    assert draw(name, speeds_of(failed) if table == "speed" else rows_of(table, failed)).panels == ()


def test_every_figure_has_a_drawer_and_a_table_that_exists():
    assert set(DRAWERS) == set(FIGURES)
    assert {figure.table for figure in FIGURES.values()} <= set(made_up_tables())


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Every figure in every form."""
    folder = tmp_path_factory.mktemp("figures")
    tables = made_up_tables()
    for name, figure in FIGURES.items():
        save(draw(name, tables[figure.table]), folder, name)
    return folder


@pytest.mark.parametrize("name", FIGURES)
def test_every_point_stands_in_the_figures_table(name, written):
    drawing = draw(name, made_up_tables()[FIGURES[name].table])
    with (written / f"{name}.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == sum(len(panel.points) for panel in drawing.panels) > 0
    assert {line["set-up"] for line in lines} == {panel.title for panel in drawing.panels}


@pytest.mark.parametrize("name", FIGURES)
def test_every_error_bar_ends_where_the_figures_table_says(name):
    """Which says what the table says: a bar is one of its intervals, and each of its intervals has a bar."""
    drawing = draw(name, made_up_tables()[FIGURES[name].table])
    seen = 0
    for panel, axes in zip(drawing.panels, one_figure(drawing).axes, strict=False):
        ends = set()
        for point in panel.points:
            for column, value in point.items():
                if value is not None and column.startswith(("95 % from", "95 % to")):
                    ends.add(depth_position(value, 8192) if name == "crossovers" and value else float(value))
                if value is not None and column.startswith("±"):
                    middle = next(point[key] for key in point if column.removeprefix("±, ") in key)
                    ends |= {middle - value, middle + value}
        for container in axes.containers:
            if not isinstance(container, ErrorbarContainer):
                continue
            along = [0] * container.has_xerr + [1] * container.has_yerr
            for bars, axis in zip(container.lines[2], along, strict=True):
                drawn = np.array(
                    [segment[:, axis] for segment in bars.get_segments() if len(segment)]
                ).ravel()
                for end in drawn[np.isfinite(drawn)]:
                    assert any(end == pytest.approx(one, rel=1e-6) for one in ends), (panel.title, end)
                    low, high = (axes.get_xlim, axes.get_ylim)[axis]()
                    assert end <= 0 or low <= end <= high, (panel.title, end, "is outside of the picture")
                    seen += 1
    assert seen or name not in WITH_BARS


def test_a_paper_gets_columns_and_a_talk_gets_slides():
    rows = speeds_of([throughput_row("f16", "f16", depth) for depth in (0, 8192)])
    drawing = draw(
        "decode_by_depth", [{**row, "engine": name} for row in rows for name in ("fork", "mainline")]
    )
    columns, slides = list(pages(drawing, style.COLUMN)), list(pages(drawing, style.SLIDE))
    assert [figure.get_size_inches()[0] for figure in columns] == [3.5, 3.5]
    assert [tuple(figure.get_size_inches()) for figure in slides] == [(13.333, 7.5)] * 2
    for figures, smallest in ((columns, 7), (slides, 12)):
        for figure in figures:
            (axes,) = figure.axes
            assert min(label.get_fontsize() for label in axes.get_xticklabels()) >= smallest


def test_of_very_many_set_ups_the_first_are_drawn_and_the_title_says_so():
    rows = [throughput_row("f16", "f16", engine=f"engine-{n}") for n in range(MOST_PANELS + 3)]
    drawing = draw("decode_by_depth", speeds_of(rows))
    assert len(drawing.panels) == MOST_PANELS
    assert drawing.title == f"Decode speed by depth (first {MOST_PANELS} of {MOST_PANELS + 3})"


# --- published numbers beside ours ------------------------------------------------------------------------------------

THEIRS: dict[str, Any] = {
    "source": "published:m5",
    "machine": "Apple M5",
    "engine": None,
    "engine_commit": None,
    "model_sha256": None,
}
UNKNOWN: dict[str, Any] = dict.fromkeys(
    ("effective_ctk", "effective_ctv", "tokens_per_second_stddev", "samples", "fallback")
)


def test_published_rates_of_the_same_model_are_open_markers_beside_ours():
    ours = throughput_row("q8_0", "q8_0", 0)
    theirs = throughput_row("q8_0", "q8_0", 0, tokens_per_second=57.9, **THEIRS, **UNKNOWN)
    theirs, ours = speeds_of([theirs, ours])
    figure = decode_by_depth([theirs, ours])
    (axes,) = figure.axes
    faces = {c.lines[0].get_ydata()[0]: to_hex(c.lines[0].get_markerfacecolor()) for c in axes.containers}
    assert faces == {57.9: "#ffffff", ours["tokens_per_second"]: "#0072b2"}
    assert "open: published m5, Apple M5" in legend_of(figure)


def test_published_numbers_of_another_model_stand_alone_and_last():
    rows = [throughput_row("f16", "f16", 0, **THEIRS | {"model": "another"}), throughput_row("f16", "f16", 0)]
    titles = [panel.title for panel in draw("decode_by_depth", speeds_of(rows)).panels]
    assert len(titles) == 2 and "published:m5" in titles[1]


def test_a_published_rate_is_compared_with_its_own_reference():
    rows = [throughput_row("f16", "f16", 0, rate=100.0), throughput_row("q8_0", "q8_0", 0, rate=90.0)]
    for pair, rate in (("f16", 50.0), ("q8_0", 40.0)):
        rows.append(throughput_row(pair, pair, 0, tokens_per_second=rate, **THEIRS, **UNKNOWN))
    (panel,) = draw("decode_relative", speeds_of(rows)).panels
    theirs = [point for point in panel.points if point["mark"]]
    assert [point["difference from f16, %"] for point in theirs] == [pytest.approx(-20.0)]


def test_a_pair_slower_by_factors_is_named_not_drawn():
    rates = {"f16": 100.0, "q8_0": 90.0, "f16/turbo4": 9.0}
    rows = [
        throughput_row(pair.ctk, pair.ctv, 0, rate=rate)
        for pair, rate in zip(map(Pair.parse, rates), rates.values(), strict=True)
    ]
    figure = decode_relative(speeds_of(rows))
    assert set(curves(figure.axes[0])) == {"q8_0"}
    assert "left out (slower by factors): f16/turbo4" in legend_of(figure)


def test_where_every_pair_is_slower_by_factors_that_is_said():
    rows = [throughput_row("f16", "f16", 0, rate=100.0), throughput_row("q8_0", "q8_0", 0, rate=9.0)]
    assert draw("decode_relative", speeds_of(rows)).panels == ()
    assert (
        "or only fallback cells and pairs that are slower by more than three"
        in FIGURES["decode_relative"].nothing
    )


def test_published_sizes_come_from_the_types():
    row = quality_row("turbo4", "turbo4", bits_per_value_k=None, bits_per_value_v=None, **THEIRS)
    (panel,) = draw("kld_by_bits", rows_of("quality", [row])).panels
    assert panel.points[0]["mean bits per value"] == 4.25


# --- figures of the tables of answers ---------------------------------------------------------------------------------


def test_the_heat_map_leaves_blank_what_was_not_measured():
    rows = answers()["k_or_v"].to_pylist()
    (axes,) = one_figure(draw("kld_by_k_and_v", rows)).axes
    measured = [row for row in rows if row["kld_mean"] is not None]
    assert len(measured) == len(rows) - 1 == len(axes.patches) == len(axes.texts)
    labels = [label.get_text().split() for label in axes.get_yticklabels()]
    assert [name for name, _ in labels] == ["f16", "q8_0", "q4_0"]
    assert [added for _, added in labels] == ["0", "0.0011", "0.0057"]


def test_a_cell_of_the_heat_map_that_failed_says_how():
    rows = [
        answer("k_or_v", ctk="f16", ctv=ctv, status="measured", kld_mean=kld)
        for ctv, kld in (("f16", 0.0), ("q8_0", 0.001))
    ]
    rows.append(answer("k_or_v", ctk="q8_0", ctv="q8_0", status="timeout"))
    (axes,) = one_figure(draw("kld_by_k_and_v", rows)).axes
    assert sorted(text.get_text() for text in axes.texts) == ["0", "0.001", "timeout"]


def test_memory_is_marked_by_how_the_cell_ended():
    rows = [
        answer("memory", ctk="f16", ctv="f16", depth=depth, kv_bytes=(depth + 512) * 20480, status=status)
        for depth, status in ((0, "measured"), (65536, "oom"), (131072, "skipped"), (262144, "timeout"))
    ]
    rows[1]["surprise"] = "ran out although it fits"
    figure = one_figure(draw("memory_by_depth", rows))
    assert legend_of(figure) == [
        "f16",
        "out of memory",
        "ring: ran out although it fits",
        "skipped",
        "not measured",
    ]
    markers = {
        line.get_marker(): np.asarray(line.get_ydata()).flat[0]
        for line in figure.axes[0].lines
        if line.get_linestyle() == "None" and line.get_markersize() < 14
    }
    assert markers == {m: row["kv_bytes"] / 2**30 for m, row in zip("ox|+", rows, strict=True)}


def test_memory_shows_what_weights_and_buffers_leave():
    rows = answers()["memory"].to_pylist()
    figure = one_figure(draw("memory_by_depth", rows))
    assert "what weights and compute buffers leave of the memory" in legend_of(figure)


def test_a_crossing_stands_at_its_depth_with_its_interval():
    (panel,) = draw("crossovers", answers()["crossovers"].to_pylist()).panels
    assert [point["crossing"] for point in panel.points] == ["turbo3 overtakes q8_0"]
    (axes,) = one_figure(draw("crossovers", answers()["crossovers"].to_pylist())).axes
    ((x, _, low, high),) = curves(axes)["turbo3 overtakes q8_0"]
    assert (low, x, high) == pytest.approx([depth_position(d, 8192) for d in (74_100, 78_300, 83_900)])


def test_without_a_crossing_there_is_nothing_to_draw():
    rows = [row for row in answers()["crossovers"].to_pylist() if row["depth"] is None]
    assert draw("crossovers", rows).panels == ()


def test_quality_stands_against_speed_and_beaten_pairs_are_small():
    rows = answers()["pareto"].to_pylist()
    figure = one_figure(draw("kld_by_decode", rows))
    dots = [line for line in figure.axes[0].lines if not str(line.get_label()).startswith("_")]
    sizes = {line.get_label(): line.get_markersize() for line in dots}
    assert set(sizes) == {
        "f16",
        "q8_0",
        "q8_0/turbo4",
        "turbo4",
        "q4_1",
        "turbo3",
    }  # f16/turbo4 has no decode
    assert sizes["q4_1"] < sizes["turbo4"]
    assert any("KLD 0" in text.get_text() for text in figure.axes[0].texts)


def test_published_memory_beside_ours_is_open():
    row = {"ctk": "f16", "ctv": "f16", "depth": 65536, "kv_bytes": 2**30, "status": "measured"}
    rows = [answer("memory", **row), answer("memory", **PUBLISHED, **row)]
    (axes,) = one_figure(draw("memory_by_depth", rows)).axes
    faces = [to_hex(line.get_markerfacecolor()) for line in axes.lines if line.get_marker() == "o"]
    assert sorted(faces) == ["#000000", "#ffffff"]


def test_a_dollar_sign_in_a_name_is_text(tmp_path):
    row = throughput_row("f16", "f16", model="$\\frac{$ & <b>")
    save(draw("decode_by_depth", speeds_of([row])), tmp_path, "figure")


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.5, 2000, [1, 10, 100, 1000]),
        (3, 100, [3, 10, 30, 100]),
        (14, 72, [15, 20, 30, 40, 50, 70]),
        (1.8, 23, [2, 5, 10, 20]),
        (50.5, 58, [51, 52, 53, 54, 55, 56, 57, 58]),
    ],
)
def test_logarithmic_axes_have_round_numbers(low, high, ticks):
    assert log_ticks(low, high) == pytest.approx(ticks)


# --- style ------------------------------------------------------------------------------------------------------------


def test_a_pair_looks_the_same_whichever_others_are_there():
    def looks(pairs):
        rows = [throughput_row(ctk, ctv, depth) for ctk, ctv in pairs for depth in (0, 8192)]
        (axes,) = decode_by_depth(speeds_of(rows)).axes
        return {
            c.get_label(): (
                to_hex(c.lines[0].get_color()),
                c.lines[0].get_marker(),
                c.lines[0].get_linestyle(),
            )
            for c in axes.containers
        }

    everything, few = looks(WIDE_PAIRS), looks(WIDE_PAIRS[3:5])
    assert few == {label: everything[label] for label in few}


def test_no_two_pairs_of_known_types_look_alike():
    types = sorted({name for pair in WIDE_PAIRS for name in pair} | {"f32", "bf16"})
    looks = [pair_style(ctk, ctv) for ctk in types for ctv in types]
    assert len({(look.colour, look.marker, look.dashes) for look in looks}) == len(looks)


def test_symmetric_pairs_differ_without_colour():
    markers = [pair_style(ctk, ctv).marker for ctk, ctv in WIDE_PAIRS if ctk == ctv]
    assert len(set(markers)) == len(markers)


def test_an_unknown_type_has_a_look_of_its_own_name():
    assert pair_style("q8_0", "nova5") == pair_style("q8_0", "nova5")


def test_labels_say_what_ran():
    assert pair_label("q8_0", "q8_0") == "q8_0"
    assert pair_label("q8_0", "turbo4", "q8_0", "turbo4") == "q8_0/turbo4"
    assert pair_label("turbo3", "turbo3", "q8_0", "turbo3") == "turbo3 (ran as q8_0/turbo3)"
    assert pair_label("turbo3", "turbo3", None, None) == "turbo3"


def test_pairs_stand_in_order_of_their_bits():
    assert sorted(PAPER_PAIRS, key=lambda pair: pair_order(*pair)) == [
        ("f16", "f16"),
        ("f16", "turbo4"),
        ("q8_0", "q8_0"),
        ("q8_0", "turbo4"),
        ("q8_0", "turbo3"),
        ("turbo4", "turbo4"),
        ("turbo3", "turbo3"),
    ]
