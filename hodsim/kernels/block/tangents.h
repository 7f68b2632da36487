const REAL *F = S.data + at_F, *X = S.data + at_X;
const REAL *a = C.data + at_a, *b = C.data + at_b, *w = C.data + at_w;
for (int i = 0; i < r; ++i) {
  const REAL* dF = D.data + at_dF + 9 * i * tets;
  REAL* dP = S.data + at_dP + 9 * i * tets;
  VECTORS EACH(t)
    io::store(hodsim_law_tangent(io::load(F + t, tets), io::load(X + t, tets), io::load(dF + t, tets), a[t], b[t]), w[t], dP + t, tets);
}
WP_TILE_SYNC();
