"""Page and post are one report: what stands in both is the same number with the same error."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
import recorded_study
from kvsweep.analysis.advice import advice
from kvsweep.analysis.bandwidth import bandwidth
from kvsweep.analysis.crossovers import crossovers
from kvsweep.analysis.head_to_head import head_to_head
from kvsweep.analysis.pareto import pareto
from kvsweep.analysis.schemas import ANALYSIS
from kvsweep.analysis.speed import over_rounds
from kvsweep.report.html import render_html
from kvsweep.report.markdown import render_markdown
from kvsweep.report.view import View, view_of
from kvsweep.study.config import parse_workloads
from kvsweep.tables.schemas import TABLES
from synthetic_analysis import answers_of, speed_of
from synthetic_tables import in_rounds, table_of

Cells = dict[tuple[str, ...], str]  # the text of a table's field by what it is about


def recorded(n_rounds: int) -> dict[str, Any]:
    """The recorded study's tables with the claims of the published ones; its speeds, and what is made of them, in so
    many rounds."""
    rows = recorded_study.read(recorded_study.EXPECTED)
    rows["claims"] = recorded_study.read(recorded_study.PUBLISHED)["claims"]
    for row in [row for table in rows.values() for row in table]:
        row |= {name: datetime.fromisoformat(row[name] + "+00:00") for name in ("started_at",) if name in row}
    throughput = table_of("throughput", rows["throughput"]).to_pylist()
    rows["throughput"] = in_rounds(throughput, n_rounds, between=0.05)
    rows |= speed_of(rows["throughput"])
    over = over_rounds(rows["throughput"])
    scored, models = (table_of(name, rows[name]).to_pylist() for name in ("quality", "models"))
    workloads = parse_workloads(recorded_study.WORKLOADS).values()
    memory = answers_of("memory", rows["memory"]).to_pylist()
    rows |= {
        "advice": advice(over, scored, models, workloads),
        "pareto": pareto(over, scored, models),
        "head_to_head": head_to_head(over, scored, models),
        "crossovers": crossovers(over),
        "bandwidth": list(bandwidth(over, memory, {"AMD EPYC 2 cores": 40.0})),
    }
    return {name: table_of(name, rows.get(name, [])) for name in TABLES} | {
        name: answers_of(name, rows.get(name, [])) for name in ANALYSIS
    }


@pytest.fixture(scope="module", params=[1, 3], ids=["one round", "three rounds"])
def report(request: pytest.FixtureRequest) -> tuple[str, str]:
    view = view_of(recorded(request.param))
    return render_html(view, []), render_markdown(view)


def plain(text: str) -> str:
    """Without markup and brackets, as one line: `(1.0 ± 0.5)e−6` and what a note adds stand alike in both."""
    text = html.unescape(re.sub(r"<[^>]+>", " ", text)).replace("\\", "").replace("**", "")
    return " ".join(re.sub(r"\((±[^)]*|95 %[^)]*)\)", r"\1", text).split())


def of_page(page: str) -> Iterator[tuple[str, str, list[str], list[str]]]:
    """(Set-up, caption, columns, fields) of each line of each table."""
    title = caption = ""
    columns: list[str] = []
    for found in re.finditer(
        r'<summary>(?P<title>.*?)</summary>|<p class="caption">(?P<caption>.*?)</p>'
        r"|<thead>(?P<columns>.*?)</thead>|<tr>(?P<line><th scope=\"row\">.*?)</tr>",
        page,
        re.DOTALL,
    ):
        title, caption = found["title"] or title, found["caption"] or caption
        if found["columns"]:
            columns = [plain(one) for one in re.findall(r"<th.*?</th>", found["columns"])]
        if found["line"]:
            fields = re.findall(r"<t[hd].*?</t[hd]>", found["line"], re.DOTALL)
            yield plain(title), plain(caption), columns, [plain(field) for field in fields]


def of_post(post: str) -> Iterator[tuple[str, list[str], list[str]]]:
    """(Caption, columns, fields) of each line of each table."""
    for caption, table in re.findall(r"^\*\*(.*)\*\*.*\n\n((?:\|.*\n)+)", post, re.MULTILINE):
        columns, _, *lines = (
            [plain(field) for field in re.split(r"(?<!\\)\|", line)[1:-1]] for line in table.splitlines()
        )
        for line in lines:
            yield plain(caption), columns, line


def value_and_error(text: str) -> tuple[float, str]:
    """`1.5494 ± 0.029` is 1.549 ± 0.029 with a digit more, which a perplexity has in the post."""
    value, _, error = text.removesuffix(" %").partition(" ± ")
    return float(value.replace(",", "").replace("−", "-")), error


def test_every_quality_is_the_same(report: tuple[str, str]) -> None:
    page, post = report
    of_column = {
        "PPL": "PPL",
        "Δ ln PPL": "ln PPL ratio",
        "mean KL vs f16": "mean KLD, nats",
        "same top-1": "same top-1, %",
    }
    there: Cells = {}
    for title, caption, columns, fields in of_page(page):
        if caption == "Perplexity, divergence, agreement":
            for column, field in zip(columns, fields, strict=True):
                shown = re.sub(r" (no difference shown|at the floor)", "", field)
                context = re.search(r"context (\d+)", title)
                assert context, title
                there[context[1], fields[0].removesuffix(" (control)"), column] = shown
    seen = 0
    for caption, columns, (pair, *fields) in of_post(post):
        context = re.match(r"Quality, context (\d+)", caption)
        for column, field in zip(columns[1:], fields, strict=True) if context else ():
            assert context
            on_page = there[context[1], pair, of_column[column]]
            if column == "PPL":
                (ours, our_error), (theirs, error) = value_and_error(field), value_and_error(on_page)
                assert ours == pytest.approx(theirs, abs=5e-4) and our_error == error
            elif field not in ("baseline", "n/a"):
                assert field.replace(" %", "") == on_page
            seen += 1
    assert seen == 4 * len(recorded_study.PAIRS) * len(recorded_study.CONTEXTS)


def test_every_speed_is_the_same(report: tuple[str, str]) -> None:
    page, post = report
    there: Cells = {}
    for _, caption, columns, (pair, *fields) in of_page(page):
        phase = re.match(r"(Prefill|Decode) .*: tokens/s$", caption)
        for depth, field in zip(columns[1:], fields, strict=True) if phase else ():
            assert phase
            there[phase[1], pair, depth] = field
    seen = set()
    for caption, columns, (first, *fields) in of_post(post):
        row_of_depth = re.match(r"The (\S+) row", caption)
        for column, field in zip(columns[1:], fields, strict=True):
            if row_of_depth:
                cell = ("Prefill" if column.startswith("pp") else "Decode", first, row_of_depth[1])
            elif caption.startswith("Decode"):
                cell = ("Decode", column, first)
            else:
                continue
            assert field == there[cell] and "±" in field
            seen.add(cell)
    assert len(seen) == len(recorded_study.PAIRS) * (len(recorded_study.DEPTHS) + 1)


def test_what_an_error_is_stands_once_in_the_post(report: tuple[str, str]) -> None:
    lines = [line for line in report[1].splitlines() if "95 % interval" in line and not line.startswith("|")]
    assert lines and len(lines) == len(set(lines))


def test_claims_and_advice_say_the_same(report: tuple[str, str]) -> None:
    page, post = report
    lines = {tuple(fields[:2]): fields for _, caption, _, fields in of_page(page) if fields[0].isdigit()}
    claims = [fields for _, columns, fields in of_post(post) if columns[0] == "no."]
    assert len(claims) == 13
    for fields in claims:
        shown = lines[fields[0], fields[1]]
        assert [re.sub("[()]", "", field) for field in fields] == [
            re.sub("[()]", "", field) for field in shown[: len(fields)]
        ]
    text = plain(page)
    advice = plain(post.split("## Advice")[1].split("## Before")[0].replace("\n- ", "\n"))
    numbers = re.findall(r"[\d.,]*\d(?: \[[\d., ]+\])?(?: [a-zA-Z%]+)", advice)
    assert numbers and [number for number in numbers if number not in text] == []


# --- every number with its error ----------------------------------------------------------------------------

# Columns of what is counted, logged, computed without an error, or asked for; and of a statement its own sentences.
WITHOUT_ERROR = re.compile(
    r"bits|memory|deepest|ran out at|windows|pairs|overtakes|between measured|in \S+ \w+iB|from depth to depth"
    r"|statement|expected|tolerance|how it was decided|verdict|KV cache|depth, tokens|no\."
)
NO_ERROR_IN = re.compile(r"KV cache by depth|Largest context|Models|What the machines were|Statements")
MEASURED = r"[\d.]+(?:e−\d+)?(?P<ends> \[[^]]+\])? ?(?:nats|s a request|% (?P<after>\S+))"
INTERVAL = re.compile(r"±|\[|\d to \d|error unknown|at least")


@pytest.fixture(scope="module")
def sure() -> tuple[View, str, str]:
    """Of three rounds, each of which is known with its error."""
    view = view_of(recorded(3))
    return view, render_html(view, []), render_markdown(view)


def test_every_measured_number_of_every_table_has_its_error(sure: tuple[View, str, str]) -> None:
    _, page, post = sure
    tables = [(caption, columns, fields) for _, caption, columns, fields in of_page(page)]
    tables += [one for one in of_post(post) if "published" not in one[0]]
    seen = 0
    for caption, columns, fields in tables:
        for column, field in zip(columns[1:], fields[1:], strict=True):
            if NO_ERROR_IN.match(caption) or WITHOUT_ERROR.search(column) or not re.search(r"\d", field):
                continue
            if column == "at depth, tokens":  # its interval is the next column
                field = fields[columns.index("95 % interval")]
            if column == "why" and " s a request" not in field:
                continue  # of the longest context: depths that were measured
            assert INTERVAL.search(field), (caption, column, field)
            seen += 1
    assert seen > 200


def test_every_measured_number_of_the_first_screen_has_its_error(sure: tuple[View, str, str]) -> None:
    """What is compared, scored or timed stands with both ends of its interval; sizes and limits have none."""
    view, page, post = sure
    (of_set_up,) = [one for one in view.answers if one.sentences]
    said = [
        *of_set_up.sentences,
        *(f"{one.figures}. {one.why}. {one.would_change}" for one in of_set_up.workloads),
    ]
    seen = 0
    for sentence in said:
        for page_or_post in (page, post):
            assert all(plain(part) in plain(page_or_post) for part in sentence.split(". ") if part)
        exact = re.sub(r"\S+ % of f16's cache|\S+ bits per value|has to be (?:below|above) \S+", "", sentence)
        for number in re.finditer(
            r"[\d.]+(?:e−\d+)?(?P<ends> \[[^]]+\])? ?(?:nats|s a request|% (?P<after>\S+))", exact
        ):
            assert number["ends"] or (number["after"] or "").startswith("["), number[0]
            seen += 1
    assert seen >= 9
