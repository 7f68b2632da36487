// The law's Warp functions are called by the fixed C names that laws.py gives them.
struct io {
  static DEVICE INLINE matrix load(const REAL* p, int ld) {
    matrix m;
    UNROLL for (int i = 0; i < 3; ++i) UNROLL for (int j = 0; j < 3; ++j) m.data[i][j] = p[(3 * i + j) * ld];
    return m;
  }
  static DEVICE INLINE void store(const matrix& m, REAL w, REAL* p, int ld) {
    UNROLL for (int i = 0; i < 3; ++i) UNROLL for (int j = 0; j < 3; ++j) p[(3 * i + j) * ld] = w * m.data[i][j];
  }
};
#if STRIDED
#define EACH(t) for (int t = WP_TILE_THREAD_IDX; t < tets; t += WP_TILE_BLOCK_DIM)
#define VECTORS
#else
#define EACH(t) for (int t = 0; t < tets; ++t)
#define VECTORS _Pragma("clang loop vectorize(assume_safety)")
// A law with a decomposition in it (a loop that ends when it has converged) stays scalar: no news.
#pragma clang diagnostic ignored "-Wpass-failed"
#endif
