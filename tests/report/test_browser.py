"""The report in a real browser: Debian's chromium, opened from file: as a reader opens it."""

import json
import os
import re
import shutil
from typing import Any

import pytest
from kvsweep.analysis.schemas import ANALYSIS
from kvsweep.report.figures import read_figures
from kvsweep.report.html import render_html
from kvsweep.report.view import view_of
from kvsweep.tables.schemas import TABLES
from playwright.sync_api import expect, sync_playwright
from synthetic_analysis import answers, answers_of, draw_figures
from synthetic_tables import (
    PAPER_DEPTHS,
    engine_row,
    model_row,
    quality_row,
    study,
    table_of,
    throughput_row,
    unmeasured,
)

HOSTILE = "<img src=x onerror=alert(1)></script><script>alert(2)</script>&\"'`${3}"


@pytest.fixture(scope="module")
def browser():
    """Without a browser the tests are skipped by name, but in CI they fail."""
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        if os.environ.get("CI") == "true":
            pytest.fail("no chromium found; install it, or run without CI=true")
        pytest.skip("no chromium found: the report is not tested in a browser")
    with sync_playwright() as playwright:
        # The sandbox needs rights that a container does not give to root.
        started = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield started
        started.close()


def write_report(folder, tables):
    """The page of these tables with its figures, as the workflow makes it."""
    folder.mkdir(exist_ok=True)
    tables = (
        {name: answers_of(name, []) for name in ANALYSIS}
        | {name: table_of(name, []) for name in TABLES}
        | tables
    )
    draw_figures(tables, folder)
    page = folder / "report.html"
    page.write_text(render_html(view_of(tables), read_figures(folder)), encoding="utf-8")
    return page


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    return write_report(tmp_path_factory.mktemp("report"), study() | answers())


class Visit:
    """A page that was opened, and all that it complained of or asked for."""

    def __init__(self, browser, path, **look):
        self.page = browser.new_page(**look)
        self.page.set_default_timeout(10_000)
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: self.complaints.append(dialog.message))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.address = path.as_uri()
        self.page.goto(self.address)

    def texts(self, selector):
        # Not the inner text: what is far from the window is not laid out until it comes near.
        return [" ".join(text.split()) for text in self.page.locator(selector).all_text_contents()]

    def filter(self, section, words):
        self.page.locator(f"{section} .filter input").fill(words)
        told = expect(self.page.locator(f"{section} .filter output"))
        told.to_have_text(re.compile("of .* rows")) if words else told.to_have_text("")


@pytest.fixture
def visit(browser, report):
    visited = Visit(browser, report, viewport={"width": 1400, "height": 900})
    yield visited
    assert visited.complaints == []
    assert visited.requests == [visited.address]
    visited.page.close()


def test_it_opens_without_an_error_or_a_request(visit):
    assert visit.texts("h1") == ["KV-cache quantization in llama.cpp"]
    assert visit.page.locator("h2").first.inner_text() == "The answer"


# --- tables -----------------------------------------------------------------------------------------------------------


def column(visit, head, section="#quality"):
    """The texts of a column of the section's first table of a set-up, in the rows that are shown."""
    table = f"{section} .set-up table"
    n = visit.texts(f"{table} >> nth=0 >> thead th").index(head) + 1
    return visit.page.locator(f"{table} >> nth=0 >> tbody tr:not([hidden]) > :nth-child({n})").evaluate_all(
        "cells => cells.map(cell => cell.firstChild.textContent.trim())"
    )


def click_head(visit, head, section="#quality"):
    heads = visit.page.locator(f"{section} .set-up table >> nth=0 >> thead button")
    heads.filter(has_text=re.compile(f"^{re.escape(head)}$")).click()


def test_a_head_sorts_up_then_down_then_as_it_was(visit):
    def klds():
        return [re.split(r" [±[]", text)[0] for text in column(visit, "mean KLD, nats")]

    before = klds()
    click_head(visit, "mean KLD, nats")
    up = klds()
    click_head(visit, "mean KLD, nats")
    down = klds()
    click_head(visit, "mean KLD, nats")
    # The control's is written with a power of ten apart; what is not known comes last both times.
    assert up[0] == down[-2] == "(0.3" and up[-1] == down[-1] == "–"
    numbers = [float(text) for text in up[1:-1]]
    assert numbers == sorted(numbers) and [float(text) for text in down[:-2]] == numbers[::-1]
    assert klds() == before


def test_sorting_is_told_to_those_who_cannot_see_it(visit):
    click_head(visit, "PPL")
    head = visit.page.locator("#quality .set-up th[aria-sort]")
    assert head.all_text_contents() == ["PPL"] and head.get_attribute("aria-sort") == "ascending"


def test_sorting_works_with_the_keyboard(visit):
    visit.page.locator("#quality .set-up thead button").nth(1).focus()
    visit.page.keyboard.press("Enter")
    assert visit.page.locator("#quality .set-up th[aria-sort=ascending]").count() == 1


def test_depths_sort_by_their_numbers(visit):
    click_head(visit, "64K", "#speed")
    rates = [float(text.split(" ±")[0]) for text in column(visit, "64K", "#speed") if "±" in text]
    assert rates == sorted(rates) and len(rates) > 3


def test_a_filter_leaves_the_rows_that_have_all_its_words(visit):
    everything = column(visit, "pair")
    rows = visit.page.locator("#quality .set-up tbody tr").count()  # of all tables of the section
    visit.filter("#quality", "q8_0 TURBO")
    assert column(visit, "pair") == ["q8_0/turbo4", "q8_0/turbo3", "turbo3 (ran as q8_0/turbo3)"]
    assert visit.texts("#quality .filter output") == [f"3 of {rows} rows"]
    visit.filter("#quality", "")
    assert column(visit, "pair") == everything


def test_a_filter_knows_the_set_up_and_folds_away_what_has_no_row(visit):
    visit.filter("#cells", "throughput oom")
    titles = visit.texts("#cells .set-up:not([hidden]) > summary")
    assert len(titles) == 1 and titles[0].startswith("Throughput:")
    statuses = visit.texts("#cells .set-up:not([hidden]) tbody tr:not([hidden])")
    assert statuses and all("oom" in row for row in statuses)


# --- the grid of cells ------------------------------------------------------------------------------------------------


def test_a_click_opens_the_evidence_of_a_cell(visit):
    visit.page.locator("#cells td.un button").first.click()
    dialog = visit.page.get_by_role("dialog")
    text = dialog.inner_text()
    assert dialog.get_by_role("heading").inner_text() == "f16 at depth 256K"
    assert "oom: the device had no memory for the compute buffers" in text
    assert "ggml_metal_graph_compute: command buffer 1 failed with status 5" in text
    assert "llama-bench -m model.gguf -p 512 -n 128 -d 262144 -ctk f16 -ctv f16 -fa 1" in text
    dialog.get_by_role("button", name="Close").click()
    assert not dialog.is_visible()


def test_the_keyboard_moves_through_the_grid_opens_and_closes(visit):
    visit.page.locator("#cells table.status td button[tabindex='0']").first.focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowDown", "ArrowDown", "ArrowLeft"):
        visit.page.keyboard.press(key)
    visit.page.keyboard.press("Enter")
    dialog = visit.page.get_by_role("dialog")
    assert dialog.get_by_role("heading").inner_text() == "q8_0 at depth 8K"
    visit.page.keyboard.press("Escape")
    assert not dialog.is_visible()
    # Focus is back where it was, and the grid still takes one step of the Tab key.
    assert visit.page.evaluate("document.activeElement.closest('tr').cells[0].textContent.trim()") == "q8_0"
    assert visit.page.locator("#cells table.status").first.locator("button[tabindex='0']").count() == 1


def test_a_cell_has_an_address_of_its_own(browser, report):
    visited = Visit(browser, report)
    visited.page.goto(f"{report.as_uri()}#cell-1")
    assert visited.page.get_by_role("dialog").get_by_role("heading").inner_text() == "f16 at depth 8K"
    visited.page.close()


# --- looks ------------------------------------------------------------------------------------------------------------

TOO_WIDE = """
[...document.querySelectorAll('body *')]
  .filter(e => !e.closest('svg') && !e.parentElement.closest('.scroll') && e.getClientRects().length)
  .filter(e => e.getBoundingClientRect().right > innerWidth + 0.5)
  .map(e => e.tagName + '.' + e.className)
"""


@pytest.mark.parametrize("width", [360, 1400])
def test_nothing_overflows(browser, report, width):
    visited = Visit(browser, report, viewport={"width": width, "height": 800})
    visited.page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    visited.page.evaluate(
        "document.querySelectorAll('.set-up').forEach(e => { e.style.contentVisibility = 'visible'; })"
    )
    assert visited.page.evaluate("document.documentElement.scrollWidth") == width
    assert visited.page.evaluate(TOO_WIDE) == []
    visited.page.locator("#cells td.un button").first.click()
    box = visited.page.get_by_role("dialog").bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= width
    visited.page.close()


def luminance(colour):
    """WCAG 2.2, relative luminance, of `rgb(r, g, b)`."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize(("scheme", "paper"), [("light", "rgb(255, 255, 255)"), ("dark", "rgb(22, 22, 24)")])
def test_light_and_dark_are_both_readable(browser, report, scheme, paper):
    visited = Visit(browser, report, color_scheme=scheme)
    style = "(e, name) => getComputedStyle(e)[name]"
    assert visited.page.locator("body").evaluate(style, "backgroundColor") == paper
    for selector in ("body", "a", ".note", ".count", ".request", "td.un", ".warnings h2"):
        assert contrast(visited.page.locator(selector).first.evaluate(style, "color"), paper) >= 4.5, selector
    # Letters and lines of the figures follow; no drawn colour sinks into the paper.
    strokes = visited.page.evaluate(
        """[...new Set([...document.querySelectorAll('figure svg *')]
           .flatMap(e => [getComputedStyle(e).stroke, getComputedStyle(e).fill]))]"""
    )
    assert len(strokes) > 8
    letters = visited.page.locator("figure svg use").first.evaluate(style, "fill")
    assert contrast(letters, paper) > 7
    assert visited.complaints == []
    visited.page.close()


def test_paper_shows_every_set_up_and_no_form(browser, report):
    visited = Visit(browser, report, color_scheme="dark")
    visited.page.emulate_media(media="print")
    visited.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert visited.page.locator(".set-up:not([open])").count() == 0
    assert (
        visited.page.locator("body").evaluate("e => getComputedStyle(e).backgroundColor")
        == "rgb(255, 255, 255)"
    )
    assert not visited.page.locator(".filter").first.is_visible()
    # What is left out is said.
    assert not visited.page.locator("#cells").is_visible() and not visited.page.locator("#duels").is_visible()
    assert "every cell are in the page" in visited.page.locator(".on-paper").inner_text()
    visited.page.close()


def test_a_report_of_twelve_cells_is_twelve_printed_pages_at_most(browser, tmp_path):
    """With every figure, and each table of a few rows."""
    pairs = (("f16", "f16"), ("q8_0", "q8_0"), ("q4_0", "q4_0"), ("q8_0", "q4_0"))
    speeds = [
        throughput_row(*pair, depth, phase, rate)
        for pair in pairs
        for depth in (0, 1024)
        for phase, rate in (("prefill", 900.0), ("decode", 40.0 - depth / 100))
    ]
    scores = [quality_row(*pair, 0.001 * place) for place, pair in enumerate(pairs)]
    tables = {"throughput": table_of("throughput", speeds), "quality": table_of("quality", scores)}
    visited = Visit(browser, write_report(tmp_path / "twelve", tables))
    printed = visited.page.pdf(format="A4")
    assert 3 <= len(re.findall(rb"/Type\s*/Page[^s]", printed)) <= 12
    visited.page.close()


# --- data is never markup ---------------------------------------------------------------------------------------------


def test_hostile_names_stay_text(browser, tmp_path):
    named: dict[str, Any] = {"engine": HOSTILE, "model": HOSTILE, "machine": HOSTILE}
    failed = unmeasured(throughput_row(HOSTILE, "f16", PAPER_DEPTHS[1], **named), "oom", HOSTILE, HOSTILE)
    tables = {
        "throughput": table_of(
            "throughput", [throughput_row(HOSTILE, "f16", command=HOSTILE, **named), failed]
        ),
        "quality": table_of("quality", [quality_row("f16", HOSTILE, corpus=HOSTILE, **named)]),
        "engines": table_of("engines", [engine_row(HOSTILE, source=HOSTILE, files=[HOSTILE])]),
        "models": table_of("models", [model_row(HOSTILE, file_name=HOSTILE)]),
    }
    visited = Visit(browser, write_report(tmp_path / "hostile", tables))
    assert visited.page.locator("script").count() == 2
    assert visited.page.locator("img").count() == 0
    visited.page.locator("#cells td.un button").first.click()
    text = visited.page.get_by_role("dialog").inner_text()
    assert text.count(HOSTILE) >= 3  # pair and set-up, reason, log line
    assert visited.page.locator("dialog img, dialog script").count() == 0
    assert visited.complaints == []
    assert visited.requests == [visited.address]
    visited.page.close()


def test_a_script_that_is_not_the_pages_own_cannot_run(browser, report, tmp_path):
    """The page's policy is a second wall: even markup that got in would not run, nor load anything."""
    tampered = tmp_path / "tampered.html"
    inserted = "<script>document.title = 'ran'</script><img src='https://example.org/x.png'>"
    tampered.write_text(
        report.read_text(encoding="utf-8").replace("<main>", f"<main>{inserted}"), encoding="utf-8"
    )
    visited = Visit(browser, tampered)
    assert visited.page.title() != "ran"
    assert len(visited.complaints) == 2 and all(
        "Content Security Policy" in text for text in visited.complaints
    )
    visited.page.close()


def test_a_page_without_any_data_opens(browser, tmp_path):
    empty = {name: table_of(name, []) for name in TABLES}
    visited = Visit(browser, write_report(tmp_path / "empty", empty))
    assert visited.complaints == []
    assert visited.page.locator("svg").count() == 0
    assert json.loads(visited.page.locator("#evidence").text_content()) == {"texts": [], "cells": []}
    visited.page.close()
