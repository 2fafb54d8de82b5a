/* Ewald's two sums for some copies of one box, in units of e²/Å; ewald.py says what they are.

   Ions stand in vectors of four, filled up with ions without charge. The phase of a wave is a product of three entries of
   tables, and what the first two indices give is kept for all waves that share them. */

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef double vec __attribute__((vector_size(32), aligned(32)));
enum { LANES = 4 };

static double total(vec v) { return (v[0] + v[1]) + (v[2] + v[3]); }

/* energy += q erfc(αr)/r, force on the first ion += pull, stress -= pull x, with pull = slope x */
static void pair(const double *x, double squared, double q, double alpha, double *energy, double *pull, double *stress)
{
  const double r = sqrt(squared), scaled = alpha * r, bare = q * erfc(scaled) / r;
  const double slope = (bare + q * alpha * M_2_SQRTPI * exp(-scaled * scaled)) / squared;
  *energy += bare;
  for (int a = 0; a < 3; a++) {
    pull[a] += slope * x[a];
    for (int b = 0; b < 3; b++) stress[3 * a + b] -= slope * x[a] * x[b];
  }
}

static void near(long ions, const double *fraction, const double *charge, const double *cell, double alpha, double cutoff,
                 long images, const double *image, double *energy, double *force, double *stress)
{
  for (long i = 0; i < ions; i++)
    for (long j = i + 1; j < ions; j++) {
      double step[3], d[3], pull[3] = {0, 0, 0};
      for (int m = 0; m < 3; m++) {
        step[m] = fraction[3 * i + m] - fraction[3 * j + m];
        step[m] -= nearbyint(step[m]);
      }
      for (int a = 0; a < 3; a++) d[a] = step[0] * cell[a] + step[1] * cell[3 + a] + step[2] * cell[6 + a];
      for (long n = 0; n < images; n++) {
        const double x[3] = {d[0] + image[3 * n], d[1] + image[3 * n + 1], d[2] + image[3 * n + 2]};
        const double squared = x[0] * x[0] + x[1] * x[1] + x[2] * x[2];
        if (squared < cutoff * cutoff) pair(x, squared, charge[i] * charge[j], alpha, energy, pull, stress);
      }
      for (int a = 0; a < 3; a++) {
        force[3 * i + a] += pull[a];
        force[3 * j + a] -= pull[a];
      }
    }
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

/* Waves that share their first two indices stand together. */
static void far(long ions, const double *fraction, const double *charge, long waves, const long *whole,
                const double *weight, const double *strain, double *energy, double *along, double *stress)
{
  const long vectors = (ions + LANES - 1) / LANES;
  vec *tables[3], *work = aligned_alloc(sizeof(vec), sizeof(vec) * 10 * vectors);
  for (int axis = 0; axis < 3; axis++) {
    const long n = most(waves, whole, axis);
    tables[axis] = aligned_alloc(sizeof(vec), sizeof(vec) * 2 * vectors * (n + 1));
    table(n, vectors, ions, fraction, axis, tables[axis]);
  }
  vec *q = work, *xr = q + vectors, *xi = xr + vectors, *cosine = xi + vectors, *sine = cosine + vectors;
  vec *sum = sine + vectors, *third = sum + vectors, *pull = third + vectors; /* pull: three of them */
  memset(work, 0, sizeof(vec) * 10 * vectors);
  memcpy(q, charge, sizeof(double) * ions);
  for (long k = 0; k < waves;) {
    const long a = whole[3 * k], b = whole[3 * k + 1];
    const vec *ta = tables[0] + 2 * vectors * labs(a), *tb = tables[1] + 2 * vectors * labs(b);
    const double sa = a < 0 ? -1 : 1, sb = b < 0 ? -1 : 1;
    for (long v = 0; v < vectors; v++) {
      const vec ai = sa * ta[vectors + v], bi = sb * tb[vectors + v];
      xr[v] = q[v] * (ta[v] * tb[v] - ai * bi);
      xi[v] = q[v] * (ta[v] * bi + ai * tb[v]);
      sum[v] = third[v] = (vec){};
    }
    for (; k < waves && whole[3 * k] == a && whole[3 * k + 1] == b; k++) {
      const long c = whole[3 * k + 2];
      const vec *tc = tables[2] + 2 * vectors * labs(c);
      const double sc = c < 0 ? -1 : 1;
      vec real = {}, imaginary = {};
      for (long v = 0; v < vectors; v++) {
        const vec ci = sc * tc[vectors + v];
        cosine[v] = xr[v] * tc[v] - xi[v] * ci;
        sine[v] = xr[v] * ci + xi[v] * tc[v];
        real += cosine[v];
        imaginary += sine[v];
      }
      const double re = total(real), im = total(imaginary), share = weight[k] * (re * re + im * im);
      *energy += share;
      for (int n = 0; n < 9; n++) stress[n] += share * strain[9 * k + n];
      const double wr = 2 * weight[k] * re, wi = 2 * weight[k] * im;
      for (long v = 0; v < vectors; v++) {
        const vec t = wr * sine[v] - wi * cosine[v];
        sum[v] += t;
        third[v] += (double)c * t;
      }
    }
    for (long v = 0; v < vectors; v++) {
      pull[v] += (double)a * sum[v];
      pull[vectors + v] += (double)b * sum[v];
      pull[2 * vectors + v] += third[v];
    }
  }
  for (int axis = 0; axis < 3; axis++) {
    for (long i = 0; i < ions; i++) along[3 * i + axis] = ((double *)(pull + axis * vectors))[i];
    free(tables[axis]);
  }
  free(work);
}

/* Wrapped fractional positions (replica, ion, 3) in; added up: near and far energy (replica, 2), forces of near pairs and
   what far waves pull along each index (replica, ion, 3), near and far stress (replica, 2, 9). */
void sums(long replicas, long ions, const double *fraction, const double *charge, const double *cell, double alpha,
          double cutoff, long images, const double *image, long waves, const long *whole, const double *weight,
          const double *strain, double *energy, double *force, double *along, double *stress)
{
  for (long n = 0; n < replicas; n++, fraction += 3 * ions, force += 3 * ions, along += 3 * ions) {
    near(ions, fraction, charge, cell, alpha, cutoff, images, image, energy + 2 * n, force, stress + 18 * n);
    far(ions, fraction, charge, waves, whole, weight, strain, energy + 2 * n + 1, along, stress + 18 * n + 9);
  }
}
