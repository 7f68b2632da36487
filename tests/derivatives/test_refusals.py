"""What is refused, by name, and what a user may add: rules, activations, branches, hooks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from oracles import nested_autograd
from torch import Tensor, nn
from torch.nn import functional
from zoo import F64, agree, normal, randomise, spaced

from hodsim import InputError
from hodsim.derivatives import (
    LanePlan,
    LaneTensor,
    Matrix,
    UnknownRuleError,
    activations,
    contract,
    hessian,
    hvp,
    jacobian,
    jvp,
    laplacian,
    push,
    register_activation,
    register_rule,
    rules,
    vjp,
)

CALL = nn.Module.__call__  # as it is before any pass has run
X, XB = normal(3, seed=1), normal(5, 3, seed=2)
PICTURES = spaced(2, 1, 4, 4)


def _net() -> nn.Module:
    layers = [nn.Linear(3, 7), nn.SiLU(), nn.Linear(7, 4), nn.Tanh()]
    return randomise(nn.Sequential(*layers))


@contextmanager
def _tables_restored() -> Iterator[None]:
    """Rules that a test adds are its own."""
    tables = (rules._FUNCTIONS, rules._MODULES, activations._SIGMA, rules._REPLACED)
    kept = [table.copy() for table in tables]
    try:
        yield
    finally:
        for table, before in zip(tables, kept, strict=True):
            table.clear()
            table.update(before)  # type: ignore[arg-type]


# ---------------------------------------------------------------- arguments

ARGUMENTS: dict[str, tuple[Callable[[nn.Module], Any], str]] = {
    "x too long": (
        lambda f: contract(f, normal(4)),
        r"x: expected shape \(3,\) or \(batch, 3\), got \(4,\)",
    ),
    "x without axes": (lambda f: jacobian(f, X[0]), r"x: expected shape .*got \(\)"),
    "x of another dtype": (
        lambda f: hessian(f, X.float()),
        r"x: expected torch.float64 on cpu as f's parameter 0.weight is, got torch.float32",
    ),
    "x of whole numbers": (
        lambda f: jacobian(f, torch.zeros(3, dtype=torch.int64)),
        r"x: expected a float32 or float64 tensor, got torch.int64",
    ),
    "x of half precision": (
        lambda f: jacobian(torch.sin, X.half()),
        r"x: expected a float32 or float64 tensor, got torch.float16",
    ),
    "x complex": (
        lambda f: jacobian(torch.sin, X.to(torch.complex128)),
        r"x: expected a float32 or float64 tensor, got torch.complex128",
    ),
    "x a list": (lambda f: contract(f, [0.0] * 3), r"x: expected a float32 .*got list"),
    "x an empty mapping": (lambda f: vjp(f, {}), r"x: expected at least one tensor"),
    "f no function": (lambda f: contract(3.0, X), r"f: expected a torch.nn.Module .*got float"),
    "direction too short": (
        lambda f: contract(f, X, [X, X[:2]]),
        r"right\[1\]: expected shape \(3,\) \(n = 3\), got \(2,\)",
    ),
    "direction of another batch": (
        lambda f: contract(f, XB, [XB[:4]]),
        r"right\[0\]: expected shape \(3,\) or \(5, 3\).*got \(4, 3\)",
    ),
    "direction with a batch": (lambda f: contract(f, X, [XB]), r"right\[0\].*got \(5, 3\)"),
    "direction of another dtype": (
        lambda f: contract(f, X, [X.float()]),
        r"right\[0\]: expected torch.float64 on cpu as x is, got torch.float32 on cpu",
    ),
    "direction complex": (
        lambda f: contract(f, X, [X.to(torch.complex128)]),
        r"right\[0\]: expected torch.float64 on cpu as x is, got torch.complex128",
    ),
    "direction on another device": (
        lambda f: contract(f, X, [X.to("meta")]),
        r"right\[0\]: expected torch.float64 on cpu as x is, got torch.float64 on meta",
    ),
    "direction a number": (
        lambda f: contract(f, X, [1.0]),
        r"right\[0\]: expected a tensor, got float",
    ),
    "direction a mapping": (lambda f: contract(f, X, [{"x": X}]), r"right\[0\]: .*got dict"),
    "left too short": (
        lambda f: contract(f, X, [X], left=X),
        r"left: expected shape \(4,\) \(m = 4\), got \(3,\)",
    ),
    "left too short, one index open": (
        lambda f: contract(f, XB, left=X, free=1),
        r"left: expected shape \(4,\) or \(5, 4\) \(m = 4\), got \(3,\)",
    ),
    "left of another dtype": (
        lambda f: vjp(f, X, normal(4).float()),
        r"left: expected torch.float64 on cpu as x is, got torch.float32",
    ),
    "left on another device": (
        lambda f: vjp(f, X, normal(4).to("meta")),
        r"left: expected torch.float64 on cpu as x is, got torch.float64 on meta",
    ),
    "left a number": (lambda f: vjp(f, X, 1.0), r"left: expected a tensor, got float"),
    "v too short": (lambda f: jvp(f, X, X[:1]), r"v: expected shape \(3,\)"),
    "v of hvp too short": (lambda f: hvp(f, X, X[:1], normal(4)), r"v: expected shape \(3,\)"),
    "free negative": (lambda f: contract(f, X, free=-1), r"free: expected .*0 or more, got -1"),
    "free a bool": (lambda f: contract(f, X, free=True), r"free: expected .*got True"),
    "free a float": (lambda f: contract(f, X, free=1.0), r"free: expected .*got 1.0"),
    "rows zero": (lambda f: contract(f, X, free=1, rows=0), r"rows: expected .*at least 1, got 0"),
    "rows a float": (lambda f: laplacian(f, X, rows=2.5), r"rows: expected .*got 2.5"),
    "lower with two open": (
        lambda f: contract(f, X, free=2, lower=True),
        r"lower: expected free = 0 or 1",
    ),
    "lower with a matrix": (
        lambda f: contract(f, X, [Matrix(torch.eye(3, dtype=F64))], lower=True),
        r"lower: expected directions only, got a Matrix",
    ),
    "matrix of another size": (
        lambda f: contract(f, X, [X, Matrix(normal(3, 4))]),
        r"right\[1\]: expected a matrix of shape \(3, 3\), got \(3, 4\)",
    ),
    "matrix of another dtype": (
        lambda f: contract(f, X, [Matrix(torch.eye(3))]),
        r"right\[0\]: expected torch.float64 on cpu as x is, got torch.float32",
    ),
    "matrix with pictures": (
        lambda f: contract(torch.sin, PICTURES, [Matrix(torch.eye(16, dtype=F64))]),
        r"right\[0\]: a Matrix goes with points of shape \(n,\) or \(batch, n\)",
    ),
    "matrix that wants a gradient": (
        lambda f: contract(f, X, [Matrix(torch.eye(3, dtype=F64).requires_grad_(True))]),
        r"right\[0\]: a Matrix cannot require a gradient",
    ),
    "mapping of two dtypes": (
        lambda f: vjp(f, {"a": X, "b": X.float()}),
        r"x\['b'\]: expected torch.float64 on cpu as x is, got torch.float32",
    ),
    "mapping on two devices": (
        lambda f: vjp(f, {"a": X, "b": X.to("meta")}),
        r"x\['b'\]: expected torch.float64 on cpu as x is, got torch.float64 on meta",
    ),
    "mapping of complex tensors": (
        lambda f: vjp(f, {"a": X.to(torch.complex64)}),
        r"x\['a'\]: expected a float32 or float64 tensor, got torch.complex64",
    ),
    "mapping, direction with a strange key": (
        lambda f: contract(lambda p: p["a"], {"a": X}, [{"c": X}]),
        r"right\[0\]: expected a mapping with keys of x, got \['c'\]",
    ),
    "mapping, direction a tensor": (
        lambda f: contract(lambda p: p["a"], {"a": X}, [X]),
        r"right\[0\]: expected a mapping with keys of x, got Tensor",
    ),
    "mapping, direction too short": (
        lambda f: contract(lambda p: p["a"], {"a": X}, [{"a": X[:2]}]),
        r"right\[0\]\['a'\]: expected shape \(3,\)",
    ),
    "mapping, two open": (
        lambda f: contract(lambda p: p["a"], {"a": X}, free=2),
        r"free: expected 0 or 1 where x is a mapping, got 2",
    ),
    "mapping, laplacian": (lambda f: laplacian(f, {"a": X}), r"x: expected a tensor"),
    "module of complex neurons": (
        lambda f: jacobian(nn.Linear(3, 2, dtype=torch.complex128), X),
        r"f: parameter weight is torch.complex128; complex neurons are not supported",
    ),
    "module of two dtypes": (
        lambda f: jacobian(nn.Sequential(f, nn.Linear(4, 2)), X),
        r"x: expected torch.float32 on cpu as f's parameter 1.weight is",
    ),
    "module on another device": (
        lambda f: jacobian(nn.Linear(3, 2, dtype=F64, device="meta"), X),
        r"x: expected torch.float64 on meta as f's parameter weight is",
    ),
    "f gives a tuple": (
        lambda f: contract(lambda t: (t, t), X, [X]),
        r"f: expected one tensor as its result, got tuple",
    ),
    "f gives a float": (
        lambda f: contract(lambda t: 1.0, X, [X]),
        r"f: expected one tensor as its result, got float",
    ),
    "f gives nothing": (
        lambda f: vjp(lambda t: None, X),
        r"f: expected one tensor as its result, got NoneType",
    ),
    "push with too many directions": (
        lambda f: push(f, X, torch.zeros(3, 3, dtype=F64), LanePlan.symmetric(2, 2)),
        r"directions: expected shape \(2, n\).*got \(3, 3\)",
    ),
    "push with another dtype": (
        lambda f: push(f, X, torch.zeros(2, 3), LanePlan.symmetric(2, 2)),
        r"directions: expected torch.float64",
    ),
}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_bad_arguments_are_named(name: str) -> None:
    call, message = ARGUMENTS[name]
    with pytest.raises(InputError, match=message) as refused:
        call(_net())
    assert "\n" not in str(refused.value)


# ---------------------------------------------------------------- operations


def _in_place_on_view(t: Tensor) -> Tensor:
    y = 2 * t
    y[0] *= 3
    return y


def _in_place_under_view(t: Tensor) -> Tensor:
    y = 2 * t
    z = y.view(-1)
    y += 1
    return z


def _set_item(t: Tensor) -> Tensor:
    y = 2 * t
    y[0] = 0.0
    return y


def _into_constant(t: Tensor) -> Tensor:
    out = torch.zeros(3, dtype=F64)
    out += t
    return out


def _into_part_of_a_constant(t: Tensor) -> Tensor:
    out = torch.zeros(6, dtype=F64)
    out[:3] = t
    return out


class _Absolute(torch.autograd.Function):
    """A user's function with a gradient of its own, whose forward no rule knows."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.abs()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad


OPERATIONS: dict[str, tuple[Callable[[Tensor], Any], str]] = {
    "abs": (torch.abs, "^abs: no rule"),
    "t.abs()": (lambda t: t.abs(), "^abs: no rule"),
    "sign": (torch.sign, "^sign: no rule"),
    "floor": (torch.floor, "^floor: no rule"),
    "round": (lambda t: t.round(), "^round: no rule"),
    "remainder": (lambda t: t % 2, "^remainder: no rule"),
    "fft": (torch.fft.fft, "fft_fft: no rule"),
    "rfft": (lambda t: torch.fft.rfft(t), "fft_rfft: no rule"),
    "max": (lambda t: t.max(), r"^max: "),
    "max along an axis": (lambda t: t.max(0)[0], r"^max: "),
    "torch.max of two": (lambda t: torch.max(t, 2 * t), r"^max: "),
    "amax": (lambda t: t.amax(0), r"max: .*argmax.*gather"),
    "min": (lambda t: t.min(), r"(min|max): .*argmax.*gather"),
    "sort": (lambda t: t.sort().values, "^sort: no rule"),
    "numpy": (lambda t: t.numpy(), "^numpy: no rule"),
    "item": (lambda t: t.sum().item() * t, "^item: no rule"),
    "float": (lambda t: float(t.sum()) * t, "__float__: no rule"),
    "bool": (lambda t: t if t.sum() else -t, "__bool__: no rule"),
    "tolist": (lambda t: torch.tensor(t.tolist()), "tolist: no rule"),
    "view_as_complex": (lambda t: torch.view_as_complex(t.reshape(-1, 1)), "view_as_complex: no"),
    "complex": (lambda t: torch.complex(t, t), "^complex: no rule"),
    "to complex": (lambda t: t.to(torch.complex128), "to: expected lanes to keep torch.float64"),
    "to float32": (lambda t: t.float(), "to: expected lanes to keep torch.float64"),
    "to another device": (lambda t: t.to("meta"), "to: expected lanes to stay on cpu, got meta"),
    "a random function": (lambda t: torch.bernoulli(t.sigmoid()), "^bernoulli: no rule"),
    "nested vmap": (lambda t: torch.vmap(torch.sin)(t), "sin.*no rule"),
    "a view changed in place": (_in_place_on_view, "mul_.*: expected .*shares no memory"),
    "a tensor with views changed": (_in_place_under_view, "add_.*: expected .*shares no memory"),
    "setting an entry": (_set_item, "__setitem__: no rule"),
    "into a constant": (_into_constant, "add_.*: writes lanes into a tensor that carries none"),
    "into part of a constant": (_into_part_of_a_constant, "__setitem__: no rule"),
    "copy_": (lambda t: torch.zeros(3, dtype=F64).copy_(t), "copy_: no rule"),
    "autograd.Function": (_Absolute.apply, "^abs: no rule"),
    "dropout": (nn.Dropout(0.3), r"dropout: expected evaluation mode.*p = 0.3.*\.eval\(\)"),
    "F.dropout": (lambda t: functional.dropout(t, 0.2), r"dropout: .*p = 0.2"),
    "Dropout2d": (lambda t: nn.Dropout2d()(t.reshape(1, 3, 1, 1)), r"dropout: expected"),
    "AlphaDropout": (nn.AlphaDropout(), r"dropout: expected"),
    "conv without a batch": (
        lambda t: functional.conv1d(t.reshape(1, 3), torch.ones(1, 1, 2, dtype=F64)),
        r"conv1d: expected \(batch, channels, ...\) with 3 axes, got 2",
    ),
    "max_pool without a batch": (
        lambda t: functional.max_pool1d(t.reshape(1, 3), 2),
        r"max_pool1d: expected \(batch, channels, ...\) with 3 axes, got 2",
    ),
    "max_pool with its indices": (
        lambda t: functional.max_pool1d(t.reshape(1, 1, 3), 2, return_indices=True)[0],
        r"max_pool1d: return_indices is not supported",
    ),
    "padding='same' of an even kernel": (
        lambda t: functional.conv1d(
            t.reshape(1, 1, 3), torch.ones(1, 1, 2, dtype=F64), padding="same"
        ),
        r"padding='same' needs an odd kernel",
    ),
    "batch norm of one value": (
        nn.BatchNorm1d(3, dtype=F64),
        r"(more than one value|expected 2D or 3D input)",
    ),
    "sum in another dtype": (lambda t: t.sum(dtype=torch.float32), "sum: expected to keep"),
}


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("graph", [True, False])
def test_operations_without_a_rule_are_named(name: str, graph: bool) -> None:
    f, message = OPERATIONS[name]
    for free in (0, 1):
        with torch.set_grad_enabled(graph):
            right = [] if free else [X]
            with pytest.raises((UnknownRuleError, ValueError), match=message) as refused:
                contract(f, X, right, free=free)
        assert "\n" not in str(refused.value)
    assert issubclass(UnknownRuleError, NotImplementedError)


class _Strange(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.abs()


def test_the_operation_is_named_from_deep_within_a_network() -> None:
    f = randomise(nn.Sequential(nn.Linear(3, 3), nn.Sequential(nn.Tanh(), _Strange())))
    for call in (jacobian, hessian, laplacian):
        with pytest.raises(UnknownRuleError, match=r"^abs: no rule.*register_rule"):
            call(f, X)


def test_after_an_error_modules_are_called_as_ever() -> None:
    for bad in (lambda t: t.abs(), lambda t: (t, t), lambda t: 1 / 0):
        with pytest.raises((UnknownRuleError, InputError, ZeroDivisionError)):
            contract(bad, X, [X])
        assert nn.Module.__call__ is CALL
    norm = nn.BatchNorm1d(3, dtype=F64)
    norm(XB)
    assert int(norm.num_batches_tracked) == 1


# ---------------------------------------------------------------- branches, hooks


def test_branches_on_the_real_part() -> None:
    def f(t: Tensor) -> Tensor:
        if (t > 0).all():
            return t.sin()
        if bool(t[0] < 0) and t.shape == (3,) and t.dim() == 1 and len(t) == 3:
            return t * t * t
        return torch.exp(t)

    a = normal(3, seed=3)
    for x in (X.abs() + 0.1, -X.abs() - 0.1, torch.tensor([1.0, -1.0, 1.0], dtype=F64)):
        agree(contract(f, x, [a, a]), nested_autograd(f, x, [a, a]))


def test_entries_chosen_by_argmax_and_gather() -> None:
    x = spaced(4, 5)

    def largest(t: Tensor) -> Tensor:
        return t.square().gather(1, t.argmax(1, keepdim=True)).squeeze(1)

    a = normal(4, 5, seed=4)
    where = x.argmax(1, keepdim=True)
    agree(contract(largest, x, [a]), (2 * x * a).gather(1, where).squeeze(1))


def test_a_detached_value_is_a_constant() -> None:
    a = normal(3, seed=5)
    agree(contract(lambda t: t * t.detach(), X, [a]), X * a)
    assert torch.equal(contract(lambda t: t.detach().sin(), X, [a]), torch.zeros(3, dtype=F64))
    agree(contract(lambda t: t.sin().detach(), X), X.sin())


def test_a_constant_result_has_no_derivative() -> None:
    constant = normal(4, seed=6)
    f = lambda t: constant  # noqa: E731
    assert torch.equal(jacobian(f, X), torch.zeros(4, 3, dtype=F64))
    assert torch.equal(contract(f, X, [X, X]), torch.zeros(4, dtype=F64))
    assert torch.equal(vjp(f, X, constant), torch.zeros(3, dtype=F64))
    agree(contract(f, X), constant)


def _doubled(module: nn.Module, args: Any, out: Tensor) -> Tensor:
    return 2 * out


both_modes = pytest.mark.parametrize("graph", [True, False])


@both_modes
def test_hooks_run_where_forward_runs(graph: bool) -> None:
    layer = randomise(nn.Linear(3, 2))
    layer.register_forward_hook(_doubled)
    outer = nn.Sequential(nn.Linear(3, 3), nn.Tanh())
    randomise(outer)
    outer.register_forward_pre_hook(lambda module, args: (3 * args[0],))
    outer[1].register_forward_hook(_doubled)
    with torch.set_grad_enabled(graph):
        agree(jacobian(layer, X), 2 * layer.weight)
        wanted = _along(lambda t: 2 * torch.tanh(outer[0](3 * t)), X)
        agree(contract(outer, X, [X, X]), wanted)


@both_modes
def test_a_forward_of_ones_own_in_a_chain(graph: bool) -> None:
    class Doubled(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return 2 * super().forward(x)

    class Twice(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(super().forward(x))

    layers = [Doubled(3, 3), nn.Tanh()]
    f = nn.Sequential(*layers)
    randomise(f)
    g = nn.Sequential(Twice(*layers), nn.Sigmoid())
    a = normal(3, seed=15)
    with torch.set_grad_enabled(graph):
        agree(
            contract(f, X, [a, a]),
            _along(lambda t: torch.tanh(2 * layers[0].weight @ t + 2 * layers[0].bias), a),
        )
        agree(contract(g, X, [a, a]), _along(g, a))


def _along(f: Callable[[Tensor], Tensor], a: Tensor) -> Tensor:
    with torch.enable_grad():
        return nested_autograd(f, X, [a, a])


@both_modes
def test_dropout_in_a_chain_is_refused_while_it_is_active(graph: bool) -> None:
    f = randomise(nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Dropout(0.5), nn.Linear(4, 2)))
    with torch.set_grad_enabled(graph):
        for call in (jacobian, hessian):
            with pytest.raises(UnknownRuleError, match=r"dropout: .*\.eval\(\)"):
                call(f.train(), X)
        agree(jacobian(f.eval(), X), jacobian(nn.Sequential(f[0], f[1], f[3]), X))


@pytest.mark.parametrize("graph", [True, False])
@pytest.mark.parametrize("kind", [nn.Tanh, nn.Linear])
def test_a_rule_of_ones_own_overrides_ours_even_in_a_chain(
    kind: type[nn.Module], graph: bool
) -> None:
    f = randomise(nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 2)))
    with _tables_restored():

        @register_rule(kind)
        def rule(module: nn.Module, x: LaneTensor) -> Any:
            return 2 * (x.sin() if kind is nn.Tanh else functional.linear(x, module.weight))

        if kind is nn.Tanh:
            truth: Callable[[Tensor], Tensor] = lambda t: f[2](2 * torch.sin(f[0](t)))  # noqa: E731
        else:
            truth = lambda t: 2 * torch.tanh(2 * t @ f[0].weight.T) @ f[2].weight.T  # noqa: E731
        with torch.set_grad_enabled(graph):
            agree(contract(f, X, [X, X]), _along(truth, X))


@pytest.mark.parametrize("kind", ["forward", "forward_pre"])
def test_hooks_are_refused_where_a_rule_stands_for_forward(kind: str) -> None:
    f = randomise(nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3)))
    hook = _doubled if kind == "forward" else lambda module, args: None
    handle = getattr(f[1], f"register_{kind}_hook")(hook)
    with pytest.raises(UnknownRuleError, match=r"^BatchNorm1d: expected a module without .*hooks"):
        contract(f, XB, [XB])
    handle.remove()
    contract(f, XB, [XB])


# ---------------------------------------------------------------- a user's own rules


class _Cube(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.abs() ** 3 * torch.sign(x)


class _Cubed(_Cube):
    """Inherits forward, and so the rule."""


class _Otherwise(_Cube):
    def forward(self, x: Tensor) -> Tensor:
        return x.floor()


def test_a_rule_for_a_module() -> None:
    f = nn.Sequential(nn.Linear(3, 3), _Cube(), nn.Linear(3, 2))
    randomise(f)
    plain = nn.Sequential(f[0], _Power(), f[2])
    a, b, w = normal(3, seed=7), normal(3, seed=8), normal(2, seed=9)
    with pytest.raises(UnknownRuleError, match="abs"):
        contract(f, X, [a, b])
    with _tables_restored():

        @register_rule(_Cube)
        def rule(module: _Cube, x: LaneTensor) -> Any:
            assert isinstance(module, _Cube)
            assert isinstance(x, LaneTensor)
            return x * x * x

        agree(contract(f, X, [a, b]), nested_autograd(plain, X, [a, b]))
        agree(hvp(f, X, a, left=w) @ b, nested_autograd(plain, X, [a, b]) @ w)
        f[1] = _Cubed()
        agree(contract(f, X, [a, b]), nested_autograd(plain, X, [a, b]))
        f[1] = _Otherwise()
        with pytest.raises(UnknownRuleError, match="floor"):
            contract(f, X, [a, b])
        f[1] = _Cube()
        f[1].register_forward_hook(_doubled)
        with pytest.raises(UnknownRuleError, match="_Cube: expected a module without"):
            contract(f, X, [a, b])


class _Power(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x**3


def test_a_rule_for_a_function() -> None:
    def f(t: Tensor) -> Tensor:
        return torch.special.bessel_j0(t).sin()  # no derivative in torch's table of rules here

    with pytest.raises(UnknownRuleError, match="bessel_j0"):
        contract(f, X, [X])
    with _tables_restored():

        @register_rule(torch.special.bessel_j0)
        def rule(x: LaneTensor) -> Any:
            return 1.0 - x * x / 4.0  # a stand-in that has a truth

        a, b = normal(2, 3, seed=10)
        wanted = nested_autograd(lambda t: torch.sin(1.0 - t * t / 4.0), X, [a, b])
        agree(contract(f, X, [a, b]), wanted)
    with pytest.raises(UnknownRuleError, match="bessel_j0"):
        contract(f, X, [X])


def test_an_activation_of_ones_own() -> None:
    with _tables_restored():

        @register_activation(_Cube)
        def sigma(module: _Cube, x: Tensor, order: int) -> list[Tensor]:
            every = [x**3, 3 * x**2, 6 * x, torch.full_like(x, 6.0)]
            return (every + [torch.zeros_like(x)] * order)[: order + 1]

        f = randomise(nn.Sequential(nn.Linear(3, 3), _Cube(), nn.Linear(3, 2), _Cube()))
        plain = nn.Sequential(f[0], _Power(), f[2], _Power())
        for order in (1, 2, 3, 4):
            right = list(normal(order, 3, seed=11))
            wanted = nested_autograd(plain, X, right)
            agree(contract(f, X, right), wanted)
            w = normal(2, seed=12)
            pulled = contract(f, X, right[:-1], left=w, free=1).detach()
            terms = pulled * right[-1]
            assert float((terms.sum() - wanted @ w).abs()) <= 1e-10 * float(terms.abs().sum())
        agree(hessian(f, XB), hessian(plain, XB))


def test_a_function_of_autograd_made_of_known_operations_is_differentiated_as_it_computes() -> None:
    class Cubic(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return x * x * x

        @staticmethod
        def backward(ctx: Any, grad: Tensor) -> Tensor:
            raise AssertionError("not run: lanes pass through forward")

    agree(contract(Cubic.apply, X, [X, X, X]), 6 * X**3)


@pytest.mark.parametrize(
    "f",
    [
        lambda t: t[torch.tensor([1, 0, 4, 2, 3])].sin(),
        lambda t: t.flip(0).sin(),
        lambda t: t.roll(1, 0).sin(),
        lambda t: normal(5, 5, seed=1) @ t,
        lambda t: (t @ t[:1].T) * t,
        lambda t: t[0] * t,
    ],
    ids=["index", "flip", "roll", "matmul on the left", "with the first", "times the first"],
)
def test_points_that_a_function_mixes_have_no_jacobian_of_their_own(
    f: Callable[[Tensor], Tensor],
) -> None:
    for scheme in ("forward", "adjoint"):
        with pytest.raises(InputError, match="mixes the points"):
            jacobian(f, XB, scheme=scheme)


def test_one_direction_without_a_list_is_refused() -> None:
    # A batch of directions must not pass for a list of them: D^5 in place of D.
    with pytest.raises(InputError, match="right: expected a sequence of directions"):
        contract(torch.sin, XB, XB)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="right: expected a sequence of directions"):
        contract(lambda p: p["a"], {"a": X}, {"a": X})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "f",
    [
        lambda t: t * 1j,
        lambda t: t * torch.ones(3, dtype=torch.complex128),
        lambda t: t + torch.ones(3, dtype=torch.complex128),
        lambda t: t / 2j,
    ],
    ids=["times a number", "times a tensor", "plus a tensor", "by a number"],
)
def test_complex_constants_are_refused_by_name(f: Callable[[Tensor], Tensor]) -> None:
    with pytest.raises((InputError, UnknownRuleError), match="complex"):
        contract(f, X, [X])


def test_an_entry_not_chosen_does_not_spoil_the_rest() -> None:
    x = torch.tensor([-1.0, 2.0, -3.0], dtype=F64)
    a = normal(3, seed=13)
    wanted = nested_autograd(lambda t: torch.where(t > 0, t.log(), t * t).exp(), x, [a, a])
    agree(contract(lambda t: torch.where(t > 0, t.log(), t * t).exp(), x, [a, a]), wanted)


def test_an_alias_made_by_contiguous_shares_what_is_written_into_it() -> None:
    def f(t: Tensor) -> Tensor:
        y = 2 * t
        z = y.contiguous()
        z += t
        return y

    try:
        got = contract(f, X, [X])
    except UnknownRuleError:
        return
    agree(got, 3 * X)


class _Halved(nn.BatchNorm1d):
    def forward(self, x: Tensor) -> Tensor:
        return 0.5 * super().forward(x)


@pytest.mark.parametrize("case", ["keyword", "subclass", "data"])
def test_running_statistics_are_never_written(case: str) -> None:
    norm = _Halved(3, dtype=F64) if case == "subclass" else nn.BatchNorm1d(3, dtype=F64)
    kept = {name: b.clone() for name, b in norm.named_buffers()}
    if case == "keyword":
        contract(lambda t: norm(input=t), XB, [XB])
    elif case == "subclass":
        contract(norm, XB, [XB])
    else:  # the batch itself carries no lanes, the layer behind does
        point = {"W": normal(2, 3, seed=14)}
        hvp(lambda p: functional.linear(norm(XB), p["W"]).square().sum(), point, point)
    for name, b in norm.named_buffers():
        assert torch.equal(b, kept[name]), name
