// The body of one native function that walks a stream of commands over plain memory; see lanes.py for
// the commands. REAL is float or double and SIZE its bytes. Matrices are row-major, `ld` is the
// distance between rows in entries. Buffers that hold lanes have rows padded to whole vectors, so
// loops over a row have no remainder.
//
// clang's vector extensions keep this free of any one instruction set: only the register tile, rows
// x vectors, depends on how many registers there are.
#if defined(__AVX512F__)
#define BYTES 64
#define ROWS 8
#elif defined(__AVX__)
#define BYTES 32
#define ROWS 4
#else
#define BYTES 16
#define ROWS 2
#endif
#define UNROLL _Pragma("clang loop unroll(full)")

typedef REAL real;
typedef long long i64;
enum { V = BYTES / SIZE, DEEP = 512 };
typedef real vec __attribute__((vector_size(BYTES), aligned(SIZE), may_alias));

struct machine {
  // ------------------------------------------------------------------------------- matrix product
  // C (rows x nv vectors) (+)= A (rows x K) P (K x nv vectors), accumulated in registers.
#define MICRO(rows, nv)                                                                           \
  static void micro_##rows##_##nv(i64 K, const real* A, i64 lda, const real* P, i64 ldp, real* C, \
                                  i64 ldc, i64 cols, bool add) {                                  \
    vec c[rows][nv];                                                                              \
    UNROLL for (int i = 0; i < rows; ++i) UNROLL for (int v = 0; v < nv; ++v) c[i][v] = (vec){};  \
    for (i64 k = 0; k < K; ++k) {                                                                 \
      vec b[nv];                                                                                  \
      UNROLL for (int v = 0; v < nv; ++v) b[v] = *(const vec*)(P + k * ldp + v * V);              \
      UNROLL for (int i = 0; i < rows; ++i) {                                                     \
        const real a = A[i * lda + k];                                                            \
        UNROLL for (int v = 0; v < nv; ++v) c[i][v] += a * b[v];                                  \
      }                                                                                           \
    }                                                                                             \
    UNROLL for (int i = 0; i < rows; ++i) {                                                       \
      real* out = C + i * ldc;                                                                    \
      UNROLL for (int v = 0; v < nv; ++v) {                                                       \
        if (cols >= (v + 1) * V) {                                                                \
          vec* y = (vec*)(out + v * V);                                                           \
          *y = add ? *y + c[i][v] : c[i][v];                                                      \
        } else                                                                                    \
          for (int j = 0; j < cols - v * V; ++j)                                                  \
            out[v * V + j] = add ? out[v * V + j] + c[i][v][j] : c[i][v][j];                      \
      }                                                                                           \
    }                                                                                             \
  }
#define MICROS(rows) MICRO(rows, 1) MICRO(rows, 2) MICRO(rows, 3)
#define CALL(rows, nv)                                        \
  case rows * 4 + nv:                                         \
    micro_##rows##_##nv(K, A, lda, P, ldp, C, ldc, cols, add); \
    break;
#define CALLS(rows) CALL(rows, 1) CALL(rows, 2) CALL(rows, 3)
  MICROS(1)
  MICROS(2)
#if ROWS >= 4
  MICROS(3)
  MICROS(4)
#endif
#if ROWS >= 8
  MICROS(5)
  MICROS(6)
  MICROS(7)
  MICROS(8)
#endif

  static void column(i64 M, i64 K, const real* A, i64 lda, const real* P, i64 ldp, int nv, real* C,
                     i64 ldc, i64 cols, bool add) {
    // Blocks of nearly equal height: 42 rows are six of 7, not five of 8 and a slow pair.
    const i64 blocks = (M + ROWS - 1) / ROWS;
    for (i64 i = 0; i < blocks; ++i) {
      const i64 height = M / blocks + (i < M % blocks);
      switch ((int)height * 4 + nv) {
        CALLS(1)
        CALLS(2)
#if ROWS >= 4
        CALLS(3)
        CALLS(4)
#endif
#if ROWS >= 8
        CALLS(5)
        CALLS(6)
        CALLS(7)
        CALLS(8)
#endif
      }
      A += height * lda;
      C += height * ldc;
    }
  }

  // V x V transpose: log2(V) rounds, each interleaving the lower and the upper half of the rows.
  static void square(const real* W, i64 ldw, real* P, i64 ldp) {
    vec r[V], s[V];
    UNROLL for (int i = 0; i < V; ++i) r[i] = *(const vec*)(W + i * ldw);
    UNROLL for (int round = 1; round < V; round *= 2) {
      UNROLL for (int i = 0; i < V / 2; ++i) {
        const vec a = r[i], b = r[i + V / 2];
#if BYTES / SIZE == 16
        s[2 * i] = __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
        s[2 * i + 1] =
            __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
#elif BYTES / SIZE == 8
        s[2 * i] = __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11);
        s[2 * i + 1] = __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
#elif BYTES / SIZE == 4
        s[2 * i] = __builtin_shufflevector(a, b, 0, 4, 1, 5);
        s[2 * i + 1] = __builtin_shufflevector(a, b, 2, 6, 3, 7);
#else
        s[2 * i] = __builtin_shufflevector(a, b, 0, 2);
        s[2 * i + 1] = __builtin_shufflevector(a, b, 1, 3);
#endif
      }
      UNROLL for (int i = 0; i < V; ++i) r[i] = s[i];
    }
    UNROLL for (int i = 0; i < V; ++i) *(vec*)(P + i * ldp) = r[i];
  }

  // P (cols x rows) = W (rows x cols)^T.
  static void transpose(i64 rows, i64 cols, const real* W, i64 ldw, real* P, i64 ldp) {
    for (i64 r = 0; r < rows; r += V)
      for (i64 k = 0; k < cols; k += V) {
        if (r + V <= rows && k + V <= cols)
          square(W + r * ldw + k, ldw, P + k * ldp + r, ldp);
        else
          for (i64 j = k; j < k + V && j < cols; ++j)
            for (i64 i = r; i < r + V && i < rows; ++i) P[j * ldp + i] = W[i * ldw + j];
      }
  }

  // C (M x N) = A (M x K) B, `count` times over blocks of A and C, where B is W^T of W (N x K) or, if
  // plain, W (K x N) itself. With `whole` the rows of C have room for whole vectors. With `triangle`
  // = t > 0 column n is wanted in the rows below t (n + 1) alone (others may be written).
  static void multiply(bool plain, i64 count, i64 M, i64 N, i64 K, const real* A, i64 lda, i64 stepA,
                       const real* W, i64 ldw, real* C, i64 ldc, i64 stepC, bool whole,
                       i64 triangle) {
    if (!plain && M * count < 3) {
      few(count, M, N, K, A, lda, stepA, W, ldw, C, ldc, stepC, whole);
      return;
    }
    real panel[DEEP * 3 * V] __attribute__((aligned(64)));
    const i64 pieces = (K + DEEP - 1) / DEEP;
    i64 k0 = 0;
    for (i64 piece = 0; piece < pieces; ++piece) {
      const i64 depth = K / pieces + (piece < K % pieces);
      for (i64 n = 0; n < N;) {
        const i64 left = (N - n + V - 1) / V;
        const int nv = left >= 5 || left == 3 ? 3 : left >= 2 ? 2 : 1;  // four vectors are 2 + 2
        const i64 cols = N - n < nv * V ? N - n : nv * V;
        const real* P = panel;
        i64 ldp = nv * V;
        if (plain && cols == nv * V && M * count <= 8 * ROWS) {
          P = W + k0 * ldw + n;  // too few rows to repay a copy
          ldp = ldw;
        } else {
          if (cols < nv * V) __builtin_memset(panel, 0, depth * nv * BYTES);
          if (plain) {
            for (i64 k = 0; k < depth; ++k) {
              const real* from = W + (k0 + k) * ldw + n;
              for (i64 j = 0; j < cols; ++j) panel[k * nv * V + j] = from[j];
            }
          } else
            transpose(cols, depth, W + n * ldw + k0, ldw, panel, nv * V);
        }
        const i64 height = triangle && triangle * (n + cols) < M ? triangle * (n + cols) : M;
        for (i64 c = 0; c < count; ++c)
          column(height, depth, A + c * stepA + k0, lda, P, ldp, nv, C + c * stepC + n, ldc,
                 whole ? nv * V : cols, piece > 0);
        n += cols;
      }
      k0 += depth;
    }
  }

  static real sum(vec a) {
    real total = 0;
    UNROLL for (int j = 0; j < V; ++j) total += a[j];
    return total;
  }

  // One or two rows times W^T: dot products along the rows of W, which is read once and not copied.
  static void few(i64 count, i64 M, i64 N, i64 K, const real* A, i64 lda, i64 stepA, const real* W,
                  i64 ldw, real* C, i64 ldc, i64 stepC, bool whole) {
    for (i64 c = 0; c < count; ++c)
      for (i64 m = 0; m < M; ++m) {
        const real* a = A + c * stepA + m * lda;
        real* out = C + c * stepC + m * ldc;
        for (i64 n = 0; n < N; n += 4) {
          vec t[4] = {};
          const int rows = N - n < 4 ? (int)(N - n) : 4;
          const real *w0 = W + n * ldw, *w1 = rows > 1 ? w0 + ldw : w0,
                     *w2 = rows > 2 ? w1 + ldw : w0, *w3 = rows > 3 ? w2 + ldw : w0;
          i64 k = 0;
          for (; k + V <= K; k += V) {
            const vec x = *(const vec*)(a + k);
            t[0] += x * *(const vec*)(w0 + k);
            t[1] += x * *(const vec*)(w1 + k);
            t[2] += x * *(const vec*)(w2 + k);
            t[3] += x * *(const vec*)(w3 + k);
          }
          real s[4];
          UNROLL for (int i = 0; i < 4; ++i) s[i] = sum(t[i]);
          for (; k < K; ++k) {
            s[0] += a[k] * w0[k];
            s[1] += a[k] * w1[k];
            s[2] += a[k] * w2[k];
            s[3] += a[k] * w3[k];
          }
          for (int i = 0; i < rows; ++i) out[n + i] = s[i];
        }
        if (whole)
          for (i64 j = N; j % V; ++j) out[j] = 0;
      }
  }

  // ----------------------------------------------------------------------------------- activations
  // e = exp(-a) and e - 1, both to rounding, for a >= 0: 2^k (1 + p) with p = expm1(r), |r| <= ln2/2.
  static inline __attribute__((always_inline)) void decay(real a, real& e, real& less) {
#if SIZE == 8
    const real far = 708.0, magic = 6755399441055744.0;
    const real high = 6.93147180369123816490e-01, low = 1.90821492927058770002e-10;
    i64 bits;
#else
    const real far = 87.0f, magic = 12582912.0f;
    const real high = 6.93145752e-01f, low = 1.42860677e-06f;
    int bits;
#endif
    const real x = a > far ? -far : -a;
    const real t = x * (real)1.4426950408889634074 + magic, k = t - magic;
    const real r = (x - k * high) - k * low;
    __builtin_memcpy(&bits, &t, SIZE);
#if SIZE == 8
    bits = (bits + 1023) << 52;
    real p = (real)(1.0 / 6227020800.0);
    p = p * r + (real)(1.0 / 479001600.0);
    p = p * r + (real)(1.0 / 39916800.0);
    p = p * r + (real)(1.0 / 3628800.0);
    p = p * r + (real)(1.0 / 362880.0);
    p = p * r + (real)(1.0 / 40320.0);
    p = p * r + (real)(1.0 / 5040.0);
#else
    bits = (bits + 127) << 23;
    real p = (real)(1.0 / 5040.0);
#endif
    p = p * r + (real)(1.0 / 720.0);
    p = p * r + (real)(1.0 / 120.0);
    p = p * r + (real)(1.0 / 24.0);
    p = p * r + (real)(1.0 / 6.0);
    p = p * r + (real)0.5;
    p = p * (r * r) + r;
    real two_k;
    __builtin_memcpy(&two_k, &bits, SIZE);
    less = two_k * p + (two_k - 1);
    e = a > far ? 0 : two_k * p + two_k;
  }

  // log(1 + e) for 0 <= e <= 1, as 2 artanh(e / (2 + e)).
  static inline __attribute__((always_inline)) real log_one_plus(real e) {
    const real u = e / (2 + e), z = u * u;
    real p = 0;
    UNROLL for (int k = SIZE == 8 ? 17 : 8; k >= 0; --k) p = p * z + (real)1 / (2 * k + 1);
    return 2 * u * p;
  }

  // The sigmoid s at y and, with d = s (1 - s) and m = 1 - 2 s, all its derivatives.
  static inline __attribute__((always_inline)) void logistic(real y, real& s, real& d, real& m,
                                                             real& e) {
    real less;
    decay(y < 0 ? -y : y, e, less);
    const real r = 1 / (1 + e);
    s = y < 0 ? e * r : r;
    d = e * r * r;
    m = y < 0 ? -less * r : less * r;
  }

  // Rows 0..order (at most 3) of T become sigma^(k)(z). Codes: see lanes.py.
  static void sigma(int code, real p0, real p1, int order, const real* z, real* T, i64 ld, i64 w) {
    enum { CHUNK = 256 };
    real spare[CHUNK];
    for (i64 start = 0; start < w; start += CHUNK) {
      const i64 n = w - start < CHUNK ? w - start : CHUNK;
      const real* x = z + start;
      real* t0 = T + start;
      real* t1 = order >= 1 ? t0 + ld : spare;
      real* t2 = order >= 2 ? t0 + 2 * ld : spare;
      real* t3 = order >= 3 ? t0 + 3 * ld : spare;
#define FOR_EACH                                           \
  _Pragma("clang loop vectorize(assume_safety)") for (i64 j = 0; j < n; ++j)
      if (code == 1) {
        FOR_EACH {
          const real y = x[j];
          const bool right = y > 0;
          real e, less;
          decay(right ? 0 : -y, e, less);
          const real bent = right ? 0 : p0 * e;
          t3[j] = bent;
          t2[j] = bent;
          t1[j] = right ? 1 : bent;
          t0[j] = right ? y : p0 * less;
        }
      } else if (code == 2) {
        FOR_EACH {
          const real y = x[j];
          real s, d, m, e;
          logistic(y, s, d, m, e);
          t3[j] = y * (d * (1 - 6 * d)) + 3 * (m * d);
          t2[j] = y * (m * d) + 2 * d;
          t1[j] = s + y * d;
          t0[j] = y * s;
        }
      } else if (code == 3) {  // tanh x = 2 s(2 x) - 1 = -m(2 x)
        FOR_EACH {
          real s, d, m, e;
          logistic(2 * x[j], s, d, m, e);
          t3[j] = 16 * (d * (1 - 6 * d));
          t2[j] = 8 * (m * d);
          t1[j] = 4 * d;
          t0[j] = -m;
        }
      } else if (code == 4) {
        FOR_EACH {
          real s, d, m, e;
          logistic(x[j], s, d, m, e);
          t3[j] = d * (1 - 6 * d);
          t2[j] = m * d;
          t1[j] = d;
          t0[j] = s;
        }
      } else if (code == 5) {
        FOR_EACH {
          const real y = p0 * x[j];
          real s, d, m, e;
          logistic(y, s, d, m, e);
          const bool linear = y > p1;
          const real soft = ((y < 0 ? 0 : y) + log_one_plus(e)) / p0;
          t3[j] = linear ? 0 : p0 * p0 * (m * d);
          t2[j] = linear ? 0 : p0 * d;
          t1[j] = linear ? 1 : s;
          t0[j] = linear ? x[j] : soft;
        }
      }
    }
  }

  // ------------------------------------------------------------------------------------ mixing lanes
  // For every point and operation, for q in 0..count-1:
  //   y[dest + q] = T[self] s[dest + q] + sum over terms of c T[row] prod_f X[f + q step_f],
  // y in D or (space 1) in T itself. Destinations outside lo..hi-1 are left out.
  struct term {
    real c;
    const vec* t;
    int n;
    const real* f[8];
    i64 step[8];
  };
  static void mix(const int* program, i64 operations, i64 points, i64 w, const real* X, i64 stepX,
                  const real* S, i64 stepS, real* D, i64 stepD, real* T, i64 stepT, i64 lo, i64 hi) {
    enum { MOST = 210 };
    term terms[MOST];
    const i64 n = w / V;
    for (i64 b = 0; b < points; ++b, X += stepX, S += stepS, D += stepD, T += stepT) {
      const int* o = program;
      for (i64 k = 0; k < operations; ++k) {
        const int space = o[0], dest = o[1], count = o[2], self = o[3], n_terms = o[4];
        o += 5;
        i64 first = 0, last = count;
        if (!space) {
          if (dest < lo) first = lo - dest;
          if (dest + last > hi) last = hi - dest;
        }
        for (int i = 0; i < n_terms; ++i) {
          term& t = terms[i];
          t.t = (const vec*)(T + o[0] * w);
          t.c = (real)o[1];
          t.n = o[2];
          o += 3;
          for (int j = 0; j < t.n; ++j, o += 2) {
            t.step[j] = o[1] * w;
            t.f[j] = X + o[0] * w + first * t.step[j];
          }
        }
        const vec* own = (const vec*)(T + self * w);
        for (i64 q = first; q < last; ++q) {
          vec* y = (vec*)((space ? T : D) + (dest + q) * w);
          const vec* s = (const vec*)(S + (dest + q) * w);
#define ALONG for (i64 j = 0; j < n; ++j)
          int done = 0;
          const term& t = terms[0];
          if (self >= 0) {
            if (n_terms == 0) ALONG y[j] = own[j] * s[j];
            else if (t.n == 1) {
              const vec* a = (const vec*)t.f[0];
              ALONG y[j] = own[j] * s[j] + t.c * t.t[j] * a[j];
              done = 1;
            } else if (t.n == 2) {
              const vec *a = (const vec*)t.f[0], *c = (const vec*)t.f[1];
              ALONG y[j] = own[j] * s[j] + t.c * t.t[j] * a[j] * c[j];
              done = 1;
            } else ALONG y[j] = own[j] * s[j];
          } else if (n_terms == 0) ALONG y[j] = (vec){};
          for (; done < n_terms; ++done) {
            const term& u = terms[done];
            const bool add = done > 0 || self >= 0;
            const vec *a = (const vec*)u.f[0], *c = (const vec*)u.f[1], *e = (const vec*)u.f[2];
            if (u.n == 0) {
              ALONG y[j] = add ? y[j] + u.c * u.t[j] : u.c * u.t[j];
            } else if (u.n == 1) {
              ALONG y[j] = add ? y[j] + u.c * u.t[j] * a[j] : u.c * u.t[j] * a[j];
            } else if (u.n == 2) {
              ALONG y[j] = add ? y[j] + u.c * u.t[j] * a[j] * c[j] : u.c * u.t[j] * a[j] * c[j];
            } else if (u.n == 3) {
              ALONG y[j] = add ? y[j] + u.c * u.t[j] * (a[j] * c[j] * e[j])
                               : u.c * u.t[j] * (a[j] * c[j] * e[j]);
            } else {
              ALONG {
                vec product = u.c * u.t[j];
                for (int i = 0; i < u.n; ++i) product *= ((const vec*)u.f[i])[j];
                y[j] = add ? y[j] + product : product;
              }
            }
          }
          for (int i = 0; i < n_terms; ++i)
            for (int j = 0; j < terms[i].n; ++j) terms[i].f[j] += terms[i].step[j];
        }
      }
    }
  }

  // D[b, q] = T[b] W[b, q], or a plain copy without T.
  static void scale(i64 points, i64 rows, i64 w, const real* W, i64 stepW, i64 ldw, const real* T,
                    i64 stepT, real* D, i64 stepD, i64 ldd) {
    const i64 n = w / V;
    for (i64 b = 0; b < points; ++b)
      for (i64 q = 0; q < rows; ++q) {
        vec* y = (vec*)(D + b * stepD + q * ldd);
        const vec* x = (const vec*)(W + b * stepW + q * ldw);
        if (T) {
          const vec* t = (const vec*)(T + b * stepT);
          ALONG y[j] = t[j] * x[j];
          for (i64 j = n * V; j < w; ++j) ((real*)y)[j] = ((const real*)t)[j] * ((const real*)x)[j];
        } else {
          ALONG y[j] = x[j];
          for (i64 j = n * V; j < w; ++j) ((real*)y)[j] = ((const real*)x)[j];
        }
      }
  }

  // The lower triangle of each of `count` symmetric matrices from its upper one.
  static void mirror(i64 count, i64 n, real* H, i64 step, i64 ld) {
    for (i64 c = 0; c < count; ++c, H += step)
      for (i64 r = 0; r < n; r += V)
        for (i64 k = r; k < n; k += V) {
          if (k > r && k + V <= n) square(H + r * ld + k, ld, H + k * ld + r, ld);
          else
            for (i64 i = r; i < r + V && i < n; ++i)
              for (i64 j = k > i ? k : i + 1; j < k + V && j < n; ++j) H[j * ld + i] = H[i * ld + j];
        }
  }
};

for (const i64* c = (const i64*)commands; c[0]; c += c[1]) {
  const i64* a = c + 2;
#define AT(i) ((real*)a[i])
  double p0, p1;
  switch ((int)c[0]) {
    case 1:
    case 2:
      machine::multiply(c[0] == 2, a[0], a[1], a[2], a[3], AT(4), a[5], a[6], AT(7), a[8], AT(9),
                        a[10], a[11], a[12], a[13]);
      break;
    case 3:  // bias, then sigma and its derivatives
      __builtin_memcpy(&p0, a + 1, 8);
      __builtin_memcpy(&p1, a + 2, 8);
      for (i64 b = 0; b < a[4]; ++b) {
        real* z = AT(7) + b * a[8];
        if (a[6])
          for (i64 j = 0; j < a[5]; ++j) z[j] += AT(6)[j];
        if (a[0])
          machine::sigma((int)a[0], (real)p0, (real)p1, (int)a[3], z, AT(9) + b * a[10], a[11], a[11]);
      }
      break;
    case 4:
      machine::mix((const int*)a[0], a[1], a[2], a[3], AT(4), a[5], AT(6), a[7], AT(8), a[9], AT(10),
                   a[11], a[12], a[13]);
      break;
    case 5:
      machine::scale(a[0], a[1], a[2], AT(3), a[4], a[5], AT(6), a[7], AT(8), a[9], a[10]);
      break;
    case 6:
      machine::transpose(a[0], a[1], AT(2), a[3], AT(4), a[5]);
      break;
    case 7:
      machine::mirror(a[0], a[1], AT(2), a[3], a[4]);
      break;
  }
}
