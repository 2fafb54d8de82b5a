"""Every figure of the page as an SVG file, and films of its frames, for papers, talks and documentation."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

from saltern.report import figures, snapshot
from saltern.report.data import ReportData
from saltern.store import whole_file

FILM_WIDTH = 480
"""Pixels of a film when it is first shown; figures are as large as on the page."""


def draw(data: ReportData, page: str, directory: Path) -> None:
    """Write the figures of a page and the films of its data, each named after what it shows, its level and its system.

    Args:
        data: what the page was made of.
        page: its HTML.
        directory: made if it is not there.
    """
    style = files("saltern.report").joinpath("style.css").read_text(encoding="utf-8")
    directory.mkdir(parents=True, exist_ok=True)
    for name, svg in (*_figures(page), *_films(data)):
        with whole_file(directory / f"{name}.svg") as temporary:
            temporary.write_text(_alone(svg, style), encoding="utf-8")


def _figures(page: str) -> Iterator[tuple[str, str]]:
    """Name and SVG element of every figure of a page."""
    for found in re.finditer(r'<svg class="figure"[^>]* data-name="([^"]+)".*?</svg>', page, flags=re.S):
        yield found[1], found[0]


def _films(data: ReportData) -> Iterator[tuple[str, str]]:
    """Of frames without solvent as long as there is more than one."""
    for level in data.levels:
        for shown in level.films:
            if len(shown) > 1:
                label = data.system(shown[0].system).label
                description = f"{label} ({level.name}), {shown[0].time:.0f} to {shown[-1].time:.0f} ps"
                yield f"film-{level.name}-{shown[0].system}", snapshot.film(shown, description)


def _alone(svg: str, style: str) -> str:
    """An element of the page as a file: with the styles of what is in it, and the colours of the page's light form."""
    colours = dict(re.findall(r"(--[\w-]+): ([^;]+);", style[: style.index("@media")]))
    rules = "\n".join(re.findall(r"^\.(?:figure|cellview) [^{].*$", style, flags=re.M))
    cell = 'class="cellview"' in svg
    found = re.search(r'viewBox="(\S+) (\S+) (\S+) (\S+)"', svg)
    assert found is not None
    left, top, width, height = map(float, found.groups())
    scale = FILM_WIDTH / width if cell else figures.SCALE
    head, content = re.sub(r' style="max-width:[^"]*"', "", svg).split(">", 1)
    text = (
        f'{head} xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'width="{scale * width:.0f}" height="{scale * height:.0f}" color="{colours["--ink"]}"><style>{rules}</style>'
        f'<rect x="{left:g}" y="{top:g}" width="{width:g}" height="{height:g}" '
        f'fill="{colours["--stage" if cell else "--paper"]}"/>{content}\n'
    )
    return re.sub(r"var\((--[\w-]+)\)", lambda variable: colours[variable[1]], text)
