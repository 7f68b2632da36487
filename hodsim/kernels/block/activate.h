// y += bias, then h = sigma(y), s1 = sigma'(y), s2 = sigma''(y), n entries of rows padded to whole
// vectors. Codes: see lanes.py. One block of threads; ends in a barrier.
struct bend {
  // e = exp(-a) and e - 1, both to rounding, for a >= 0: 2^k (1 + p), p = expm1(r), |r| <= ln2/2.
  static DEVICE INLINE void decay(REAL a, REAL& e, REAL& less) {
#if SIZE == 8
    const REAL far = 708.0, magic = 6755399441055744.0;
    const REAL high = 6.93147180369123816490e-01, low = 1.90821492927058770002e-10;
    long long bits;
#else
    const REAL far = 87.0f, magic = 12582912.0f;
    const REAL high = 6.93145752e-01f, low = 1.42860677e-06f;
    int bits;
#endif
    const REAL x = a > far ? -far : -a;
    const REAL t = x * (REAL)1.4426950408889634074 + magic, k = t - magic;
    const REAL r = (x - k * high) - k * low;
    COPY(&bits, &t, SIZE);
#if SIZE == 8
    bits = (bits + 1023) << 52;
    REAL p = (REAL)(1.0 / 6227020800.0);
    p = p * r + (REAL)(1.0 / 479001600.0);
    p = p * r + (REAL)(1.0 / 39916800.0);
    p = p * r + (REAL)(1.0 / 3628800.0);
    p = p * r + (REAL)(1.0 / 362880.0);
    p = p * r + (REAL)(1.0 / 40320.0);
    p = p * r + (REAL)(1.0 / 5040.0);
#else
    bits = (bits + 127) << 23;
    REAL p = (REAL)(1.0 / 5040.0);
#endif
    p = p * r + (REAL)(1.0 / 720.0);
    p = p * r + (REAL)(1.0 / 120.0);
    p = p * r + (REAL)(1.0 / 24.0);
    p = p * r + (REAL)(1.0 / 6.0);
    p = p * r + (REAL)0.5;
    p = p * (r * r) + r;
    REAL two_k;
    COPY(&two_k, &bits, SIZE);
    less = two_k * p + (two_k - 1);
    e = a > far ? 0 : two_k * p + two_k;
  }

  // log(1 + e) for 0 <= e <= 1, as 2 artanh(e / (2 + e)).
  static DEVICE INLINE REAL log_one_plus(REAL e) {
    const REAL u = e / (2 + e), z = u * u;
    REAL p = 0;
    UNROLL for (int k = SIZE == 8 ? 17 : 8; k >= 0; --k) p = p * z + (REAL)1 / (2 * k + 1);
    return 2 * u * p;
  }

  // The sigmoid s at y, d = s (1 - s), m = 1 - 2 s, and e = exp(-|y|).
  static DEVICE INLINE void logistic(REAL y, REAL& s, REAL& d, REAL& m, REAL& e) {
    REAL less;
    decay(y < 0 ? -y : y, e, less);
    const REAL r = 1 / (1 + e);
    s = y < 0 ? e * r : r;
    d = e * r * r;
    m = y < 0 ? -less * r : less * r;
  }
};
const REAL* bias = B.data + at_b;
REAL* y0 = S.data + at_y;
REAL* h = S.data + at_h;
REAL* s1 = S.data + at_s1;
REAL* s2 = S.data + at_s2;
#if STRIDED
#define EACH for (int j = WP_TILE_THREAD_IDX; j < n; j += WP_TILE_BLOCK_DIM)
#else
#define EACH                                                                                  \
  const int whole = (n + V - 1) / V * V;                                                      \
  _Pragma("clang loop vectorize(assume_safety) interleave_count(2)") for (int j = 0; j < whole; ++j)
#endif
if (code == ELU) {
  EACH {
    const REAL y = y0[j] + bias[j];
    const bool right = y > 0;
    REAL e, less;
    bend::decay(right ? 0 : -y, e, less);
    h[j] = right ? y : less;
    s1[j] = right ? 1 : e;
    s2[j] = right ? 0 : e;
  }
} else if (code == SILU) {
  EACH {
    const REAL y = y0[j] + bias[j];
    REAL s, d, m, e;
    bend::logistic(y, s, d, m, e);
    h[j] = y * s;
    s1[j] = s + y * d;
    s2[j] = y * (m * d) + 2 * d;
  }
} else if (code == TANH) {  // tanh y = 2 s(2 y) - 1 = -m(2 y)
  EACH {
    REAL s, d, m, e;
    bend::logistic(2 * (y0[j] + bias[j]), s, d, m, e);
    h[j] = -m;
    s1[j] = 4 * d;
    s2[j] = 8 * (m * d);
  }
} else {  // softplus, linear beyond 20 as in torch
  EACH {
    const REAL y = y0[j] + bias[j];
    REAL s, d, m, e;
    bend::logistic(y, s, d, m, e);
    const bool linear = y > 20;
    const REAL soft = (y < 0 ? 0 : y) + bend::log_one_plus(e);
    h[j] = linear ? y : soft;
    s1[j] = linear ? 1 : s;
    s2[j] = linear ? 0 : d;
  }
}
#undef EACH
WP_TILE_SYNC();
