// C (m x n) = A (m x k) P (k x n), or C += with `add`; row-major, `ld` from row to row, in entries.
// One block of threads; ends in a barrier. The vector branch works on whole vectors of columns:
// rows of P and C are padded to them, and P's padding is zero.
const REAL* a0 = A.data + at_a;
const REAL* p0 = P.data + at_p;
REAL* c0 = C.data + at_c;
#if STRIDED
for (int x = WP_TILE_THREAD_IDX; x < m * n; x += WP_TILE_BLOCK_DIM) {
  const int i = x / n, j = x % n;
  REAL sum = add ? c0[i * ldc + j] : (REAL)0;
  for (int l = 0; l < k; ++l) sum += a0[i * lda + l] * p0[l * ldp + j];
  c0[i * ldc + j] = sum;
}
WP_TILE_SYNC();
#else
struct product {
  // rows x nv vectors of C in registers; `deep` partial sums where there are too few to hide latency.
  static INLINE void tile(const int rows, const int nv, const int deep, int k, const REAL* a, int lda,
                          const REAL* p, int ldp, REAL* c, int ldc, bool add) {
    vec s[8 * 16];
    UNROLL for (int i = 0; i < deep * rows * nv; ++i) s[i] = (vec){};
    int l = 0;
    for (; l + deep <= k; l += deep)
      UNROLL for (int d = 0; d < deep; ++d) {
        vec b[24];
        UNROLL for (int v = 0; v < nv; ++v) b[v] = *(const vec*)(p + (l + d) * ldp + v * V);
        UNROLL for (int i = 0; i < rows; ++i) UNROLL for (int v = 0; v < nv; ++v)
            s[(d * rows + i) * nv + v] += a[i * lda + l + d] * b[v];
      }
    for (; l < k; ++l)
      UNROLL for (int i = 0; i < rows; ++i) UNROLL for (int v = 0; v < nv; ++v)
          s[i * nv + v] += a[i * lda + l] * *(const vec*)(p + l * ldp + v * V);
    UNROLL for (int i = 0; i < rows; ++i) UNROLL for (int v = 0; v < nv; ++v) {
      vec sum = s[i * nv + v];
      UNROLL for (int d = 1; d < deep; ++d) sum += s[(d * rows + i) * nv + v];
      vec* y = (vec*)(c + i * ldc + v * V);
      *y = add ? *y + sum : sum;
    }
  }

  // Not inlined: many products in a kernel share one copy of all tiles.
  static NOINLINE void all(int m, int n, int k, const REAL* A, int lda, const REAL* P, int ldp, REAL* C,
                           int ldc, bool add) {
    const int vectors = (n + V - 1) / V;
    for (int i = 0; i < m;) {
      const int left = m - i, parts = (left + ROWS - 1) / ROWS, rows = (left + parts - 1) / parts;
      for (int v = 0; v < vectors;) {
        const int more = vectors - v;
        const REAL* a = A + i * lda;
        const REAL* p = P + v * V;
        REAL* c = C + i * ldc + v * V;
#define TILE(nv, deep)                                   \
  tile(fixed, nv, deep, k, a, lda, p, ldp, c, ldc, add); \
  v += nv;
#define CASE(rows, wide, deep) \
  case rows: {                 \
    const int fixed = rows;    \
    if (more >= wide) {        \
      TILE(wide, 1)            \
    } else if (more >= 2) {    \
      TILE(2, 1)               \
    } else {                   \
      TILE(1, deep)            \
    }                          \
  } break;
        switch (rows) {
          case 1: {
            const int fixed = 1;
#if ROWS >= 8
            if (more >= 20) {
              TILE(20, 1)
            } else
#endif
                if (more >= 10) {
              TILE(10, 1)
            } else if (more >= ROWS) {
              TILE(ROWS, 1)
            } else if (more >= 4) {
              TILE(4, 2)
            } else {
              TILE(1, 8)
            }
          } break;
            CASE(2, 4, 4)
#if ROWS >= 4
            CASE(3, 3, 3)
            CASE(4, ROWS / 2, 2)
#endif
#if ROWS >= 8
            CASE(5, 4, 2)
            CASE(6, 4, 2)
            CASE(7, 3, 2)
            CASE(8, 3, 2)
#endif
        }
      }
      i += rows;
    }
  }
};
product::all(m, n, k, a0, lda, p0, ldp, c0, ldc, add);
#undef CASE
#undef TILE
#endif
