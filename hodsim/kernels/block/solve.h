// LU with partial pivoting by the calling thread alone: A (r x r) becomes its factors, b (r) becomes
// A^-1 b. False for a zero pivot or a result that is not finite.
REAL* A = S.data + at_A;
REAL* b = S.data + at_b;
bool good = true;
for (int k = 0; k < r; ++k) {
  REAL* top = A + k * r;
  int pivot = k;
  for (int i = k + 1; i < r; ++i)
    if (wp::abs(A[i * r + k]) > wp::abs(A[pivot * r + k])) pivot = i;
  if (pivot != k) {
    for (int j = 0; j < r; ++j) {
      const REAL t = top[j];
      top[j] = A[pivot * r + j];
      A[pivot * r + j] = t;
    }
    const REAL t = b[k];
    b[k] = b[pivot];
    b[pivot] = t;
  }
  good = good && top[k] != 0;
  const REAL inverse = 1 / top[k];
  for (int i = k + 1; i < r; ++i) {
    REAL* row = A + i * r;
    const REAL f = row[k] * inverse;
#if !defined(__CUDA_ARCH__)
    _Pragma("clang loop vectorize(assume_safety)")
#endif
    for (int j = k + 1; j < r; ++j) row[j] -= f * top[j];
    b[i] -= f * b[k];
  }
}
for (int k = r - 1; k >= 0; --k) {
  REAL t = b[k];
  for (int j = k + 1; j < r; ++j) t -= A[k * r + j] * b[j];
  b[k] = t / A[k * r + k];
  good = good && wp::isfinite(b[k]);
}
return good;
