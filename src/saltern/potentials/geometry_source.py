"""The text of the kernels that find harmonics of directions and factors of splines from the vectors of pairs, in C.

With u the direction, r the length and t the place between two knots of a vector v, harmonics y(u) are polynomials, and
so are the factors f(t). `values` finds both; `pull` is their derivative's transpose, from an energy's derivatives by y
and f to that by v; `push` is their derivative along a tangent of v, which is what `pull` gives when it is
differentiated by what it is linear in.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

Polynomial = Mapping[str, float]
"""Coefficients by monomial, such as 'xxz'; the constant is ''."""

A, B, C, D = math.sqrt(35 / 8), math.sqrt(105), math.sqrt(21 / 8), math.sqrt(7) / 2
HARMONICS: tuple[Polynomial, ...] = (
    {"": 1},
    *({axis: math.sqrt(3)} for axis in "xyz"),
    {"xy": math.sqrt(15)},
    {"yz": math.sqrt(15)},
    {"zz": math.sqrt(45) / 2, "": -math.sqrt(5) / 2},
    {"xz": math.sqrt(15)},
    {"xx": math.sqrt(15) / 2, "yy": -math.sqrt(15) / 2},
    {"xxy": 3 * A, "yyy": -A},
    {"xyz": B},
    {"yzz": 5 * C, "y": -C},
    {"zzz": 5 * D, "z": -3 * D},
    {"xzz": 5 * C, "x": -C},
    {"xxz": B / 2, "yyz": -B / 2},
    {"xxx": A, "xyy": -3 * A},
)
"""Those of `harmonics`, component by component."""

TEXT = """\
#include <tgmath.h>
typedef {real} real;
enum {{ EDGE = {edge} }};
#define IN(name) const real *restrict name
#define PAIRS long pairs, double scale, long last, IN(v)
#define PLACE \\
  const real r = sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2]), place = r * (real)scale; \\
  const long below = (long)place, whole = below < last ? below : last; /* pairs may round to the cutoff */ \\
  const real x = v[0] / r, y = v[1] / r, z = v[2] / r, t = place - whole, s = 1 - t;
#define SLOPES \\
  const real half = (real)scale / 2; \\
  const real slope[4] = {{ -half * s * s, half * t * (3 * t - 4), half * s * (4 - 3 * s), half * t * t }};

void values(PAIRS, real *restrict h, long *restrict knot, real *restrict f)
{{
  for (long pair = 0; pair < pairs; pair++, v += 3, h += EDGE, f += 4) {{
    PLACE
    const real sixth = (real)1 / 6;
    knot[pair] = whole;
    f[0] = sixth * s * s * s;
    f[1] = sixth * (4 - 6 * t * t + 3 * t * t * t);
    f[2] = sixth * (4 - 6 * s * s + 3 * s * s * s);
    f[3] = sixth * t * t * t;
{values}
  }}
}}

void pull(PAIRS, IN(dh), IN(df), real *restrict dv)
{{
  for (long pair = 0; pair < pairs; pair++, v += 3, dh += EDGE, df += 4, dv += 3) {{
    PLACE
    SLOPES
    const real p = {pull_x}, q = {pull_y}, w = {pull_z};
    const real along = df[0] * slope[0] + df[1] * slope[1] + df[2] * slope[2] + df[3] * slope[3]
                       - (p * x + q * y + w * z) / r;
    dv[0] = p / r + along * x;
    dv[1] = q / r + along * y;
    dv[2] = w / r + along * z;
  }}
}}

void push(PAIRS, IN(tangent), real *restrict th, real *restrict tf)
{{
  for (long pair = 0; pair < pairs; pair++, v += 3, tangent += 3, th += EDGE, tf += 4) {{
    PLACE
    SLOPES
    const real along = tangent[0] * x + tangent[1] * y + tangent[2] * z;
    const real p = (tangent[0] - along * x) / r, q = (tangent[1] - along * y) / r, w = (tangent[2] - along * z) / r;
    for (int j = 0; j < 4; j++) tf[j] = slope[j] * along;
{push}
  }}
}}
"""


def source(l_max: int, real: str) -> str:
    """The kernels of one order and precision, `float` or `double`."""
    parts = HARMONICS[: (l_max + 1) ** 2]
    slopes = [[_derivative(part, axis) for axis in "xyz"] for part in parts]
    pulls = {
        f"pull_{axis}": " + ".join(f"dh[{e}] * {_text(by[n])}" for e, by in enumerate(slopes) if by[n]) or "0"
        for n, axis in enumerate("xyz")
    }
    pushes = (
        " + ".join(f"{letter} * {_text(part)}" for letter, part in zip("pqw", by, strict=True) if part) or "0"
        for by in slopes
    )
    return TEXT.format(
        real=real,
        edge=len(parts),
        values="\n".join(f"    h[{e}] = {_text(part)};" for e, part in enumerate(parts)),
        push="\n".join(f"    th[{e}] = {text};" for e, text in enumerate(pushes)),
        **pulls,
    )


def _derivative(part: Polynomial, axis: str) -> Polynomial:
    """By one coordinate."""
    return {name.replace(axis, "", 1): name.count(axis) * factor for name, factor in part.items() if axis in name}


def _text(part: Polynomial) -> str:
    """A polynomial in C."""
    return f"({' + '.join(' * '.join([f'(real){factor!r}', *name]) for name, factor in part.items())})"
