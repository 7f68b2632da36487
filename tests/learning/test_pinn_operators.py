"""Operators of a field equal float64 oracles; the factored Jacobian equals autograd's rows."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from hodsim.errors import InputError
from hodsim.learning.pinn import (
    AutogradField,
    Box,
    Field,
    LaneField,
    Problem,
    biharmonic,
    example,
    gradient,
    laplacian,
    partial,
)
from hodsim.learning.pinn.rows import Rows, check_layers, linear_layers


def small(d: int, m: int, seed: int = 0, widths: tuple[int, ...] = (7, 6)) -> nn.Sequential:
    torch.manual_seed(seed)
    sizes = (d, *widths, m)
    layers: list[nn.Module] = []
    for a, b in pairwise(sizes):
        layers += [nn.Linear(a, b, dtype=torch.float64), nn.Tanh()]
    return nn.Sequential(*layers[:-1])


def positions(n: int, d: int) -> Tensor:
    return Box.cube(d).interior(n, 3)


class Known(nn.Module):
    """u = sin(a . x) exp(b . x), whose derivatives are those of Im exp((b + i a) . x)."""

    def __init__(self, d: int) -> None:
        super().__init__()
        draw = torch.Generator().manual_seed(1)
        self.a = nn.Parameter(torch.rand(d, generator=draw, dtype=torch.float64))
        self.b = nn.Parameter(torch.rand(d, generator=draw, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return (torch.sin(x @ self.a) * torch.exp(x @ self.b)).unsqueeze(1)

    def exact(self, x: Tensor, factor: Callable[[Tensor], Tensor]) -> Tensor:
        c = torch.complex(self.b, self.a).detach()
        return (factor(c) * torch.exp(x.to(c) @ c)).imag.unsqueeze(1)


@pytest.mark.parametrize("kind", [LaneField, AutogradField])
@pytest.mark.parametrize("d", [1, 2, 3, 5])
def test_operators_equal_an_analytic_field(kind: type[Field], d: int) -> None:
    network, x = Known(d), positions(6, d)
    u = kind(network)
    for _ in range(2):  # the second time all travel in one pass
        for got, factor in (
            (u(x), lambda c: c[0] ** 0),
            (laplacian(u, x), lambda c: (c**2).sum()),
            (biharmonic(u, x), lambda c: (c**2).sum() ** 2),
            (partial(u, x, 0, d - 1, 0), lambda c: c[0] ** 2 * c[-1]),
            (gradient(u, x)[..., -1], lambda c: c[-1]),
        ):
            torch.testing.assert_close(got, network.exact(x, factor), rtol=1e-11, atol=1e-11)
        x = positions(9, d)


def test_later_points_take_one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    from hodsim.learning.pinn import field

    passes = []
    real = field.push

    def counted(*arguments: object) -> object:
        passes.append(1)
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(field, "push", counted)
    u = LaneField(small(2, 3))

    def all_of(x: Tensor) -> list[Tensor]:
        return [biharmonic(u, x), laplacian(u, x), partial(u, x, 0, 1), u(x)]

    first = all_of(positions(5, 2))
    assert len(passes) == 4
    again = all_of(positions(5, 2))
    assert len(passes) == 5
    for a, b in zip(first, again, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_a_field_keeps_nothing_that_no_longer_holds() -> None:
    network, x = small(2, 1), positions(5, 2)
    u = LaneField(network)
    with torch.no_grad():
        laplacian(u, x)
    assert laplacian(u, x).requires_grad
    before = u(x).detach()
    flat = nn.utils.parameters_to_vector(network.parameters()).detach()
    nn.utils.vector_to_parameters(2.0 * flat, network.parameters())  # versions stay as they are
    after = u(x).detach()
    torch.testing.assert_close(after, network(x).detach(), rtol=1e-12, atol=1e-12)
    assert float((after - before).abs().max()) > 0.01
    with torch.inference_mode():
        torch.testing.assert_close(u(1.0 * x), after, rtol=1e-12, atol=1e-12)


def test_the_boundary_takes_no_lanes_of_the_interior() -> None:
    problem, network = example("plate"), small(2, 1)
    u = LaneField(network)
    faces = problem.domain.boundary(4, 0)
    inside, border = problem.parts(u, problem.domain.interior(4, 0), faces)
    for _ in range(2):
        inside(), border()
    seen: list[int] = []

    class Counting(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x

    counting = Counting()
    counting.register_forward_hook(lambda _, given, out: seen.append(len(given[0].lanes.values)))
    network.insert(3, counting)
    border()
    assert seen == [3]  # the value and two slopes, not what a biharmonic needs
    seen.clear()
    inside()
    assert max(seen) > 3


@pytest.mark.parametrize("name", ["eq13", "poisson10", "plate"])
def test_an_example_is_solved_by_its_truth_and_its_gradient_is_right(name: str) -> None:
    problem = example(name)
    inside, faces = problem.domain.interior(4, 0), problem.domain.boundary(6, 0)
    assert problem.truth is not None

    class Exact(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return problem.truth(x)  # type: ignore[misc]

    exact = AutogradField(Exact())
    for residual, x in ((problem.residual, inside), (problem.boundary, faces)):
        assert float(residual(exact, x).abs().max()) < 1e-9

    network = small(problem.domain.d, problem.components, seed=2)
    u = LaneField(network)
    loss = problem.loss(u, inside, faces)
    loss.backward()
    plain = problem.loss(AutogradField(network), inside, faces)
    torch.testing.assert_close(loss, plain, rtol=1e-11, atol=0.0)
    parameters = list(network.parameters())
    slopes = [p.grad.clone() for p in parameters if p.grad is not None]
    draw = torch.Generator().manual_seed(4)
    along = [torch.randn(p.shape, generator=draw, dtype=p.dtype) for p in parameters]
    told = sum(float((a * b).sum()) for a, b in zip(slopes, along, strict=True))
    missed = [abs(_difference(problem, network, along, h) - told) for h in (4e-3, 2e-3)]
    assert 3.0 < missed[0] / missed[1] < 5.0  # central differences are of second order
    assert missed[1] < 1e-3 * abs(told)


def _difference(problem: Problem, network: nn.Module, along: list[Tensor], h: float) -> float:
    inside, faces = problem.domain.interior(4, 0), problem.domain.boundary(6, 0)
    old = [p.detach().clone() for p in network.parameters()]
    values = []
    for sign in (1.0, -1.0):
        with torch.no_grad():
            for p, o, a in zip(network.parameters(), old, along, strict=True):
                p.copy_(o + sign * h * a)
        values.append(float(problem.loss(AutogradField(network), inside, faces)))
    with torch.no_grad():
        for p, o in zip(network.parameters(), old, strict=True):
            p.copy_(o)
    return (values[0] - values[1]) / (2.0 * h)


@pytest.mark.parametrize("name", ["eq13", "poisson10", "plate"])
@pytest.mark.parametrize("bias", [True, False])
def test_factored_rows_equal_autograd(name: str, bias: bool) -> None:
    problem = example(name)
    network = small(problem.domain.d, problem.components, seed=5)
    if not bias:
        network[2] = nn.Linear(7, 6, bias=False, dtype=torch.float64)
    inside, faces = problem.domain.interior(3, 0), problem.domain.boundary(4, 0)
    u = LaneField(network)
    rows = Rows(linear_layers(network), problem.parts(u, inside, faces))
    plain = [p() for p in problem.parts(AutogradField(network), inside, faces)]
    flat = torch.cat([p.reshape(-1) for p in plain])
    torch.testing.assert_close(rows.residual, flat.detach(), rtol=1e-10, atol=1e-10)
    parameters = list(network.parameters())
    J = torch.stack(
        [
            torch.cat(
                [
                    g.reshape(-1)
                    for g in torch.autograd.grad(
                        r, parameters, retain_graph=True, materialize_grads=True
                    )
                ]
            )
            for r in flat
        ]
    )
    scale = float((J @ J.T).abs().max())
    torch.testing.assert_close(rows.gram(), J @ J.T, rtol=1e-9, atol=1e-11 * scale)
    check_outputs(
        network, problem, Rows(linear_layers(network)[-1:], problem.parts(u, inside, faces)), J
    )
    w = torch.randn(len(flat), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    pulled = rows.pull(w)
    assert [p.shape for p in pulled] == [p.shape for p in parameters]
    got = torch.cat([p.reshape(-1) for p in pulled])
    torch.testing.assert_close(got, J.T @ w, rtol=1e-9, atol=1e-9 * math.sqrt(scale))


def check_outputs(network: nn.Sequential, problem: Problem, rows: Rows, J: Tensor) -> None:
    """The last layer's normal equations are those of the dense Jacobian, output by output."""
    last = network[-1]
    mine = J[:, -(last.weight.numel() + last.out_features) :]
    weight, bias = mine.split([last.weight.numel(), last.out_features], 1)
    weight = weight.view(len(J), *last.weight.shape)
    each = rows.outputs()
    assert len(each) == problem.components
    for o, matrix in enumerate(each):
        dense = torch.cat((weight[:, o], bias[:, o : o + 1], rows.residual[:, None]), 1)
        dense = dense[(dense[:, :-1] != 0).any(1)]
        torch.testing.assert_close(matrix.T @ matrix, dense.T @ dense, rtol=1e-9, atol=1e-9)


def test_outputs_that_meet_in_a_residual_are_one_matrix() -> None:
    network, x = small(2, 2, seed=6), positions(4, 2)
    u = LaneField(network)

    def both() -> Tensor:
        u.forget()
        return laplacian(u, x)[:, :1] * u(x)[:, 1:]

    (matrix,) = Rows(linear_layers(network)[-1:], [both]).outputs()
    last = list(network.parameters())[-2:]
    r = both().squeeze(1)
    rows = [
        torch.cat([g.flatten() for g in torch.autograd.grad(v, last, retain_graph=True)]) for v in r
    ]
    torch.testing.assert_close(matrix[:, :-1], torch.stack(rows), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(matrix[:, -1], r.detach(), rtol=1e-12, atol=1e-12)


def test_what_rows_cannot_take_is_named() -> None:
    convolved = nn.Sequential(nn.Linear(2, 4), nn.LayerNorm(4), nn.Linear(4, 1)).double()
    with pytest.raises(InputError, match="weight, bias of LayerNorm 1"):
        check_layers(convolved)
    frozen = small(2, 1)
    frozen[0].weight.requires_grad_(False)
    with pytest.raises(InputError, match="frozen one in layer 0"):
        check_layers(frozen)
    tied = small(6, 6, widths=(6,))
    tied[2].weight = tied[0].weight
    with pytest.raises(InputError, match="got one in both 0 and 2"):
        check_layers(tied)


def test_points_are_of_the_domain_and_of_their_seed() -> None:
    box = Box((-1.0, 2.0), (3.0, 2.5))
    inside, faces = box.interior(64, 1), box.boundary(64, 1)
    assert torch.equal(inside, box.interior(64, 1))
    assert not torch.equal(inside, box.interior(64, 2))
    assert not torch.equal(inside, box.interior(64, 1, 1))
    lower, upper = torch.tensor(box.lower).double(), torch.tensor(box.upper).double()
    assert bool(((inside > lower) & (inside < upper)).all())
    on = (faces == lower) | (faces == upper)
    assert on.any(1).all()
    counts = [int(part.sum()) for side in (lower, upper) for part in (faces == side).T]
    assert counts == [16] * 4
    for axis, side in ((a, s) for a in range(2) for s in (lower, upper)):
        other = (faces[faces[:, axis] == side[axis]][:, 1 - axis] - lower[1 - axis]).sort().values
        width = float(upper[1 - axis] - lower[1 - axis])
        gaps = torch.cat((other[:1], other.diff(), width - other[-1:]))
        assert float(gaps.max()) < 3.0 * width / 16  # all of each face is met
    box.check("points", faces)
    with pytest.raises(InputError, match=r"points: expected points between .* the first \(9.0, 2"):
        box.check("points", torch.tensor([[0.0, 2.1], [9.0, 2.0]]))
    with pytest.raises(InputError, match="1 of 1 outside"):
        box.check("points", torch.tensor([[float("nan"), 2.0]]))
    with pytest.raises(InputError, match=r"expected points of shape \(n, 2\)"):
        box.check("points", torch.zeros(3))
    with pytest.raises(InputError, match="domain"):
        Box((0.0,), (0.0,))


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda u, x: partial(u, x, 2), "axes: expected numbers 0..1"),
        (lambda u, x: laplacian(u, x[0]), "x: expected positions of shape"),
    ],
)
def test_bad_calls_are_told(call: Callable[..., Tensor], told: str) -> None:
    with pytest.raises(InputError, match=told):
        call(LaneField(small(2, 1)), positions(3, 2))


def test_a_network_or_a_residual_that_does_not_fit_is_named_before_training() -> None:
    class Ranked(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.argsort(1).to(x)

    def fits(network: nn.Module, **changes: object) -> None:
        given = {"residual": laplacian, "boundary": lambda u, x: u(x), "domain": Box.cube(2)}
        Problem(**{**given, **changes}).check(LaneField(network))  # type: ignore[arg-type]

    fits(small(2, 1))
    with pytest.raises(InputError, match="network: argsort"):
        fits(nn.Sequential(nn.Linear(2, 2), Ranked()).double())
    with pytest.raises(InputError, match=r"network: expected values of shape \(n, 2\)"):
        fits(small(2, 1), components=2)
    with pytest.raises(InputError, match="residual: expected values of shape"):
        fits(small(2, 1), residual=lambda u, x: u(x).sum())
    with pytest.raises(InputError, match="boundary: expected values that depend on u"):
        fits(small(2, 1), boundary=lambda u, x: x[:, :1])
    with pytest.raises(InputError, match=r"residual: .* row n depends on position n alone"):
        fits(small(2, 1), residual=lambda u, x: laplacian(u, x) - u(x).mean())
    with pytest.raises(InputError, match=r"boundary: .* row n depends on position n alone"):
        fits(small(2, 1), boundary=lambda u, x: u(x) - x[:, 0])  # (n, 1) less (n,) is (n, n)
    fits(small(2, 1), truth=lambda x: x[:, :1])
    with pytest.raises(InputError, match=r"truth: expected values of shape \(n, 1\)"):
        fits(small(2, 1), truth=lambda x: x[:, 0])
    with pytest.raises(InputError, match="residual: expected 1 or 1 weights"):
        fits(small(2, 1), weights=(1.0, 2.0))
