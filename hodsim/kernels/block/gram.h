// C (m x n) = A (m x k) B^T, B (n x k), or C += with `add`: inner products of rows. One block of
// threads; ends in a barrier. The vector branch reads whole vectors: rows of A and B are padded to
// them, with zeros in one of the two.
const REAL* a0 = A.data + at_a;
const REAL* b0 = B.data + at_b;
REAL* c0 = C.data + at_c;
#if STRIDED
for (int x = WP_TILE_THREAD_IDX; x < m * n; x += WP_TILE_BLOCK_DIM) {
  const int i = x / n, j = x % n;
  REAL sum = add ? c0[i * ldc + j] : (REAL)0;
  for (int l = 0; l < k; ++l) sum += a0[i * lda + l] * b0[j * ldb + l];
  c0[i * ldc + j] = sum;
}
WP_TILE_SYNC();
#else
struct inner {
  static INLINE REAL sum(vec a) {
    UNROLL for (int h = V / 2; h > 0; h /= 2) {
      vec b;
      UNROLL for (int j = 0; j < V; ++j) b[j] = a[(j + h) % V];
      a += b;
    }
    return a[0];
  }
  // rows x nb inner products in registers, `deep` vectors at a time along the rows.
  static INLINE void tile(const int rows, const int nb, const int deep, int k, const REAL* a, int lda,
                          const REAL* b, int ldb, REAL* c, int ldc, bool add) {
    vec s[32];
    UNROLL for (int i = 0; i < deep * rows * nb; ++i) s[i] = (vec){};
    int l = 0;
    for (; l + deep * V <= k; l += deep * V)
      UNROLL for (int d = 0; d < deep; ++d) UNROLL for (int i = 0; i < rows; ++i) {
        const vec x = *(const vec*)(a + i * lda + l + d * V);
        UNROLL for (int j = 0; j < nb; ++j)
          s[(d * rows + i) * nb + j] += x * *(const vec*)(b + j * ldb + l + d * V);
      }
    for (; l < k; l += V)
      UNROLL for (int i = 0; i < rows; ++i) {
        const vec x = *(const vec*)(a + i * lda + l);
        UNROLL for (int j = 0; j < nb; ++j) s[i * nb + j] += x * *(const vec*)(b + j * ldb + l);
      }
    UNROLL for (int i = 0; i < rows; ++i) UNROLL for (int j = 0; j < nb; ++j) {
      vec v = s[i * nb + j];
      UNROLL for (int d = 1; d < deep; ++d) v += s[(d * rows + i) * nb + j];
      const REAL t = sum(v);
      c[i * ldc + j] = add ? c[i * ldc + j] + t : t;
    }
  }

  // Not inlined: many products in a kernel share one copy of all tiles.
  static NOINLINE void all(int m, int n, int k, const REAL* A, int lda, const REAL* B, int ldb, REAL* C,
                           int ldc, bool add) {
    for (int i = 0; i < m;) {
      const int left = m - i, parts = (left + ROWS - 1) / ROWS, rows = (left + parts - 1) / parts;
      for (int j = 0; j < n;) {
        const int more = n - j;
        const REAL* a = A + i * lda;
        const REAL* b = B + j * ldb;
        REAL* c = C + i * ldc + j;
#define TILE(nb, deep)                                \
  tile(fixed, nb, deep, k, a, lda, b, ldb, c, ldc, add); \
  j += nb;
#define CASE(rows, wide)    \
  case rows: {              \
    const int fixed = rows; \
    if (more >= wide) {     \
      TILE(wide, 1)         \
    } else {                \
      TILE(1, 4)            \
    }                       \
  } break;
        switch (rows) {
          case 1: {  // few rows at a time: memory is what limits this, and likes to be read in order
        const int fixed = 1;
        if (more >= 2) {
          TILE(2, 4)
        } else {
          TILE(1, 4)
        }
      } break;

          CASE(2, 4)
#if ROWS >= 4
          CASE(3, 3)
          CASE(4, ROWS / 2)
#endif
#if ROWS >= 8
          CASE(5, 3)
          CASE(6, 3)
          CASE(7, 3)
          CASE(8, 3)
#endif
        }
      }
      i += rows;
    }
  }
};
inner::all(m, n, k, a0, lda, b0, ldb, c0, ldc, add);
#undef CASE
#undef TILE
#endif
