"""Figures as inline SVG.

matplotlib draws with stand-in colours, which become the page's CSS variables: one figure serves the light and the
dark page, and its text takes the page's font. Every figure is small, so that the page can lay them out in a grid.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from saltern.fields import FIELDS
from saltern.frames import evenly
from saltern.observables import CRYSTAL
from saltern.report.data import (
    Calibration,
    CrystalRow,
    Curve,
    Growth,
    LearningCurve,
    LikenessRow,
    MeanForceCurve,
    Parity,
    PropertyRow,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SCALE = 1.55
"""Pixels for a unit (1/72 inch) of a figure at its largest."""
SERIES = 8
"""Colours for series; the page defines --s0 to --s7."""
_INK, _MUTED, _RULE = "#010101", "#020202", "#030303"
_SHORTEST = 1.5
"""Å. No two atoms of different molecules that are not hydrogen come nearer."""
_MOST_POINTS = 240
"""Of one curve; more cannot be seen at this size."""
_HISTOGRAM_BINS = 90
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "saltern",
    "font.size": 9.5,
    "axes.linewidth": 0.7,
    "axes.edgecolor": _MUTED,
    "axes.labelcolor": _INK,
    "axes.labelsize": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "axes.titlecolor": _INK,
    "axes.titlepad": 7,
    "axes.unicode_minus": True,
    "xtick.color": _MUTED,
    "ytick.color": _MUTED,
    "xtick.labelcolor": _INK,
    "ytick.labelcolor": _INK,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "lines.linewidth": 1.4,
    "lines.solid_joinstyle": "round",
    "path.simplify": True,
    "path.simplify_threshold": 0.2,
    "axes.formatter.use_mathtext": False,
}


def radial_distributions(
    key: str,
    title: str,
    curves: Sequence[tuple[Curve, int]],
    experiment: float | None,
    teacher: Sequence[LikenessRow] = (),
) -> str:
    """g(r) of one pair with its error bands.

    Args:
        key: unique on the page.
        title: the pair.
        curves: each with the number of its colour.
        experiment: position of the first peak in Å, marked above the axis.
        teacher: what it is compared with, drawn as broken lines.
    """
    with _figure(key, _spoken_curves(title, curves)) as (axes, svg):
        axes.axhline(1, color=_RULE, linewidth=0.8, zorder=0)
        for curve, colour in curves:
            seen = np.flatnonzero(curve.r >= _SHORTEST)
            shown = seen[evenly(len(seen), _MOST_POINTS)]
            r, g, error = curve.r[shown], curve.g[shown], np.nan_to_num(curve.error[shown])
            axes.fill_between(r, g - error, g + error, color=_series(colour), alpha=0.22, linewidth=0)
            axes.plot(r, g, color=_series(colour))
        for row in teacher:
            axes.plot(row.r, row.g, color=_INK, linewidth=0.8, linestyle=(0, (4, 2)))
        if experiment is not None:
            axes.axvline(experiment, color=_INK, linewidth=0.8, linestyle=(0, (2, 2)), zorder=0)
        axes.set(title=title, xlabel="r (Å)", ylabel="g(r)", xlim=(_SHORTEST, None), ylim=(0, None))
    return svg[0]


def mean_force(key: str, title: str, curve: MeanForceCurve) -> str:
    """Potential of mean force of a pair of ions, its short-range part, and the Coulomb energy between the two.

    Args:
        key: unique on the page.
        title: the pair.
        curve: in kT.
    """
    with _figure(key, _spoken_mean_force(title, curve)) as (axes, svg):
        axes.axhline(0, color=_RULE, linewidth=0.8, zorder=0)
        for colour, values in enumerate((curve.total, curve.short_range)):
            low, high = values - curve.error, values + curve.error
            axes.fill_between(curve.r, low, high, color=_series(colour), alpha=0.22, linewidth=0)
            axes.plot(curve.r, values, color=_series(colour))
        axes.plot(curve.r, curve.coulomb, color=_INK, linewidth=0.9, linestyle=(0, (4, 2)), zorder=0)
        axes.set(title=title, xlabel="r (Å)", ylabel="energy (kT)")
    return svg[0]


def crystals(key: str, title: str, rows: Sequence[CrystalRow]) -> str:
    """Energy of crystals of a salt over the distance of touching ions.

    Args:
        key: unique on the page.
        title: the salt.
        rows: its lattices, in the order of their colours.
    """
    least = "; ".join(f"{row.lattice} {row.least.value:.1f}" for row in rows if row.least.value is not None)
    with _figure(key, f"Energies of crystals of {title}, least ones in kcal/mol: {least}") as (axes, svg):
        axes.axhline(0, color=_RULE, linewidth=0.8, zorder=0)
        for colour, row in enumerate(rows):
            low, high = row.energy - row.error, row.energy + row.error
            axes.fill_between(row.contact, low, high, color=_series(colour), alpha=0.22, linewidth=0)
            axes.plot(row.contact, row.energy, color=_series(colour))
        lowest = min(-1.0, *(float(row.energy.min()) for row in rows))
        axes.set(title=title, xlabel="distance of touching ions (Å)", ylabel="kcal/mol a pair")
        axes.set_ylim(1.15 * lowest, max(1.0, -0.5 * lowest))
    return svg[0]


def growth(key: str, title: str, found: Growth) -> str:
    """Cations in the largest crystal of each replica over time; above the broken line it counts as one.

    Replicas have a colour each, or where several members of the committee drive, each member has one.

    Args:
        key: unique on the page.
        title: the system.
        found: its replicas.
    """
    spoken = ", ".join(f"{sizes[0]} to {sizes[-1]}" for sizes in found.sizes)
    label = f"Cations in the largest crystal of {title}, from first to last frame: {spoken}"
    with _figure(key, label, width=3.8) as (axes, svg):
        axes.axhline(CRYSTAL, color=_INK, linewidth=0.8, linestyle=(0, (2, 2)), zorder=0)
        members = list(dict.fromkeys(found.drivers))
        colours = [members.index(driver) for driver in found.drivers] or range(len(found.sizes))
        for colour, sizes in zip(colours, found.sizes, strict=True):
            shown = evenly(len(sizes), _MOST_POINTS)
            axes.plot(shown * found.interval, sizes[shown], color=_series(colour), linewidth=0.9)
        axes.set(title=title, xlabel="time (ps)", ylabel="cations", xlim=(0, None), ylim=(0, None))
        if members:  # their names stand above the curves
            axes.set_ylim(top=1.15 * axes.get_ylim()[1])
        for colour, member in enumerate(members):
            place = (colour + 0.5) / len(members), 0.99
            axes.annotate(member, place, xycoords="axes fraction", ha="center", va="top", color=_series(colour))
    return svg[0]


def force_parity(key: str, parities: Sequence[Parity]) -> str:
    """Predicted against reference force components, as a density: thousands of points would only be a blot."""
    reference = np.concatenate([p.reference for p in parities])
    predicted = np.concatenate([p.predicted for p in parities])
    limit = 1.02 * float(max(np.abs(reference).max(), np.abs(predicted).max()))
    counts, _, _ = np.histogram2d(predicted, reference, bins=_HISTOGRAM_BINS, range=[[-limit, limit]] * 2)
    shade = np.zeros((*counts.shape, 4))
    shade[..., :3] = np.array([0x2A, 0x7F, 0xB8]) / 255
    seen = counts > 0
    shade[seen, 3] = 0.35 + 0.65 * np.log1p(counts[seen]) / np.log1p(counts.max())
    label = f"{len(reference)} force components of the held-out frames, predicted against reference"
    with _figure(key, label, width=3.3, height=3.1) as (axes, svg):
        axes.imshow(shade, origin="lower", extent=(-limit, limit, -limit, limit), interpolation="none")
        axes.axline((0, 0), slope=1, color=_INK, linewidth=0.7, linestyle=(0, (2, 2)))
        unit = FIELDS["forces"].unit
        axes.set(title="Force components", xlabel=f"reference ({unit})", ylabel=f"predicted ({unit})")
    return svg[0]


def force_errors(key: str, parities: Sequence[Parity]) -> str:
    """Share of force components whose error exceeds a threshold, by element."""
    label = "Share of force components with an error larger than a threshold: " + ", ".join(p.group for p in parities)
    with _figure(key, label, width=3.3, height=3.1) as (axes, svg):
        for colour, parity in enumerate(parities):
            errors = np.sort(np.abs(parity.predicted - parity.reference))[::-1]
            share = np.arange(1, len(errors) + 1) / len(errors)
            chosen = np.unique(np.geomspace(1, len(errors), 120).astype(int)) - 1
            axes.loglog(1000 * errors[chosen], share[chosen], color=_series(colour))
        axes.set_xlim(left=1e-3 * axes.get_xlim()[1])
        unit = f"m{FIELDS['forces'].unit}"
        axes.set(
            title="Force errors by element", xlabel=f"error of a component ({unit})", ylabel="share with a larger error"
        )
        _plain_logs(axes)
    return svg[0]


def energy_parity(key: str, parities: Sequence[tuple[Parity, int]]) -> str:
    """Predicted against reference energies, each relative to its system's mean, with the number of its colour."""
    label = "Energies of the held-out frames, predicted against reference, relative to each system's mean"
    with _figure(key, label, width=3.3, height=3.1) as (axes, svg):
        for parity, colour in parities:
            axes.plot(
                1000 * parity.reference, 1000 * parity.predicted, "o", markersize=3.2, alpha=0.8,
                markeredgewidth=0, color=_series(colour),
            )  # fmt: skip
        axes.axline((0, 0), slope=1, color=_INK, linewidth=0.7, linestyle=(0, (2, 2)))
        axes.set_aspect("equal", adjustable="datalim")
        axes.set(title="Energies", xlabel="reference (meV/atom)", ylabel="predicted (meV/atom)")
    return svg[0]


def learning_curves(key: str, members: Sequence[LearningCurve]) -> str:
    """Force error on the validation frames as training went on."""
    with _figure(key, f"Validation force error of {len(members)} committee members", width=3.3, height=3.1) as (
        axes,
        svg,
    ):
        for colour, member in enumerate(members):
            axes.semilogy(member.epochs, 1000 * member.force_error, color=_series(colour), linewidth=1.1)
        unit = f"m{FIELDS['forces'].unit}"
        axes.set(title="Learning curves", xlabel="epoch", ylabel=f"validation force RMSE ({unit})")
        _plain_logs(axes)
    return svg[0]


def calibration(key: str, found: Calibration) -> str:
    """Error against spread of tenths of the atoms; on the dashed line the spread is the error."""
    spreads = np.array([spread for spread, _ in found.bins])
    errors = np.array([error.value for _, error in found.bins], dtype=np.float64)
    bars = np.nan_to_num(np.array([error.error or 0.0 for _, error in found.bins]))
    label = f"Force error against the committee's spread, {len(spreads)} groups of atoms; the dashed line is equality"
    with _figure(key, label, width=3.3, height=3.1) as (axes, svg):
        axes.axline((spreads[0], spreads[0]), slope=1, color=_INK, linewidth=0.7, linestyle=(0, (2, 2)))
        if found.factor.value is not None:
            axes.plot(spreads, found.factor.value * spreads, color=_series(1), linewidth=1.1)
        # a bar that reaches below zero has no lower end on this axis
        low = np.minimum(bars, 0.9 * errors)
        axes.errorbar(spreads, errors, yerr=[low, bars], fmt="o", markersize=4.6, color=_series(0), elinewidth=1.2)
        axes.set(xscale="log", yscale="log")
        unit = f"m{FIELDS['forces'].unit}"
        axes.set(title="Error against spread", xlabel=f"committee spread ({unit})", ylabel=f"force RMSE ({unit})")
        _plain_logs(axes)
    return svg[0]


def comparison(key: str, title: str, unit: str, rows: Sequence[tuple[str, PropertyRow]]) -> str:
    """One property of one species over systems: simulated values as dots, experiment as diamonds.

    Dots are hollow where the number is not to be believed.
    """
    height = 0.62 + 0.22 * max(len(rows), 2)
    label = f"{title}: " + "; ".join(_spoken_row(name, row) for name, row in rows)
    with _figure(key, label, width=3.4, height=height, left=1.35) as (axes, svg):
        for position, (_, row) in enumerate(rows):
            face = _series(0) if row.believed else "none"
            assert row.value.value is not None
            axes.errorbar(
                row.value.value, position, xerr=row.value.error, fmt="o", markersize=4.6, color=_series(0),
                markerfacecolor=face, elinewidth=1.2,
            )  # fmt: skip
            if row.experiment is not None:
                axes.errorbar(
                    row.experiment.value, position, xerr=row.experiment.uncertainty, fmt="D", markersize=5.4,
                    color=_series(1), markerfacecolor="none", elinewidth=1,
                )  # fmt: skip
        axes.set_yticks(range(len(rows)), [name for name, _ in rows])
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="y", color=_RULE, linewidth=0.6)
        axes.set_axisbelow(True)
        axes.set(title=title, xlabel=unit)
    return svg[0]


def by_temperature(
    key: str, title: str, unit: str, lines: Sequence[tuple[Sequence[tuple[float, PropertyRow]], int]]
) -> str:
    """One property of one species against temperature; hollow where it is not to be believed.

    Args:
        key: unique on the page.
        title: the property.
        unit: of its axis.
        lines: for each electrolyte temperatures (K), ascending, with what was found, and the number of its colour.
    """
    spoken = "; ".join(_spoken_row(f"{kelvin:g} K", row) for rows, _ in lines for kelvin, row in rows)
    with _figure(key, f"{title} against temperature: {spoken}") as (axes, svg):
        for rows, colour in lines:
            values = np.array([row.value.value for _, row in rows], dtype=np.float64)
            axes.plot([kelvin for kelvin, _ in rows], values, color=_series(colour), linewidth=0.8, alpha=0.6)
            for kelvin, row in rows:
                assert row.value.value is not None
                axes.errorbar(
                    kelvin, row.value.value, yerr=row.value.error, fmt="o", markersize=4.6, color=_series(colour),
                    markerfacecolor=_series(colour) if row.believed else "none", elinewidth=1.2,
                )  # fmt: skip
                if row.experiment is not None:
                    axes.plot(kelvin, row.experiment.value, "D", color=_series(colour), markerfacecolor="none")
        axes.set(title=title, xlabel="temperature (K)", ylabel=unit)
    return svg[0]


@contextmanager
def _figure(
    key: str, label: str, width: float = 3.3, height: float = 2.3, left: float = 0.58
) -> Iterator[tuple[Axes, list[str]]]:
    """A figure of one set of axes with margins in inches; the list holds its SVG once the block ends."""
    import matplotlib
    from matplotlib.figure import Figure

    svg: list[str] = []
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        figure = Figure(figsize=(width, height))
        axes = figure.add_axes((left / width, 0.46 / height, 1 - (left + 0.1) / width, 1 - 0.78 / height))
        yield axes, svg
        stream = io.StringIO()
        figure.savefig(stream, format="svg", transparent=True)
    svg.append(_inline(stream.getvalue(), key, label))


def _inline(svg: str, key: str, label: str) -> str:
    """Matplotlib's file as an element of the page: page colours, unique ids, short numbers, spoken label."""
    svg = svg[svg.index("<svg") :]
    size = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)
    assert size is not None
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.S)
    svg = re.sub(r"<!--.*?-->", "", svg, flags=re.S)
    # it would hold for the whole page; style.css has it for figures
    svg = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", svg, flags=re.S)
    svg = re.sub(r'id="[A-Za-z0-9]+_\d+"', "", svg)
    svg = re.sub(r'(id="|url\(#|href="#)', rf"\g<1>{key}-", svg)
    svg = re.sub(r"<[^>]*>", lambda tag: re.sub(r"(\d\.\d\d)\d+", r"\1", tag[0]), svg)
    svg = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", svg)
    for stand_in, colour in ((_INK, "currentColor"), (_MUTED, "var(--muted)"), (_RULE, "var(--rule)")):
        svg = svg.replace(stand_in, colour)
    for number in range(SERIES):
        svg = svg.replace(_series(number), f"var(--s{number})")
    width, height = (float(text) for text in size.groups())
    head = (
        f'<svg class="figure" role="img" data-name="{escape(key)}" aria-label="{escape(label)}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" style="max-width:{SCALE * width:.0f}px">'
    )
    return re.sub(r"\s*\n\s*", "\n", head + svg[svg.index(">") + 1 :])


def _series(number: int) -> str:
    """Stand-in for the page's colour of that number; the colours repeat."""
    return f"#04040{number % SERIES}"


def _plain_logs(axes: Axes) -> None:
    """1, 10, 100 on logarithmic axes instead of powers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    for axis, scale in ((axes.xaxis, axes.get_xscale()), (axes.yaxis, axes.get_yscale())):
        if scale == "log":
            low, high = axis.get_view_interval()
            axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 100 * low else (1,)))
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axis.set_minor_formatter(NullFormatter())


def _spoken_curves(title: str, curves: Sequence[tuple[Curve, int]]) -> str:
    tops = [f"{c.g.max():.2f} at {c.r[c.g.argmax()]:.2f} Å" for c, _ in curves if len(c.r)]
    return f"Radial distribution function {title}; largest value {', '.join(tops)}"


def _spoken_mean_force(title: str, curve: MeanForceCurve) -> str:
    least = curve.short_range.argmin()
    place = f"{curve.short_range[least]:.2f} kT at {curve.r[least]:.2f} Å"
    return f"Potential of mean force {title}; smallest value of its short-range part {place}"


def _spoken_row(name: str, row: PropertyRow) -> str:
    experiment = f", experiment {row.experiment.value:g}" if row.experiment else ""
    return f"{name} {row.value.value:.3g}{experiment}"
