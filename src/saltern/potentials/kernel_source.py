"""The text of a coupling's kernels, in C with GCC's vector types.

For a pair of atoms a and b let w (path, channel) be the radial weights, sums of four rows of a table t with factors f,
and y the harmonics. With features x (component, channel) and the energy's derivative by the sums, g (row, channel),
everything follows from one form that is linear in each of f, t, y, x and g:

    T = sum over pairs, paths and their coefficients C of  w C y (x_b g_a + s x_a g_b)

where s is the sign that the path's harmonics take when the pair is turned round. The sums are its derivative by g; the
gradient is that by f, t, y and x; the derivative of the gradient along (f', y', x') is the gradient of
T(f', y, x) + T(f, y', x) + T(f, y, x').
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from saltern.potentials.harmonics import Path, block, coupling

TEXT = """\
typedef {real} real;
enum {{ CHANNELS = {channels}, LANES = {lanes}, PATHS = {paths}, INNER = {inner}, EDGE = {edge}, ROWS = {rows} }};
enum {{ STRIDE = PATHS * CHANNELS }};
typedef real vec __attribute__((vector_size(LANES * sizeof(real)), aligned(sizeof(real)), may_alias));
#define AT(array, place) (*(vec *)((array) + (place) * CHANNELS))
#define OF(array, place) (*(const vec *)((array) + (place) * CHANNELS))
#define IN(name) const real *restrict name
#define ATOM(array, atom, size) ((array) + (atom) * (size) * CHANNELS + c)
#define TERM(f, n, j) (f[j] * OF(t + (j) * STRIDE, n))
#define WEIGHT(f, n) (TERM(f, n, 0) + TERM(f, n, 1) + TERM(f, n, 2) + TERM(f, n, 3))
#define PAIRS long pairs, const long *first, const long *second, const long *knot

static real total(vec v) {{ real sum = 0; for (int n = 0; n < LANES; n++) sum += v[n]; return sum; }}

void sums(PAIRS, IN(table), IN(f), IN(y), IN(x), real *out)
{{
  for (long pair = 0; pair < pairs; pair++, f += 4, y += EDGE)
    for (int c = 0; c < CHANNELS; c += LANES) {{
      const long a = first[pair], b = second[pair];
      IN(t) = table + knot[pair] * STRIDE + c;
      IN(xa) = ATOM(x, a, INNER);
      IN(xb) = ATOM(x, b, INNER);
      real *oa = ATOM(out, a, ROWS), *ob = ATOM(out, b, ROWS);
{sums}
    }}
}}

void gradient(PAIRS, IN(table), IN(f), IN(y), IN(x), IN(g),
              real *dtable, real *df, real *dy, real *dx)
{{
  for (long pair = 0; pair < pairs; pair++, f += 4, df += 4, y += EDGE, dy += EDGE) {{
    vec sf[4] = {{}}, sy[EDGE] = {{}};
    for (int c = 0; c < CHANNELS; c += LANES) {{
      const long a = first[pair], b = second[pair];
      IN(t) = table + knot[pair] * STRIDE + c;
      IN(xa) = ATOM(x, a, INNER);
      IN(xb) = ATOM(x, b, INNER);
      IN(ga) = ATOM(g, a, ROWS);
      IN(gb) = ATOM(g, b, ROWS);
      real *dt = dtable + knot[pair] * STRIDE + c;
      real *da = ATOM(dx, a, INNER), *db = ATOM(dx, b, INNER);
{gradient}
    }}
    for (int j = 0; j < 4; j++) df[j] = total(sf[j]);
    for (int e = 0; e < EDGE; e++) dy[e] = total(sy[e]);
  }}
}}

void tangent(PAIRS, IN(table), IN(f), IN(y), IN(x), IN(g),
             IN(ft), IN(yt), IN(xt), real *dtable, real *dx, real *dg)
{{
  for (long pair = 0; pair < pairs; pair++, f += 4, ft += 4, y += EDGE, yt += EDGE)
    for (int c = 0; c < CHANNELS; c += LANES) {{
      const long a = first[pair], b = second[pair];
      IN(t) = table + knot[pair] * STRIDE + c;
      IN(xa) = ATOM(x, a, INNER);
      IN(xb) = ATOM(x, b, INNER);
      IN(ta) = ATOM(xt, a, INNER);
      IN(tb) = ATOM(xt, b, INNER);
      IN(ga) = ATOM(g, a, ROWS);
      IN(gb) = ATOM(g, b, ROWS);
      real *dt = dtable + knot[pair] * STRIDE + c;
      real *da = ATOM(dx, a, INNER), *db = ATOM(dx, b, INNER);
      real *ha = ATOM(dg, a, ROWS), *hb = ATOM(dg, b, ROWS);
{tangent}
    }}
}}
"""


def source(
    paths: Sequence[Path], rows: Sequence[Sequence[int]], inner: int, edge: int, channels: int, real: str, lanes: int
) -> str:
    """The kernels of a coupling.

    Args:
        paths: what it couples.
        rows: for each path the row of each component of its outcome.
        inner: components of features.
        edge: components of harmonics, of which `paths` may not touch all.
        channels: of the features.
        real: `float` or `double`.
        lanes: channels that are worked on at once; a divisor of `channels`.
    """
    parts = [_Statements(number, path, places) for number, (path, places) in enumerate(zip(paths, rows, strict=True))]
    return TEXT.format(
        real=real,
        channels=channels,
        lanes=lanes,
        paths=len(paths),
        inner=inner,
        edge=edge,
        rows=sum(len(places) for places in rows),
        sums="\n".join(line for part in parts for line in part.sums()),
        gradient="\n".join(line for part in parts for line in part.gradient()),
        tangent="\n".join(line for part in parts for line in part.tangent()),
    )


class _Statements:
    """The statements of one path: names end in the atom, then the row and the component they belong to."""

    def __init__(self, number: int, path: Path, rows: Sequence[int]) -> None:
        self.number, self.sign, self.rows = number, "-" if path.edge % 2 else "", rows
        self.inner, self.edge = (range(block(order).start, block(order).stop) for order in (path.inner, path.edge))
        table = coupling(path).tolist()
        terms = {
            (row, i): [(e, table[n][m][k]) for n, e in enumerate(self.edge) if table[n][m][k]]
            for m, row in enumerate(rows)
            for k, i in enumerate(self.inner)
        }
        self.terms = {place: parts for place, parts in terms.items() if parts}

    def sums(self) -> Iterator[str]:
        """Rows of both atoms."""
        yield f"{{ const vec wa = WEIGHT(f, {self.number}), wb = {self.sign}wa;"
        yield from self._factors("k", "y")
        for row in self.rows:
            for to, other in ("ab", "ba"):
                yield f"AT(o{to}, {row}) += w{to} * ({self._into(row, 'k', f'x{other}')});"
        yield "}"

    def gradient(self) -> Iterator[str]:
        """By table, its factors, harmonics and features."""
        yield f"{{ const vec wa = WEIGHT(f, {self.number}), wb = {self.sign}wa;"
        yield from self._factors("k", "y")
        yield from self._scaled("u", "w")
        for i in self.inner:
            for to, other in ("ab", "ba"):
                yield f"AT(d{to}, {i}) += {self._from(i, 'k', f'u{other}')};"
        yield from self._by_harmonics()
        yield f"const vec dw = {' + '.join(f'y[{e}] * z{e}' for e in self.edge)};"
        for j in range(4):
            yield f"sf[{j}] += dw * OF(t + {j} * STRIDE, {self.number});"
            yield f"if (dtable) AT(dt + {j} * STRIDE, {self.number}) += f[{j}] * dw;"
        yield from (f"sy[{e}] += wa * z{e};" for e in self.edge)
        yield "}"

    def tangent(self) -> Iterator[str]:
        """The derivative of the gradient by table, features and g; those by factors and harmonics nobody needs."""
        yield f"{{ const vec wa = WEIGHT(f, {self.number}), wb = {self.sign}wa;"
        yield f"const vec va = WEIGHT(ft, {self.number}), vb = {self.sign}va;"
        yield from self._factors("k", "y")
        yield from self._factors("l", "yt")
        yield "vec dw = {}, dv = {};"
        for row in self.rows:
            for to, other in ("ab", "ba"):
                plain = self._into(row, "k", f"x{other}")
                moved = f"{self._into(row, 'l', f'x{other}')} + {self._into(row, 'k', f't{other}')}"
                yield f"{{ const vec m = {plain}, n = {moved}, h = {self.sign if to == 'b' else ''}OF(g{to}, {row});"
                yield f"AT(h{to}, {row}) += v{to} * m + w{to} * n; dw += m * h; dv += n * h; }}"
        yield from self._scaled("u", "w")
        yield from self._scaled("p", "v")
        for i in self.inner:
            for to, other in ("ab", "ba"):
                yield f"AT(d{to}, {i}) += {self._from(i, 'k', f'p{other}')} + {self._from(i, 'l', f'u{other}')};"
        yield from (f"AT(dt + {j} * STRIDE, {self.number}) += ft[{j}] * dw + f[{j}] * dv;" for j in range(4))
        yield "}"

    def _factors(self, name: str, harmonics: str) -> Iterator[str]:
        """Coefficients times harmonics."""
        for (row, i), parts in self.terms.items():
            yield f"const real {name}{row}_{i} = {' + '.join(f'(real){c!r} * {harmonics}[{e}]' for e, c in parts)};"

    def _scaled(self, name: str, weight: str) -> Iterator[str]:
        """Radial weights times g."""
        for row in self.rows:
            yield f"const vec {name}a{row} = {weight}a * OF(ga, {row}), {name}b{row} = {weight}b * OF(gb, {row});"

    def _into(self, row: int, factor: str, features: str) -> str:
        """What features give a row."""
        return " + ".join(f"{factor}{r}_{i} * OF({features}, {i})" for r, i in self.terms if r == row)

    def _from(self, component: int, factor: str, scaled: str) -> str:
        """What rows give a component of the features."""
        return " + ".join(f"{factor}{r}_{i} * {scaled}{r}" for r, i in self.terms if i == component)

    def _by_harmonics(self) -> Iterator[str]:
        """The derivative by harmonics, without the radial weights."""
        yield f"vec {', '.join(f'z{e} = {{}}' for e in self.edge)};"
        for (row, i), parts in self.terms.items():
            one, other = (f"OF(g{to}, {row}) * OF(x{by}, {i})" for to, by in ("ab", "ba"))
            yield f"{{ const vec m = {one} {self.sign or '+'} {other};"
            yield from (f"z{e} += (real){c!r} * m;" for e, c in parts)
            yield "}"
