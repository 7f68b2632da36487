"""Multicomplex numbers of any order on torch tensors (Eqs. 2-6), exact arithmetic with i_j^2 = -1.

``C^0 = R`` and ``C^n = {z0 + z1 i_n : z0, z1 in C^(n-1)}``. Elementary functions come from
recursion over that Cauchy-Riemann pair, the addition formulas of complex analysis with parts in
C^(n-1). They are arranged so that nothing cancels when the imaginary parts are tiny: each
coefficient keeps its own relative accuracy, at h = 1e-100 as at h = 1e-8. Far from the real axis,
where those formulas may divide by a zero divisor, the idempotent split of C^n into two copies of
C^(n-1) takes over (Price 2018), down to complex numbers; there accuracy is that of the norm.
"""

from hodsim.derivatives.multicomplex import (  # noqa: F401  (imported for what they register)
    moves,
    rules,
)
from hodsim.derivatives.multicomplex.number import Multicomplex

__all__ = ["Multicomplex"]
