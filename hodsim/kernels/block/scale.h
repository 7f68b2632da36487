// D (rows x n) = S (rows x n) with column j scaled by t_j; rows padded to whole vectors.
// One block of threads; ends in a barrier.
const REAL* t = T.data + at_t;
const REAL* s = S.data + at_s;
REAL* d = D.data + at_d;
#if STRIDED
for (int x = WP_TILE_THREAD_IDX; x < rows * n; x += WP_TILE_BLOCK_DIM) {
  const int i = x / n, j = x % n;
  d[i * ldd + j] = t[j] * s[i * lds + j];
}
WP_TILE_SYNC();
#else
for (int i = 0; i < rows; ++i)
  for (int j = 0; j < n; j += V)
    *(vec*)(d + i * ldd + j) = *(const vec*)(t + j) * *(const vec*)(s + i * lds + j);
#endif
