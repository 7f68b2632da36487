"""Slow truths that know nothing of hodsim.

Nested reverse-mode autograd, finite differences, hyperelastic energies from singular values, and
finite elements one tet at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

Function = Callable[[Tensor], Tensor]


def nested_autograd(f: Function, x: Tensor, directions: Sequence[Tensor]) -> Tensor:
    """``D^k f(x)[a, b, ...]`` at one point: f along x + s a + t b + ..., once reversed for each.

    x and the directions have shape (n,), the result (m,).
    """
    steps = [torch.zeros((), dtype=x.dtype, requires_grad=True) for _ in directions]
    point = x.detach()
    for step, direction in zip(steps, directions, strict=True):
        point = point + step * direction
    out = []
    for value in f(point):
        for step in steps:
            if value.grad_fn is None:  # what no longer depends on the point
                value = torch.zeros((), dtype=x.dtype)
                break
            (gradient,) = torch.autograd.grad(value, step, create_graph=True, allow_unused=True)
            value = torch.zeros((), dtype=x.dtype) if gradient is None else gradient
        out.append(value.detach())
    return torch.stack(out)


def derivative_tensor(f: Function, x: Tensor, order: int) -> Tensor:
    """``D^k f(x)``, shape (m, n, ..., n), by torch.autograd.functional.jacobian upon itself."""
    for _ in range(order):
        f = _jacobian_of(f)
    return f(x).detach()


def _jacobian_of(f: Function) -> Function:
    return lambda x: torch.autograd.functional.jacobian(f, x, create_graph=True)


def scalar_derivatives(f: Function, x: Tensor, order: int) -> list[Tensor]:
    """[f, f', ..., f^(order)] of an elementwise function at every entry of x."""
    x = x.detach().clone().requires_grad_(True)
    value = f(x)
    out = [value.detach()]
    for _ in range(order):
        if value.grad_fn is None:
            value = torch.zeros_like(x)
        else:
            (gradient,) = torch.autograd.grad(value.sum(), x, create_graph=True, allow_unused=True)
            value = torch.zeros_like(x) if gradient is None else gradient
        out.append(value.detach())
    return out


def third_difference(f: Function, x: Tensor, a: Tensor, b: Tensor, c: Tensor, h: float) -> Tensor:
    """``D^3 f(x)[a, b, c]`` by central differences of step h; the error falls as h^2."""
    total = torch.zeros_like(f(x))
    for i in (1, -1):
        for j in (1, -1):
            for k in (1, -1):
                total = total + i * j * k * f(x + h * (i * a + j * b + k * c))
    return total / (2 * h) ** 3


def observed_orders(errors: Sequence[float], ratio: float = 2.0) -> np.ndarray:
    """Orders p of errors ~ h^p, where h falls by `ratio` from each error to the next."""
    errors = np.asarray(errors)
    return np.log(errors[:-1] / errors[1:]) / np.log(ratio)


def central_errors(
    f: Callable[[np.ndarray], np.ndarray],
    derivative: np.ndarray,
    x: np.ndarray,
    direction: np.ndarray,
    steps: Sequence[float],
) -> list[float]:
    """Errors, largest over the entries, of f's central differences along a direction."""
    return [
        float(np.abs((f(x + h * direction) - f(x - h * direction)) / (2 * h) - derivative).max())
        for h in steps
    ]


def energy_density(law: str, F: Tensor, mu: float, lam: float) -> Tensor:
    """W(F) of one 3 x 3 F and Lame's constants, 0 at rest, through the singular values of F.

    The smallest one carries the sign of det F. The constants of stable neo-Hookean are found from
    its own two conditions, rest and linear elasticity there (Smith, de Goes and Kim 2018).
    """
    s = torch.linalg.svdvals(F)
    s = torch.stack([s[0], s[1], s[2] * torch.sign(torch.linalg.det(F.detach()))])
    if law == "stvk":
        e = (s**2 - 1) / 2
        return mu * (e**2).sum() + lam / 2 * e.sum() ** 2
    if law == "corotational":
        return mu * ((s - 1) ** 2).sum() + lam / 2 * (s.sum() - 3) ** 2
    assert law == "neo-hookean"
    m, k = 4 * mu / 3, lam + 5 * mu / 6
    alpha = 1 + 3 * m / (4 * k)

    def plain(s: Tensor) -> Tensor:
        square = (s**2).sum()
        return (
            m / 2 * (square - 3) + k / 2 * (s.prod() - alpha) ** 2 - m / 2 * torch.log(square + 1)
        )

    return plain(s) - plain(torch.ones(3, dtype=F.dtype))


def piola(law: str, F: np.ndarray, mu: float, lam: float) -> np.ndarray:
    """P = dW/dF of one F by autograd, shape (3, 3)."""
    point = torch.tensor(F, requires_grad=True)
    (P,) = torch.autograd.grad(energy_density(law, point, mu, lam), point)
    return P.numpy()


def piola_along(law: str, F: np.ndarray, dF: np.ndarray, mu: float, lam: float) -> np.ndarray:
    """The derivative of P along dF by autograd twice, shape (3, 3). Singular values must differ."""
    _, dP = torch.autograd.functional.hvp(
        lambda x: energy_density(law, x, mu, lam), torch.tensor(F), torch.tensor(dF)
    )
    return dP.numpy()


def gradients(corners: np.ndarray) -> np.ndarray:
    """Gradients of a tet's four shape functions, (4, 3), from the plane that each is: N_i(x_j)."""
    return np.linalg.inv(np.hstack([np.ones((4, 1)), corners]))[1:].T


def volume(corners: np.ndarray) -> float:
    """Volume of a tet whose corners are the rows, (4, 3)."""
    return abs(np.linalg.det(np.hstack([np.ones((4, 1)), corners]))) / 6


def internal_force(
    vertices: np.ndarray, tets: np.ndarray, u: np.ndarray, law: str, mu: float, lam: float
) -> np.ndarray:
    """Internal force dE/du (n, 3) under displacements u (n, 3), tet by tet: f_i = V P grad N_i."""
    f = np.zeros_like(vertices)
    for tet in tets:
        N = gradients(vertices[tet])
        F = np.eye(3) + u[tet].T @ N
        f[tet] += volume(vertices[tet]) * N @ piola(law, F, mu, lam).T
    return f


def stiffness(
    vertices: np.ndarray, tets: np.ndarray, u: np.ndarray, law: str, mu: float, lam: float
) -> np.ndarray:
    """d^2E/du^2 (3n, 3n), tet by tet, column by column."""
    n = len(vertices)
    K = np.zeros((n, 3, n, 3))
    for tet in tets:
        N = gradients(vertices[tet])
        F = np.eye(3) + u[tet].T @ N
        for a in range(4):
            for i in range(3):
                dF = np.zeros((3, 3))
                dF[i] = N[a]
                dP = piola_along(law, F, dF, mu, lam)
                K[tet, :, tet[a], i] += volume(vertices[tet]) * N @ dP.T
    return K.reshape(3 * n, 3 * n)


def consistent_mass(vertices: np.ndarray, tets: np.ndarray, density: float) -> np.ndarray:
    """M_ab = integral of rho N_a N_b, (n, n), by the rule of four points exact to degree 2."""
    points = np.full((4, 4), (5 - np.sqrt(5)) / 20)
    np.fill_diagonal(points, (5 + 3 * np.sqrt(5)) / 20)
    M = np.zeros((len(vertices), len(vertices)))
    for tet in tets:
        for N in points:
            M[np.ix_(tet, tet)] += density * volume(vertices[tet]) / 4 * np.outer(N, N)
    return M


def along_curve(f: Function, q: Tensor, v: Tensor, a: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """u, u' and u'' of u = f(q(t)) at t = 0, where q' = v and q'' = a: autograd along the curve."""

    def curve(t: Tensor) -> Tensor:
        return f(q + t * v + t * t / 2 * a)

    zero = torch.zeros(1, dtype=q.dtype)
    return (
        curve(zero).detach(),
        derivative_tensor(curve, zero, 1)[:, 0],
        derivative_tensor(curve, zero, 2)[:, 0, 0],
    )


def elastic_energy(
    vertices: np.ndarray, tets: np.ndarray, u: Tensor, law: str, mu: float, lam: float
) -> Tensor:
    """Energy of displacements u (n, 3), tet by tet."""
    energy = torch.zeros((), dtype=u.dtype)
    for tet in tets.astype(np.int64):
        N = torch.from_numpy(gradients(vertices[tet]))
        F = torch.eye(3, dtype=u.dtype) + u[tet].T @ N
        energy = energy + volume(vertices[tet]) * energy_density(law, F, mu, lam)
    return energy


def euler_lagrange(
    kinetic: Callable[[Tensor, Tensor], Tensor],
    potential: Function,
    q: Tensor,
    v: Tensor,
    a: Tensor,
) -> Tensor:
    """d/dt dT/dq' - dT/dq + dV/dq at q, q' = v, q'' = a, for T(q, q') and V(q); shape (r,)."""
    q, v = q.detach().requires_grad_(True), v.detach().requires_grad_(True)
    dT_dq, p = torch.autograd.grad(kinetic(q, v), (q, v), create_graph=True, materialize_grads=True)
    rate = []
    for entry in p:
        by_q, by_v = torch.autograd.grad(entry, (q, v), retain_graph=True, allow_unused=True)
        rate.append((0 if by_q is None else by_q @ v) + (0 if by_v is None else by_v @ a))
    (dV_dq,) = torch.autograd.grad(potential(q), q)
    return (torch.stack(rate) - dT_dq + dV_dq).detach()
