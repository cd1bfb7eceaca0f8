"""The report as a post: the study's own tables with our numbers, then claims and advice, in GitHub-flavoured Markdown.

Nothing from the data is ever markup: `escape_markdown` escapes every value.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import jinja2
from markupsafe import Markup

from kvsweep.numbers import ABSENT
from kvsweep.report.html import TEMPLATES
from kvsweep.report.parts import Entry, Grid
from kvsweep.report.post import MOST_SET_UPS
from kvsweep.report.view import View


def escape_markdown(value: Any) -> str:
    """Text that GitHub-flavoured Markdown shows as it is, on one line; finished Markdown passes as `Markup`."""
    if isinstance(value, Markup):
        return str(value)
    text = re.sub(r"([\\`*_{}\[\]<>#|~&$])", r"\\\1", str(value))
    return " ".join(text.replace("://", ":\\//").split())


def code_block(text: str) -> Markup:
    """Lines of code for Markdown, fenced by more back ticks than they contain."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return Markup(f"{fence}\n{text}\n{fence}")  # the fence keeps it text


def markdown_table(grid: Grid) -> Markup:
    """The grid as a GitHub-flavoured table, numbers to the right, marks in words, and its notes below."""

    def shown(entry: Entry) -> str:
        note = f" ({escape_markdown(entry.note)})" if entry.note else ""
        findings = f" *{', '.join(entry.findings)}*" if entry.findings else ""
        marks = f" **{', '.join(entry.marks)}**" if entry.marks else ""
        return escape_markdown(entry.text) + note + findings + marks

    lines = [
        " | ".join(map(escape_markdown, grid.columns)),
        " | ".join([":--", *["--:" if grid.of_numbers else ":--"] * (len(grid.columns) - 1)]),
    ]
    lines += [" | ".join(map(shown, row)) for row in grid.rows]
    table = "\n".join(f"| {line} |" for line in lines)
    return Markup("\n\n".join([table, *map(escape_markdown, grid.notes)]))


def columns(grid: Grid, *places: int, notes: bool = False) -> Grid:
    """Only these columns of a table, by default without what is in small print."""
    return replace(
        grid,
        columns=tuple(grid.columns[place] for place in places),
        rows=tuple(
            tuple(row[place] if notes else replace(row[place], note="") for place in places)
            for row in grid.rows
        ),
    )


def render_markdown(view: View) -> str:
    """The post."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=False,
        finalize=escape_markdown,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    said: set[str] = set()

    def table(grid: Grid) -> Markup:
        """With the notes that no table above has said."""
        new = tuple(note for note in grid.notes if note not in said)
        said.update(new)
        return markdown_table(replace(grid, notes=new))

    environment.filters |= {"table": table, "code": code_block, "columns": columns}
    text = environment.get_template("report.md.j2").render(
        view=view, absent=ABSENT, most_set_ups=MOST_SET_UPS
    )
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"
