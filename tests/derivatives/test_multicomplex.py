"""The algebra of C^n, its functions near and far from the real axis, what torch does with it."""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import nested_autograd, scalar_derivatives
from torch import Tensor, nn
from torch.nn import functional

from hodsim import InputError
from hodsim.derivatives.multicomplex import Multicomplex
from hodsim.derivatives.rules import UnknownRuleError

F64 = torch.float64
EPS = torch.finfo(F64).eps
UNDERFLOW = 1e4 * torch.finfo(F64).tiny * EPS  # what products near the smallest numbers lose
Function = Callable[[Tensor], Tensor]

# Every elementary function, on an interval where torch's real one and its derivatives exist.
FUNCTIONS: dict[str, tuple[Function, float, float]] = {
    "exp": (torch.exp, -3, 3),
    "exp2": (torch.exp2, -3, 3),
    "expm1": (torch.expm1, -3, 3),
    "log": (torch.log, 0.05, 8),
    "log1p": (torch.log1p, -0.9, 8),
    "log2": (torch.log2, 0.05, 8),
    "log10": (torch.log10, 0.05, 8),
    "sqrt": (torch.sqrt, 0.05, 8),
    "rsqrt": (torch.rsqrt, 0.05, 8),
    "square": (torch.square, -3, 3),
    "reciprocal": (torch.reciprocal, -5, -0.1),
    "sin": (torch.sin, -6, 6),
    "cos": (torch.cos, -6, 6),
    "tan": (torch.tan, -1.5, 1.5),
    "asin": (torch.asin, -0.98, 0.98),
    "acos": (torch.acos, -0.98, 0.98),
    "atan": (torch.atan, -6, 6),
    "sinh": (torch.sinh, -5, 5),
    "cosh": (torch.cosh, -5, 5),
    "tanh": (torch.tanh, -4, 4),
    "asinh": (torch.asinh, -6, 6),
    "acosh": (torch.acosh, 1.05, 8),
    "atanh": (torch.atanh, -0.98, 0.98),
    "sigmoid": (torch.sigmoid, -6, 6),
    "logsigmoid": (functional.logsigmoid, -6, 6),
    "softplus": (functional.softplus, -6, 6),
    "softplus(beta)": (lambda x: functional.softplus(x, beta=2.5), -3, 3),
    "silu": (functional.silu, -6, 6),
    "elu": (functional.elu, 0.05, 3),
    "elu, left": (lambda x: functional.elu(x, alpha=0.7), -3, -0.05),
    "x ** 2.5": (lambda x: x**2.5, 0.1, 5),
    "x ** tensor": (lambda x: x ** torch.tensor(-1.3, dtype=F64), 0.1, 5),
    "x ** 5": (lambda x: x**5, -3, 3),
    "x ** -3": (lambda x: x**-3, -5, -0.3),
    "2.5 ** x": (lambda x: 2.5**x, -3, 5),
    "x ** x": (lambda x: x**x, 0.1, 5),
    "1 / x": (lambda x: 1 / x, 0.1, 5),
}
every_function = pytest.mark.parametrize("name", FUNCTIONS)


def points(low: float, high: float, seed: int, count: int = 12) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return low + (high - low) * torch.rand(count, dtype=F64, generator=generator)


def derivative(f: Function, x: Tensor, order: int, h: float) -> Tensor:
    """f^(order) at every entry of x from the coefficient of all imaginary units."""
    parts = torch.zeros(1 << order, *x.shape, dtype=x.dtype)
    parts[0] = x
    for j in range(order):
        parts[1 << j] = h
    out = f(Multicomplex(parts))  # type: ignore[arg-type]
    assert isinstance(out, Multicomplex)
    torch.testing.assert_close(out.real, f(x), rtol=1e-14, atol=1e-15)
    return out.imag / h**order


# Steps: the default's size, near both ends of the window of each order, 1e-100 where it is inside.
STEPS = {
    1: (1e-300, 1e-100, 1e-20, 1e-9),
    2: (1e-150, 1e-80, 1e-9),
    3: (1e-100, 1e-54, 1e-9),
    4: (1e-75, 1e-41, 1e-9),
}


@every_function
@pytest.mark.parametrize("order", STEPS)
def test_elementary_functions_at_every_step(name: str, order: int) -> None:
    f, low, high = FUNCTIONS[name]
    for seed, h in enumerate(STEPS[order]):
        x = points(low, high, seed + 10 * order)
        wanted = scalar_derivatives(f, x, order)[order]
        # Relative to the derivative's own size: a pointwise ratio would blow up at its zeros.
        atol = 1e-12 * float(wanted.abs().max())
        torch.testing.assert_close(derivative(f, x, order, h), wanted, rtol=1e-10, atol=atol)


@every_function
def test_every_coefficient_of_general_numbers_near_the_axis(name: str) -> None:
    # f(x + d) = sum_k f^(k)(x) d^k / k! in C^3, d of the size of 1e-5: six terms are exact.
    f, low, high = FUNCTIONS[name]
    x = points(low, high, 77, 5)
    d = 1e-5 * torch.randn(8, 5, dtype=F64, generator=torch.Generator().manual_seed(3))
    d[0] = 0
    z, power = Multicomplex(d), Multicomplex.lift(torch.ones(5, dtype=F64), 3)
    wanted = Multicomplex.lift(torch.zeros(5, dtype=F64), 3)
    for k, value in enumerate(scalar_derivatives(f, x, 5)):
        wanted = wanted + power * (value / math.factorial(k))
        power = power * z
    got = f(z + x)  # type: ignore[arg-type]
    torch.testing.assert_close(got.parts, wanted.parts, rtol=1e-9, atol=1e-17)


@pytest.mark.parametrize("x0", [8.0, 40.0, 200.0])
def test_tails_keep_relative_accuracy(x0: float) -> None:
    # tanh = 1 - 2 e^-2x + ..., sigmoid = 1 - e^-x + ..., softplus' the same, to O(e^-x) relative.
    x = torch.tensor([x0, -x0], dtype=F64)
    for order in (1, 2, 3):
        signs = torch.tensor([(-1.0) ** (order + 1), 1.0], dtype=F64)
        room = 2.0 ** (order + 1) * math.exp(-x0) + 1e-13
        tail = signs * math.exp(-x0)
        got = derivative(torch.sigmoid, x, order, 1e-40)
        torch.testing.assert_close(got, tail, rtol=room, atol=0)
        got = derivative(torch.tanh, x / 2, order, 1e-40)
        torch.testing.assert_close(got, 2.0 ** (order + 1) * tail, rtol=room, atol=0)
        got = derivative(lambda x: functional.softplus(x, threshold=1e9), x, order + 1, 1e-40)
        torch.testing.assert_close(got, tail, rtol=room, atol=0)


@pytest.mark.parametrize(
    ("f", "x", "slope"),
    [
        (torch.asinh, -1e8, lambda x: 1 / math.hypot(1, x)),
        (torch.asinh, -1e-9, lambda x: 1 / math.hypot(1, x)),
        (torch.asinh, 1e170, lambda x: 1 / x),
        (torch.acosh, 1e170, lambda x: 1 / x),
        (torch.acosh, 1 + 1e-12, lambda x: 1 / math.sqrt((x - 1) * (x + 1))),
        (torch.asin, 1 - 1e-12, lambda x: 1 / math.sqrt((1 - x) * (1 + x))),
        (torch.acos, 1 - 1e-12, lambda x: -1 / math.sqrt((1 - x) * (1 + x))),
        (torch.acos, 1e-12 - 1, lambda x: -1 / math.sqrt((1 - x) * (1 + x))),
        (torch.atanh, 1 - 1e-12, lambda x: 1 / ((1 - x) * (1 + x))),
        (torch.atan, -1e5, lambda x: 1 / (1 + x * x)),
        (torch.atan, 1e120, lambda x: 1 / x / x),
        (torch.atan, 1e170, lambda _: 0.0),  # 1 / x^2 underflows
        (torch.log, 1e200, lambda x: 1 / x),
        (torch.log, 1e-200, lambda x: 1 / x),
        (torch.log1p, 1e-12, lambda x: 1 / (1 + x)),
        (torch.log1p, 1e-12 - 1, lambda x: 1 / (1 + x)),
        (torch.expm1, 1e-12, math.exp),
        (torch.sqrt, 1e200, lambda x: 0.5 / math.sqrt(x)),
        (torch.sqrt, 1e-200, lambda x: 0.5 / math.sqrt(x)),
        (torch.reciprocal, -1e120, lambda x: -1 / x / x),
        (torch.tan, 1.5707, lambda x: 1 / math.cos(x) ** 2),
        (lambda x: x**1.5, 1e200, lambda x: 1.5 * math.sqrt(x)),
        (lambda x: 10**x, 300.0, lambda x: math.pow(10, x) * math.log(10)),
        (lambda x: functional.softplus(x), -40.0, lambda x: 1 / (1 + math.exp(-x))),
        (torch.sigmoid, -40.0, lambda x: math.exp(x) / (1 + math.exp(x)) ** 2),
        (functional.silu, -40.0, lambda x: math.exp(x) * (1 + x)),
    ],
)
def test_ends_of_the_real_axis(f: Function, x: float, slope: Callable[[float], float]) -> None:
    point = torch.tensor([x], dtype=F64)
    for h in (1e-20 * min(abs(x), 1), 1e-30 * min(abs(x), 1)):
        parts = torch.stack((point, torch.full_like(point, h)))
        out = f(Multicomplex(parts))  # type: ignore[arg-type]
        assert float(out.real) == pytest.approx(float(f(point)), rel=1e-14, abs=0)
        assert float(out.imag) / h == pytest.approx(slope(x), rel=1e-13, abs=0)


def test_imaginary_parts_of_atan_may_be_large_if_small_beside_the_real_part() -> None:
    for x in (1e10, -1e10):
        got = derivative(torch.atan, torch.tensor([x], dtype=F64), 2, 100.0)
        assert float(got) == pytest.approx(-2 * x / (1 + x * x) ** 2, rel=1e-13, abs=0)


def test_expm1_keeps_the_square_of_a_small_imaginary_part() -> None:
    z = Multicomplex(torch.tensor([0.0, 1e-6], dtype=F64)).expm1()
    assert z.parts.tolist() == pytest.approx(
        [-2 * math.sin(5e-7) ** 2, math.sin(1e-6)], rel=1e-15, abs=0
    )


PLANE = [name for name in FUNCTIONS if name in vars(torch)]


@pytest.mark.parametrize("name", PLANE)
@pytest.mark.parametrize("size", [0.1, 1.0, 4.0])
def test_order_one_is_complex_arithmetic(name: str, size: float) -> None:
    z = size * torch.randn(2, 100, dtype=F64, generator=torch.Generator().manual_seed(1))
    wanted = getattr(torch, name)(torch.complex(*z))
    got = getattr(torch, name)(Multicomplex(z))
    error = (torch.complex(*got.parts) - wanted).abs() / wanted.abs()
    assert float(error.max()) < 1e-13


def idempotent(f: Function, z: Tensor) -> Tensor:
    """f through complex numbers: C^n splits along (1 +- i_(n-1) i_n) / 2 (Price 2018)."""
    if len(z) == 2:
        value = f(torch.complex(*z))
        return torch.stack((value.real, value.imag))

    def turn(w: Tensor) -> Tensor:
        a, b = w.chunk(2)
        return torch.cat((-b, a))

    a, b = z.chunk(2)
    p, q = idempotent(f, a - turn(b)), idempotent(f, a + turn(b))
    return torch.cat(((p + q) / 2, turn(p - q) / 2))


@pytest.mark.parametrize("name", PLANE)
@pytest.mark.parametrize("order", [2, 3])
def test_higher_orders_far_from_the_axis(name: str, order: int) -> None:
    f = getattr(torch, name)
    z = 0.7 * torch.randn(1 << order, 100, dtype=F64, generator=torch.Generator().manual_seed(2))
    got, wanted = f(Multicomplex(z)).parts, idempotent(f, z)
    error = (got - wanted).norm(dim=0) / wanted.norm(dim=0)
    # A component may come close to a pole: the error grows with the value.
    assert float(error.median()) < 1e-14
    assert float(error.max()) < 1e-10


@pytest.mark.parametrize("name", ["log", "sqrt", "atan"])
@pytest.mark.parametrize(
    "z", [(1e200, 1e200), (1e-200, 1e-200), (1e200, -3e150), (1.0, 1e-300), (-1e300, 2.0)]
)
def test_huge_and_tiny_parts(name: str, z: tuple[float, float]) -> None:
    got, wanted = getattr(Multicomplex(torch.tensor(z, dtype=F64)), name)(), complex(*z)
    wanted = getattr(cmath, name)(wanted)
    assert got.parts.tolist() == pytest.approx([wanted.real, wanted.imag], rel=1e-14, abs=0)
    inverse, wanted = 1 / Multicomplex(torch.tensor(z, dtype=F64)), 1 / complex(*z)
    assert inverse.parts.tolist() == pytest.approx([wanted.real, wanted.imag], rel=1e-14, abs=0)


def test_float32_where_squares_would_overflow() -> None:
    z = Multicomplex(torch.tensor([1e20, 1e15, 1e15, 0.0]))
    for name in ("log", "sqrt", "atan", "asinh", "acosh", "reciprocal", "tanh", "sigmoid"):
        assert bool(torch.isfinite(getattr(z, name)().parts).all()), name


# The algebra.


@st.composite
def numbers(draw: st.DrawFn, count: int) -> list[Multicomplex]:
    order = draw(st.integers(0, 3))
    entries = st.floats(-4, 4, allow_subnormal=False)
    return [
        Multicomplex(
            torch.tensor(
                draw(st.lists(entries, min_size=1 << order, max_size=1 << order)), dtype=F64
            )
        )
        for _ in range(count)
    ]


def norm(z: Multicomplex) -> float:
    return float(z.parts.abs().sum())


def close(x: Multicomplex, y: Multicomplex, size: float) -> bool:
    return float((x.parts - y.parts).abs().max()) <= 20 * EPS * size + UNDERFLOW


@settings(max_examples=60, deadline=None)
@given(numbers(3))
def test_ring(xyz: list[Multicomplex]) -> None:
    x, y, z = xyz
    size = norm(x) * norm(y)
    assert close(x * y, y * x, size)
    assert close((x * y) * z, x * (y * z), size * norm(z))
    assert close(x * (y + z), x * y + x * z, norm(x) * (norm(y) + norm(z)))
    assert close((x - y) + y, x, norm(x) + norm(y))
    assert close(x**3, x * x * x, norm(x) ** 3)
    assert close(-(x * y), (-x) * y, 0.0)


@settings(max_examples=60, deadline=None)
@given(numbers(2))
def test_matrix_form_is_a_ring_homomorphism(xy: list[Multicomplex]) -> None:
    x, y = xy
    X, Y = x.to_matrix(), y.to_matrix()
    size = norm(x) * norm(y)
    assert torch.equal((x + y).to_matrix(), X + Y)
    assert float(((x * y).to_matrix() - X @ Y).abs().max()) <= 20 * EPS * size + UNDERFLOW
    assert torch.equal(Multicomplex.from_matrix(X).parts, x.parts)
    assert close(Multicomplex.from_matrix(X @ Y), x * y, size)
    assert torch.equal(X @ Multicomplex.lift(1.0, x.order).parts.double(), x.parts)
    if x.order:  # Eq. 6: [[Z0, -Z1], [Z1, Z0]]
        a, b = (Multicomplex(half).to_matrix() for half in x.parts.chunk(2))
        assert torch.equal(X, torch.cat((torch.cat((a, -b), 1), torch.cat((b, a), 1))))


def test_matrices_of_arrays_and_what_is_no_such_matrix() -> None:
    z = Multicomplex(torch.randn(4, 3, 5, dtype=F64))
    assert z.to_matrix().shape == (3, 5, 4, 4)
    assert torch.equal(Multicomplex.from_matrix(z.to_matrix()).parts, z.parts)
    with pytest.raises(InputError, match=r"matrix: expected blocks .* \(Eq\. 6\)"):
        Multicomplex.from_matrix(torch.tensor([[1.0, 2.0], [2.0, 1.0]]))
    with pytest.raises(InputError, match=r"matrix: expected shape .* given \(2, 3\)"):
        Multicomplex.from_matrix(torch.ones(2, 3))
    with pytest.raises(InputError, match=r"expected a float tensor of shape \(2\^n"):
        Multicomplex.from_matrix(torch.eye(3))


def general(seed: int, order: int = 3, real: float = 3.0, count: int = 20) -> Multicomplex:
    """Numbers whose imaginary parts are far from tiny, and whose real part stands out."""
    z = 0.3 * torch.randn(
        1 << order, count, dtype=F64, generator=torch.Generator().manual_seed(seed)
    )
    z[0] += real
    return Multicomplex(z)


IDENTITIES: dict[str, Callable[[Multicomplex], tuple[object, object]]] = {
    "exp log": lambda z: (z.log().exp(), z),
    "expm1 log1p": lambda z: (z.log1p().expm1(), z),
    "sqrt^2": lambda z: (z.sqrt() ** 2, z),
    "sin^2 + cos^2": lambda z: (z.sin() ** 2 + z.cos() ** 2, z * 0 + 1),
    "cosh^2 - sinh^2": lambda z: ((z / 3).cosh() ** 2 - (z / 3).sinh() ** 2, z * 0 + 1),
    "tan": lambda z: (z.tan() * z.cos(), z.sin()),
    "tanh": lambda z: (z.tanh() * z.cosh(), z.sinh()),
    "sinh asinh": lambda z: (z.asinh().sinh(), z),
    "cosh acosh": lambda z: (z.acosh().cosh(), z),
    "tan atan": lambda z: (z.atan().tan(), z),
    "sin asin": lambda z: ((z / 8).asin().sin(), z / 8),
    "cos acos": lambda z: ((z / 8).acos().cos(), z / 8),
    "tanh atanh": lambda z: ((z / 8).atanh().tanh(), z / 8),
    "sigmoid": lambda z: (z.sigmoid() * (1 + (-z).exp()), z * 0 + 1),
    "softplus": lambda z: (functional.softplus(z).expm1(), z.exp()),  # type: ignore[arg-type]
    "power": lambda z: (z**1.5 * z**1.5, z**3),
    "z^w": lambda z: (z ** (z / 3), (z.log() * z / 3).exp()),
    "division": lambda z: (z / (z + 1) * (z + 1), z),
    "rsqrt": lambda z: (z.rsqrt() * z.sqrt(), z * 0 + 1),
}


@pytest.mark.parametrize("name", IDENTITIES)
@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_identities_of_functions(name: str, order: int) -> None:
    got, wanted = IDENTITIES[name](general(order, order))
    torch.testing.assert_close(got.parts, wanted.parts, rtol=1e-11, atol=1e-11)


def test_a_zero_divisor_in_the_pair_does_not_spoil_an_invertible_number() -> None:
    # z0 = 1 + i1 i2 has no inverse in C^2, but z = z0 + i3 / 2 has one in C^3.
    z = Multicomplex(torch.tensor([1.0, 0, 0, 1.0, 0.5, 0, 0, 0], dtype=F64))
    one = torch.eye(8, dtype=F64)[0]
    torch.testing.assert_close((z * (1 / z)).parts, one, rtol=0, atol=1e-14)
    torch.testing.assert_close(z.log().exp().parts, z.parts, rtol=0, atol=1e-14)


def test_units_parts_and_orders() -> None:
    z = Multicomplex(torch.arange(8, dtype=F64))
    assert (z.order, z.shape, z.ndim) == (3, (), 0)
    assert [float(z.part(*s)) for s in [(), (1,), (3, 1), (1, 2, 3)]] == [0, 1, 5, 7]
    assert (float(z.real), float(z.imag)) == (0, 7)
    units = [Multicomplex(torch.eye(8, dtype=F64)[1 << j]) for j in range(3)]
    for i in units:
        assert torch.equal((i * i).parts, -torch.eye(8, dtype=F64)[0])
    assert torch.equal((units[2] * units[0]).parts, torch.eye(8, dtype=F64)[5])
    # A number of C^1 among those of C^3: the larger order wins.
    low = Multicomplex(torch.tensor([2.0, 3.0], dtype=F64))
    assert torch.equal((z + low).parts, z.parts + torch.tensor([2.0, 3, 0, 0, 0, 0, 0, 0]))
    assert (low * z).order == (z / low).order == (z**low).order == 3
    assert Multicomplex.lift(2.5, 0).order == 0
    assert float((Multicomplex.lift(2.0, 0) * 3).real) == 6.0
    assert repr(low) == "Multicomplex(2 + 3 i1)"


@pytest.mark.parametrize("units", [(4,), (0,), (1, 1), (1.0,)])
def test_parts_that_do_not_exist(units: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"part: expected different units of 1\.\.3"):
        Multicomplex(torch.zeros(8)).part(*units)


@pytest.mark.parametrize(
    "parts", [torch.zeros(3), torch.tensor(1.0), torch.zeros(2, dtype=torch.int64), [1.0, 2.0]]
)
def test_bad_parts(parts: object) -> None:
    with pytest.raises(InputError, match=r"parts: expected a float tensor"):
        Multicomplex(parts)  # type: ignore[arg-type]


def test_bad_operands() -> None:
    z = Multicomplex(torch.ones(2))
    for bad in (1j, torch.tensor(1j), "1", None):
        with pytest.raises(InputError, match="operand: expected"):
            z + bad
    with pytest.raises(InputError, match="order: expected an integer"):
        Multicomplex.lift(1.0, -1)
    with pytest.raises(InputError, match="imag: expected order 1"):
        _ = Multicomplex(torch.ones(1)).imag


def test_frozen() -> None:
    z = Multicomplex(torch.ones(2))
    with pytest.raises(FrozenInstanceError):
        z.parts = torch.zeros(2)  # type: ignore[misc]
    before = z.parts.clone()
    z += 1
    assert torch.equal(z.parts, before + torch.tensor([1.0, 0.0]))


# What torch and numpy do with it.


def test_operators_with_tensors_arrays_and_numbers_on_both_sides() -> None:
    z = general(5, 2, count=4)
    t = points(0.5, 2, 1, 4)
    lifted = Multicomplex.lift(t, 2)
    pairs = [
        (t + z, lifted + z), (z + t, lifted + z), (t - z, lifted - z), (z - t, -(lifted - z)),
        (t * z, lifted * z), (z * t, lifted * z), (t / z, lifted / z), (z / t, z / lifted),
        (t**z, lifted**z), (z**t, z**lifted), (t.numpy() * z, lifted * z),
        (z - t.numpy(), z - lifted), (2 - z, -(z - 2)), (2 / z, 2 * z.reciprocal()),
        (np.float64(2) * z, z + z), (torch.rsub(z, t), lifted - z), (3 * z, z + z + z),
        (torch.add(z, t, alpha=2), z + lifted + lifted), (z.add(t), z + t),
    ]  # fmt: skip
    for got, wanted in pairs:
        torch.testing.assert_close(got.parts, wanted.parts, rtol=1e-13, atol=1e-13)
    row, column = general(1, 2, count=3), general(2, 1, count=2).unsqueeze(1)
    assert (row * column).shape == (row + column).shape == (2, 3)
    wanted = row[2] * column[1, 0]
    torch.testing.assert_close((row * column)[1, 2].parts, wanted.parts)


def test_torch_methods_and_numpy_functions_agree() -> None:
    z = general(3, 2)
    for a, b in [
        (torch.exp(z), np.exp(z)), (z.exp(), torch.exp(z)), (torch.arcsin(z / 8), np.arcsin(z / 8)),
        (torch.special.expit(z), torch.sigmoid(z)), (torch.special.log1p(z), z.log1p()),
        (functional.silu(z), z * z.sigmoid()), (torch.pow(z, 2), z.square()),
        (torch.logsumexp(z, 0), z.exp().sum().log()), (torch.softmax(z, 0).sum(), z[0] * 0 + 1),
        (functional.softmax(z, dim=0), z.exp() / z.exp().sum()), (torch.neg(z), -z),
        (torch.prod(z[:3]), z[0] * z[1] * z[2]), (np.power(z, 3), z**3),
    ]:  # fmt: skip
        torch.testing.assert_close(a.parts, b.parts, rtol=1e-13, atol=1e-13)


def test_a_module_works_unchanged() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 5), nn.SiLU(), nn.Linear(5, 4), nn.Tanh(), nn.Softmax(-1))
    net = net.to(F64)
    x, a, b = torch.randn(3, 3, dtype=F64)
    h = 1e-60
    out = net(Multicomplex(torch.stack((x, h * a, h * b, torch.zeros_like(x)))))
    wanted = nested_autograd(net, x, [a, b])
    torch.testing.assert_close(out.imag / h**2, wanted, rtol=1e-10, atol=1e-14)


def test_matrix_products() -> None:
    z, w = general(1, 2, count=12).reshape(3, 4), general(2, 1, count=8).reshape(4, 2)
    A = torch.randn(4, 2, dtype=F64)
    v = general(4, 2, count=4)
    entries = torch.tensor(
        [[(z[i] * w[:, j]).sum().parts.tolist() for j in range(2)] for i in range(3)], dtype=F64
    ).movedim(-1, 0)
    torch.testing.assert_close((z @ w).parts, entries)
    torch.testing.assert_close((z @ A).parts, z.parts @ A)
    torch.testing.assert_close((A.T @ z.T).parts, (z.parts @ A).mT)
    torch.testing.assert_close((A.T @ v).parts, v.parts @ A)
    torch.testing.assert_close((v @ A).parts, torch.matmul(v, A).parts)
    torch.testing.assert_close(torch.dot(v, v).parts, (v * v).sum().parts)
    torch.testing.assert_close((torch.ones(4, dtype=F64) @ v).parts, v.sum().parts)
    torch.testing.assert_close((z @ v).parts, (z * v).sum(1).parts)
    batch = torch.randn(5, 2, 3, dtype=F64)
    assert (batch @ z).shape == (5, 2, 4)
    torch.testing.assert_close((batch @ z)[3].parts, (batch[3] @ z).parts)
    bias = torch.randn(2, dtype=F64)
    torch.testing.assert_close(functional.linear(z, A.T, bias).parts, (z @ A + bias).parts)


MOVES: dict[str, Callable[..., Tensor]] = {
    "sum": lambda x: x.sum(),
    "sum of axes": lambda x: torch.sum(x, dim=(0, -1), keepdim=True),
    "mean": lambda x: x.mean(-1),
    "mean of all": torch.mean,
    "cumsum": lambda x: torch.cumsum(x, 1),
    "reshape": lambda x: x.reshape(4, -1),
    "view": lambda x: x.view((6, 4)),
    "flatten": torch.flatten,
    "flatten from": lambda x: x.flatten(1),
    "unsqueeze": lambda x: x.unsqueeze(-1).unsqueeze(0),
    "squeeze": lambda x: x[:, :1].squeeze(1),
    "squeeze all": lambda x: x[:1, :1].squeeze(),
    "transpose": lambda x: x.transpose(0, -1),
    "permute": lambda x: x.permute(2, 0, 1),
    "movedim": lambda x: torch.movedim(x, 0, -1),
    "mT": lambda x: x.mT,
    "T": lambda x: x[0].T,
    "expand": lambda x: x[:, :1].expand(2, -1, 5, 4) if x.dim() == 2 else x[:, :1].expand(2, 5, 4),
    "index": lambda x: x[1, ..., 2],
    "slice": lambda x: x[:, 1:, ::2],
    "gather": lambda x: x[:, [2, 0]],
    "None": lambda x: x[None, :, 0],
    "mask": lambda x: x[torch.arange(24).reshape(2, 3, 4) % 3 == 0],
    "stack": lambda x: torch.stack([x[0], x[1]], dim=-1),
    "cat": lambda x: torch.cat([x, x[:, :1]], dim=1),
    "unbind": lambda x: torch.unbind(x, 1)[2],
    "iterate": lambda x: list(x)[1],
    "clone": lambda x: x.clone().contiguous(),
}


@pytest.mark.parametrize("name", MOVES)
def test_moving_entries_is_done_by_every_part(name: str) -> None:
    move = MOVES[name]
    z = Multicomplex(torch.randn(4, 2, 3, 4, dtype=F64))
    wanted = torch.stack([move(part) for part in z.parts])
    torch.testing.assert_close(move(z).parts, wanted)  # type: ignore[arg-type]


def test_the_axis_of_units_cannot_be_reached() -> None:
    z = Multicomplex(torch.randn(4, 2, 3))
    for call in (lambda: z.sum(-3), lambda: z.sum(2), lambda: z.transpose(0, 2)):
        with pytest.raises(InputError, match=r"dim: expected one of the 2 axes of shape \(2, 3\)"):
            call()


def test_comparisons_and_branches_look_at_the_real_part() -> None:
    z = Multicomplex(torch.tensor([[-1.0, 2.0, 0.0], [5.0, -5.0, 1.0]]))
    assert (z < 0).tolist() == [True, False, False]
    assert (z >= torch.zeros(3)).tolist() == (torch.zeros(3) <= z).tolist() == [False, True, True]
    assert (z == 0).tolist() == [False, False, True]
    assert (z != 0).tolist() == [True, True, False]
    assert torch.lt(z, 1.0).tolist() == [True, False, True]
    assert torch.relu(z).parts.tolist() == [[0, 2, 0], [0, -5, 0]]
    assert torch.where(z < 0, -z, z).parts.tolist() == [[1, 2, 0], [-5, -5, 1]]
    assert torch.maximum(z, torch.zeros(3)).parts.tolist() == [[0, 2, 0], [0, -5, 0]]
    assert torch.minimum(z, -z).parts.tolist() == [[-1, -2, 0], [5, 5, -1]]
    assert functional.leaky_relu(z, 0.5).parts.tolist() == [[-0.5, 2, 0], [2.5, -5, 0.5]]


def test_autograd_passes_the_branch_not_taken() -> None:
    parts = torch.tensor([[800.0, -1.0], [1.0, 1.0]], dtype=F64, requires_grad=True)
    out = functional.elu(Multicomplex(parts)).parts  # type: ignore[arg-type]
    out.sum().backward()
    # d/dz of both parts of z, and of those of e^z - 1 = e^a (cos b + i sin b) - 1.
    c, s = math.exp(-1) * math.cos(1), math.exp(-1) * math.sin(1)
    assert parts.grad is not None
    torch.testing.assert_close(
        parts.grad, torch.tensor([[1.0, c + s], [1.0, c - s]], dtype=F64), rtol=1e-14, atol=0
    )


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("abs", lambda z: torch.abs(z)),
        ("abs", lambda z: abs(z)),
        ("abs", lambda z: z.abs()),
        ("absolute", lambda z: np.absolute(z)),
        ("floor", lambda z: torch.floor(z)),
        ("sign", lambda z: z.sign()),
        ("round", lambda z: z.round()),
        ("angle", lambda z: torch.angle(z)),
        ("erf", lambda z: torch.erf(z)),
        ("gelu", lambda z: functional.gelu(z)),
        ("layer_norm", lambda z: functional.layer_norm(z, (3,))),
        ("add_", lambda z: torch.ones(3).add_(z)),
        ("exp_", lambda z: z.exp_()),
        ("item", lambda z: z[0].item()),
        ("float", lambda z: float(z[0])),
        ("bool", lambda z: bool(z[0])),
        ("asarray", lambda z: np.asarray(z)),
        ("rounding_mode", lambda z: torch.div(z, 2, rounding_mode="floor")),
        ("equal", lambda z: torch.equal(z, z)),
    ],
)
def test_what_is_not_holomorphic_raises_with_its_name(
    name: str, call: Callable[[Multicomplex], object]
) -> None:
    with pytest.raises(UnknownRuleError, match=name):
        call(Multicomplex(torch.ones(2, 3)))


def test_names_that_no_tensor_has_are_plain_attribute_errors() -> None:
    with pytest.raises(AttributeError):
        _ = Multicomplex(torch.ones(2)).no_such_thing
    with pytest.raises(TypeError):
        len(Multicomplex(torch.ones(2)))


@pytest.mark.parametrize(
    ("f", "x"),
    [
        (torch.log, -2.0), (torch.sqrt, -2.0), (torch.rsqrt, -2.0), (torch.log1p, -1.5),
        (torch.asin, 1.5), (torch.acos, -1.5), (torch.acosh, 0.5), (torch.atanh, 2.0),
        (lambda x: x**1.5, -2.0), (lambda x: (-2.0) ** x, 0.5),
    ],
)  # fmt: skip
def test_where_the_real_function_ends(f: Function, x: float) -> None:
    parts = torch.tensor([x, 1e-20], dtype=F64)
    assert bool(torch.isnan(f(Multicomplex(parts, on_reals=True)).parts).all())  # type: ignore[arg-type]
    principal = f(torch.complex(*parts))
    got = f(Multicomplex(parts))  # type: ignore[arg-type]
    wanted = [float(principal.real), float(principal.imag)]
    assert got.parts.tolist() == pytest.approx(wanted, rel=1e-14, abs=1e-15)
