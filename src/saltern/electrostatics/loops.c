/* Ewald's two sums for some copies of one box, in units of e²/Å; ewald.py says what they are.

   Ions stand in vectors of eight, filled up with ions without charge. The phase of a wave is a product of three entries of
   tables, and what the first two indices give is kept for all waves that share them. */

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef double vec __attribute__((vector_size(64), aligned(64)));
enum { LANES = 8, ORDER = 8, STEP_BITS = 4 };

static double total(vec v) { return ((v[0] + v[1]) + (v[2] + v[3])) + ((v[4] + v[5]) + (v[6] + v[7])); }

/* erfc(√y)/√y and its derivative. The table has a polynomial about the middle of each sixteenth of an octave, found by the
   exponent and the first bits of y; what is below its first one is rare. */
static void screening(double y, const double *table, double lowest, double *value, double *slope)
{
  if (y < lowest) {
    const double root = sqrt(y), bare = erfc(root) / root;
    *value = bare;
    *slope = -0.5 * (bare + M_2_SQRTPI * exp(-y)) / y;
    return;
  }
  union { double number; uint64_t bits; } at = {y}, from = {lowest};
  const double *row = table + (ORDER + 1) * ((at.bits >> (52 - STEP_BITS)) - (from.bits >> (52 - STEP_BITS)));
  const double u = y - row[0];
  double f = row[ORDER], g = 0;
  for (int n = ORDER - 1; n > 0; n--) {
    g = g * u + f;
    f = f * u + row[n];
  }
  *value = f;
  *slope = g;
}

/* Images of each octant of the cell, in which the nearest image lies, begin where `starts` says.
   Near pairs: energy += q erfc(αr)/r, force on the first ion += pull, stress -= pull x, with pull = slope x */
static void near(long ions, const double *fraction, const double *charge, const double *cell, double alpha, double cutoff,
                 const long *starts, const double *image, const double *table, double lowest, double *energy,
                 double *force, double *stress)
{
  struct close { double x[3], y, q; long other; } *close = malloc(sizeof *close * (ions * starts[8] + 1));
  double found = 0, pulled[6] = {0};
  for (long i = 0; i < ions; i++) {
    long count = 0;
    for (long j = i + 1; j < ions; j++) {
      double step[3], d[3];
      for (int m = 0; m < 3; m++) {
        step[m] = fraction[3 * i + m] - fraction[3 * j + m];
        step[m] -= nearbyint(step[m]);
      }
      for (int a = 0; a < 3; a++) d[a] = step[0] * cell[a] + step[1] * cell[3 + a] + step[2] * cell[6 + a];
      const int octant = 4 * (step[0] > 0) + 2 * (step[1] > 0) + (step[2] > 0);
      for (long n = starts[octant]; n < starts[octant + 1]; n++) {
        const double x[3] = {d[0] + image[3 * n], d[1] + image[3 * n + 1], d[2] + image[3 * n + 2]};
        const double squared = x[0] * x[0] + x[1] * x[1] + x[2] * x[2];
        /* written whether it is near or not: a branch that cannot be foretold would take longer */
        close[count] = (struct close){{x[0], x[1], x[2]}, alpha * alpha * squared, alpha * charge[i] * charge[j], j};
        count += squared < cutoff * cutoff;
      }
    }
    double pull[3] = {0};
    for (const struct close *p = close; p < close + count; p++) {
      double value, slope, f[3];
      screening(p->y, table, lowest, &value, &slope);
      found += p->q * value;
      slope *= -2 * alpha * alpha * p->q;
      for (int a = 0; a < 3; a++) f[a] = slope * p->x[a];
      for (int a = 0; a < 3; a++) {
        pull[a] += f[a];
        force[3 * p->other + a] -= f[a];
      }
      pulled[0] += f[0] * p->x[0], pulled[1] += f[0] * p->x[1], pulled[2] += f[0] * p->x[2];
      pulled[3] += f[1] * p->x[1], pulled[4] += f[1] * p->x[2], pulled[5] += f[2] * p->x[2];
    }
    for (int a = 0; a < 3; a++) force[3 * i + a] += pull[a];
  }
  static const int which[9] = {0, 1, 2, 1, 3, 4, 2, 4, 5};
  *energy += found;
  for (int n = 0; n < 9; n++) stress[n] -= pulled[which[n]];
  free(close);
}

/* cos and sin of 2π n f for n = 0 ... most, for each ion: (n, cos or sin, ion) */
static void table(long most, long vectors, long ions, const double *fraction, int axis, vec *out)
{
  memset(out, 0, sizeof(vec) * 2 * vectors * (most + 1));
  double *c = (double *)out, *s = (double *)(out + vectors);
  for (long i = 0; i < vectors * LANES; i++) c[i] = 1;
  if (!most) return;
  vec *one = out + 2 * vectors;
  c = (double *)one, s = (double *)(one + vectors);
  for (long i = 0; i < ions; i++) {
    c[i] = cos(2 * M_PI * fraction[3 * i + axis]);
    s[i] = sin(2 * M_PI * fraction[3 * i + axis]);
  }
  for (long n = 2; n <= most; n++)
    for (long v = 0; v < vectors; v++) {
      const vec *last = out + 2 * vectors * (n - 1);
      out[2 * vectors * n + v] = last[v] * one[v] - last[vectors + v] * one[vectors + v];
      out[2 * vectors * n + vectors + v] = last[v] * one[vectors + v] + last[vectors + v] * one[v];
    }
}

static long most(long waves, const long *whole, int axis)
{
  long found = 0;
  for (long k = 0; k < waves; k++) if (labs(whole[3 * k + axis]) > found) found = labs(whole[3 * k + axis]);
  return found;
}

/* Sum over ions of charge times exp(2πi (a x + b y + c z)) with c = n and c = -n, from what the ions have for a and b, and the
   table's cosine and sine of c z: real and imaginary part, of n and of -n. */
static void structure(long vectors, const vec *xr, const vec *xi, const vec *cosine, const vec *sine, double *out)
{
  vec p = {}, q = {}, r = {}, s = {};
  for (long v = 0; v < vectors; v++) {
    p += xr[v] * cosine[v];
    q += xi[v] * sine[v];
    r += xr[v] * sine[v];
    s += xi[v] * cosine[v];
  }
  const double pp = total(p), qq = total(q), rr = total(r), ss = total(s);
  out[0] = pp - qq, out[1] = rr + ss, out[2] = pp + qq, out[3] = ss - rr;
}

/* Waves that share their first two indices stand together, their third one ascending without a gap. */
static void far(long ions, const double *fraction, const double *charge, long waves, const long *whole,
                const double *weight, const double *strain, double *energy, double *along, double *stress)
{
  const long vectors = (ions + LANES - 1) / LANES;
  vec *tables[3], *work = aligned_alloc(sizeof(vec), sizeof(vec) * 6 * vectors);
  long largest[3];
  for (int axis = 0; axis < 3; axis++) {
    largest[axis] = most(waves, whole, axis);
    tables[axis] = aligned_alloc(sizeof(vec), sizeof(vec) * 2 * vectors * (largest[axis] + 1));
    table(largest[axis], vectors, ions, fraction, axis, tables[axis]);
  }
  double(*factor)[8] = malloc(sizeof *factor * (largest[2] + 1));
  vec *q = work, *xr = q + vectors, *xi = xr + vectors, *pull = xi + vectors; /* pull: three of them */
  memset(work, 0, sizeof(vec) * 6 * vectors);
  memcpy(q, charge, sizeof(double) * ions);
  for (long k = 0, end; k < waves; k = end) {
    const long a = whole[3 * k], b = whole[3 * k + 1], first = whole[3 * k + 2];
    for (end = k; end < waves && whole[3 * end] == a && whole[3 * end + 1] == b;) end++;
    const long last = first + end - k - 1, furthest = last > -first ? last : -first;
    const vec *ta = tables[0] + 2 * vectors * labs(a), *tb = tables[1] + 2 * vectors * labs(b);
    const double sa = a < 0 ? -1 : 1, sb = b < 0 ? -1 : 1;
    for (long v = 0; v < vectors; v++) {
      const vec ai = sa * ta[vectors + v], bi = sb * tb[vectors + v];
      xr[v] = q[v] * (ta[v] * tb[v] - ai * bi);
      xi[v] = q[v] * (ta[v] * bi + ai * tb[v]);
    }
    for (long c = 0; c <= furthest; c++) {
      const vec *tc = tables[2] + 2 * vectors * c;
      double found[4], slope[4] = {0};
      structure(vectors, xr, xi, tc, tc + vectors, found);
      for (int side = 0; side < (c ? 2 : 1); side++) {
        const long n = side ? -c : c, wave = k + n - first;
        if (n < first || n > last) continue;
        const double re = found[2 * side], im = found[2 * side + 1], share = weight[wave] * (re * re + im * im);
        *energy += share;
        for (int m = 0; m < 9; m++) stress[m] += share * strain[9 * wave + m];
        slope[2 * side] = 2 * weight[wave] * re;
        slope[2 * side + 1] = 2 * weight[wave] * im;
      }
      const double re = slope[0] - slope[2], im = slope[1] + slope[3], res = slope[0] + slope[2], ims = slope[1] - slope[3];
      const double row[8] = {re, im, res, ims, c * res, c * ims, c * re, c * im};
      memcpy(factor[c], row, sizeof row);
    }
    for (long v = 0; v < vectors; v++) {
      vec real = {}, imaginary = {}, third_real = {}, third_imaginary = {};
      const vec *tc = tables[2] + v;
      for (long c = 0; c <= furthest; c++, tc += 2 * vectors) {
        const vec cosine = tc[0], sine = tc[vectors];
        const double *f = factor[c];
        real += f[0] * sine;
        imaginary += f[2] * cosine;
        third_real += f[4] * sine;
        third_imaginary += f[6] * cosine;
        real -= f[1] * cosine;
        imaginary += f[3] * sine;
        third_real -= f[5] * cosine;
        third_imaginary += f[7] * sine;
      }
      const vec both = xr[v] * real + xi[v] * imaginary;
      pull[v] += (double)a * both;
      pull[vectors + v] += (double)b * both;
      pull[2 * vectors + v] += xr[v] * third_real + xi[v] * third_imaginary;
    }
  }
  for (int axis = 0; axis < 3; axis++) {
    for (long i = 0; i < ions; i++) along[3 * i + axis] = ((double *)(pull + axis * vectors))[i];
    free(tables[axis]);
  }
  free(factor);
  free(work);
}

/* Wrapped fractional positions (replica, ion, 3) in; added up: near and far energy (replica, 2), forces of near pairs and
   what far waves pull along each index (replica, ion, 3), near and far stress (replica, 2, 9). */
void sums(long replicas, long ions, const double *fraction, const double *charge, const double *cell, double alpha,
          double cutoff, const long *starts, const double *image, const double *table, double lowest, long waves,
          const long *whole, const double *weight, const double *strain, double *energy, double *force, double *along,
          double *stress)
{
  for (long n = 0; n < replicas; n++, fraction += 3 * ions, force += 3 * ions, along += 3 * ions) {
    near(ions, fraction, charge, cell, alpha, cutoff, starts, image, table, lowest, energy + 2 * n, force, stress + 18 * n);
    far(ions, fraction, charge, waves, whole, weight, strain, energy + 2 * n + 1, along, stress + 18 * n + 9);
  }
}
