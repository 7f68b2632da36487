REAL *F = S.data + at_F, *X = S.data + at_X, *P = S.data + at_P;
const REAL *a = C.data + at_a, *b = C.data + at_b, *w = C.data + at_w;
VECTORS EACH(t) {
  F[t] += 1;
  F[4 * tets + t] += 1;
  F[8 * tets + t] += 1;
  io::store(hodsim_law_shared(io::load(F + t, tets), a[t], b[t]), 1, X + t, tets);
}
VECTORS EACH(t)
  io::store(hodsim_law_stress(io::load(F + t, tets), io::load(X + t, tets), a[t], b[t]), w[t], P + t, tets);
WP_TILE_SYNC();
