"""Open indices: both schemes, packed tensors, lower orders, chunks, matrices, traces, choices."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from functools import cache
from itertools import combinations_with_replacement, product
from math import comb
from typing import Any

import pytest
import torch
from oracles import nested_autograd
from torch import Tensor, nn
from torch.nn import functional
from zoo import F64, agree, normal, randomise, spaced

from hodsim import InputError
from hodsim.derivatives import (
    Choice,
    Matrix,
    contract,
    explain,
    hessian,
    hessian_diagonal,
    hvp,
    jacobian,
    jvp,
    laplacian,
    third,
    vjp,
)

N, M, BATCH = 3, 4, 5
Function = Callable[[Tensor], Tensor]


class _Graph(nn.Module):
    """Two branches, joined: no plain chain of layers."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(N, 6)
        self.outer = nn.Linear(6 + N, M)

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.tanh(self.inner(x))
        out = torch.cat([hidden, x.sin()], dim=-1)
        return functional.silu(self.outer(out)) * self.outer(out)


def _chain() -> nn.Module:
    return nn.Sequential(nn.Linear(N, 6), nn.SiLU(), nn.Linear(6, M), nn.Tanh(), nn.Linear(M, M))


FUNCTIONS: dict[str, Callable[[], nn.Module]] = {"a chain": _chain, "a graph": _Graph}
every_function = pytest.mark.parametrize("name", FUNCTIONS)
schemes = pytest.mark.parametrize("scheme", ["forward", "adjoint", None])


def _case(name: str) -> tuple[nn.Module, Tensor]:
    return randomise(FUNCTIONS[name](), seed=2), normal(BATCH, N, seed=3)


@cache
def _tensor(name: str, order: int) -> Tensor:
    """D^order f of one of the functions at the points of its case (two of them at order 4)."""
    f, x = _case(name)
    return _truth(f, x[:2] if order == 4 else x, order)


def _truth(f: Function, x: Tensor, order: int) -> Tensor:
    """D^order f at every point, entry by entry."""
    basis = torch.eye(x.shape[-1], dtype=F64)
    out = []
    for point in x:
        entries = {
            entry: nested_autograd(f, point, [basis[i] for i in entry])
            for entry in combinations_with_replacement(range(len(basis)), order)
        }
        full = [entries[tuple(sorted(entry))] for entry in product(range(len(basis)), repeat=order)]
        out.append(torch.stack(full, -1).reshape(-1, *(len(basis),) * order))
    return torch.stack(out)


@every_function
@schemes
@pytest.mark.parametrize("free", [1, 2, 3, 4])
def test_whole_tensors(name: str, scheme: str | None, free: int) -> None:
    f, x = _case(name)
    x = x[:2] if free == 4 else x
    wanted, w, own = _tensor(name, free), normal(M, seed=4), normal(len(x), M, seed=5)
    with torch.no_grad():
        agree(contract(f, x, free=free, scheme=scheme), wanted)
        agree(contract(f, x[0], free=free, scheme=scheme), wanted[0])
        of = {"left": w, "free": free, "scheme": scheme}
        agree(contract(f, x, **of), torch.einsum("bm...,m->b...", wanted, w))
        agree(contract(f, x[0], **of), torch.einsum("m...,m->...", wanted[0], w))
        of["left"] = own
        agree(contract(f, x, **of), torch.einsum("bm...,bm->b...", wanted, own))


@every_function
@schemes
@pytest.mark.parametrize(("given", "free"), [(1, 1), (1, 2), (2, 1), (2, 2), (3, 1)])
def test_some_indices_contracted_and_some_open(
    name: str, scheme: str | None, given: int, free: int
) -> None:
    f, x = _case(name)
    x = x[:2] if given + free == 4 else x
    right = [normal(N, seed=6), normal(len(x), N, seed=7), normal(N, seed=8)][:given]
    wanted = _tensor(name, given + free)
    for a in right:
        wanted = torch.einsum("bmi...,bi->bm...", wanted, a.expand(len(x), N))
    w = normal(M, seed=9)
    with torch.no_grad():
        agree(contract(f, x, right, free=free, scheme=scheme), wanted)
        weighted = torch.einsum("bm...,m->b...", wanted, w)
        agree(contract(f, x, right, left=w, free=free, scheme=scheme), weighted)


@every_function
@schemes
@pytest.mark.parametrize("free", [2, 3])
def test_packed_tensors(name: str, scheme: str | None, free: int) -> None:
    f, x = _case(name)
    entries = list(combinations_with_replacement(range(N), free))
    where = tuple(torch.tensor([entry[k] for entry in entries]) for k in range(free))
    a, w, wanted = normal(N, seed=10), normal(M, seed=11), _tensor(name, free)
    with torch.no_grad():
        got = contract(f, x, free=free, packed=True, scheme=scheme)
        assert got.shape == (BATCH, M, comb(N + free - 1, free))
        agree(got, wanted[(..., *where)])
        weighted = torch.einsum("bm...,m->b...", wanted, w)[(..., *where)]
        agree(contract(f, x, left=w, free=free, packed=True, scheme=scheme), weighted)
        more = contract(f, x[0], [a], free=free, packed=True, scheme=scheme)
        agree(more, contract(f, x[0], [a], free=free, scheme=scheme)[(..., *where)])


@every_function
def test_named_calls(name: str) -> None:
    f, x = _case(name)
    J, H, T = (_tensor(name, k) for k in (1, 2, 3))
    v, w = normal(N, seed=12), normal(M, seed=13)
    agree(jvp(f, x, v), J @ v)
    agree(vjp(f, x, w), torch.einsum("bmi,m->bi", J, w))
    agree(hvp(f, x, v, left=w), torch.einsum("bmij,m,j->bi", H, w, v))
    agree(jacobian(f, x), J)
    agree(hessian(f, x), H)
    agree(hessian(f, x, left=w), torch.einsum("bmij,m->bij", H, w))
    agree(third(f, x), T)
    agree(third(f, x, left=w), torch.einsum("bmijk,m->bijk", T, w))
    agree(laplacian(f, x), torch.einsum("bmii->bm", H))
    agree(laplacian(f, x[0]), torch.einsum("mii->m", H[0]))
    agree(hessian_diagonal(f, x), torch.einsum("bmii->bmi", H))
    agree(hessian_diagonal(f, x[0]), torch.einsum("mii->mi", H[0]))


def test_a_scalar_function_needs_no_weights() -> None:
    f, x = _case("a graph")

    def number(t: Tensor) -> Tensor:
        return f(t).square().sum(-1)

    wanted = torch.stack(
        [torch.autograd.functional.hessian(number, point, create_graph=False) for point in x]
    )
    a = normal(N, seed=14)
    agree(hvp(number, x, a), wanted @ a)
    agree(hessian(number, x), wanted)
    agree(hessian(number, x[0]), wanted[0])
    agree(laplacian(number, x), torch.einsum("bii->b", wanted))


# ---------------------------------------------------------------- lower orders, chunks


@every_function
@pytest.mark.parametrize("free", [0, 1])
def test_lower_orders_come_along(name: str, free: int) -> None:
    f, x = _case(name)
    a, b = normal(N, seed=15), normal(BATCH, N, seed=16)
    right = [a, b, a]
    for w in (None, normal(M, seed=17)):
        if free and w is None:
            continue
        orders = contract(f, x, right, left=w, free=free, lower=True)
        assert isinstance(orders, tuple)
        assert len(orders) == 4
        for k, got in enumerate(orders):
            agree(got, contract(f, x, right[:k], left=w, free=free))


def test_lower_orders_of_a_gradient_by_parameters() -> None:
    f, x = _case("a chain")
    point = {name: p.detach() for name, p in f.named_parameters()}

    def loss(p: dict[str, Tensor]) -> Tensor:
        return torch.func.functional_call(f, p, (x,)).square().mean()

    v = {name: normal(*p.shape, seed=18) for name, p in point.items()}
    gradient, product = contract(loss, point, [v], free=1, lower=True)
    for name in point:
        agree(gradient[name], vjp(loss, point)[name])
        agree(product[name], hvp(loss, point, v)[name])


@every_function
@schemes
@pytest.mark.parametrize("rows", [1, 2, 5, 1000])
def test_chunks_of_rows_change_nothing(name: str, scheme: str | None, rows: int) -> None:
    f, x = _case(name)
    w = normal(M, seed=19)
    with torch.no_grad():
        for free in (1, 2, 3):
            wanted = contract(f, x, free=free, scheme=scheme)
            agree(contract(f, x, free=free, scheme=scheme, rows=rows), wanted, rtol=1e-13)
        packed: dict[str, Any] = {"left": w, "free": 3, "packed": True, "scheme": scheme}
        agree(contract(f, x, **packed, rows=rows), contract(f, x, **packed), rtol=1e-13)
        agree(laplacian(f, x, rows=rows), laplacian(f, x), rtol=1e-13)
        agree(hessian_diagonal(f, x, rows=rows), hessian_diagonal(f, x), rtol=1e-13)


# ---------------------------------------------------------------- matrices


@every_function
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_a_matrix_stands_for_two_directions(name: str, rank: int) -> None:
    f, x = _case(name)
    A = normal(N, rank, seed=20) @ normal(rank, N, seed=21)  # not symmetric
    b, w = normal(N, seed=22), normal(M, seed=23)
    H, T = _tensor(name, 2), _tensor(name, 3)
    agree(contract(f, x, [Matrix(A)]), torch.einsum("bmij,ij->bm", H, A))
    agree(contract(f, x[0], [Matrix(A)]), torch.einsum("mij,ij->m", H[0], A))
    agree(contract(f, x, [Matrix(A)], left=w), torch.einsum("bmij,ij,m->b", H, A, w))
    TA = torch.einsum("bmijk,ij->bmk", T, A)
    agree(contract(f, x, [Matrix(A), b]), TA @ b)
    agree(contract(f, x, [b, Matrix(A)]), TA @ b)
    for scheme in ("forward", "adjoint"):
        agree(contract(f, x, [Matrix(A)], free=1, scheme=scheme), TA)
        weighted = torch.einsum("bmk,m->bk", TA, w)
        agree(contract(f, x, [Matrix(A)], left=w, free=1, scheme=scheme), weighted)


def test_two_matrices_at_once() -> None:
    f, x = _case("a graph")
    A, B = normal(N, N, seed=24), normal(N, N, seed=25)
    D4 = _tensor("a graph", 4)[0]
    for one, other in ((A, B), (A, A)):  # the second pair has its eigendirections in common
        wanted = torch.einsum("mijkl,ij,kl->m", D4, one, other)
        agree(contract(f, x[0], [Matrix(one), Matrix(other)]), wanted)


def test_a_zero_matrix_and_the_identity() -> None:
    f, x = _case("a graph")
    zero = contract(f, x, [Matrix(torch.zeros(N, N, dtype=F64))])
    assert torch.equal(zero, torch.zeros(BATCH, M, dtype=F64))
    agree(contract(f, x, [Matrix(torch.eye(N, dtype=F64))]), laplacian(f, x))


# ---------------------------------------------------------------- points of any shape


def test_pictures_keep_their_axes() -> None:
    f = randomise(nn.Sequential(nn.Conv2d(1, 2, 2), nn.GELU(), nn.Conv2d(2, 1, 2), nn.Tanh()))
    x = spaced(2, 1, 3, 3, seed=1)
    wanted = [torch.autograd.functional.jacobian(lambda p: f(p[None])[0], point) for point in x]
    for scheme in ("forward", "adjoint"):
        got = jacobian(f, x, scheme=scheme)
        assert got.shape == (2, 1, 1, 1, 1, 3, 3)
        agree(got, torch.stack(wanted))
    number = [torch.autograd.functional.hessian(lambda p: f(p[None]).sum(), point) for point in x]
    agree(hessian(lambda t: f(t).flatten(1).sum(1), x), torch.stack(number))
    w = torch.ones(1, 1, 1, dtype=F64)
    agree(hessian(f, x, left=w), torch.stack(number))
    traces = torch.stack([h.reshape(9, 9).trace() for h in number])
    agree(laplacian(f, x).flatten(), traces)


def test_a_loss_of_the_whole_batch() -> None:
    f, x = _case("a graph")

    def loss(t: Tensor) -> Tensor:
        return functional.mse_loss(f(t), torch.zeros(BATCH, M, dtype=F64))

    wanted = torch.autograd.functional.hessian(loss, x)
    agree(jacobian(loss, x), torch.autograd.functional.jacobian(loss, x))
    for scheme in ("forward", "adjoint"):
        agree(hessian(loss, x, scheme=scheme), wanted)


def test_a_number_is_a_point_too() -> None:
    x = torch.tensor(0.3, dtype=F64)
    one = torch.ones((), dtype=F64)
    agree(contract(torch.sin, x, [one, one, one]), -torch.cos(x))
    agree(vjp(torch.sin, x), torch.cos(x))


def test_a_batch_of_one_and_an_output_of_the_batch_size() -> None:
    f = randomise(nn.Sequential(nn.Linear(N, BATCH), nn.Tanh()))
    x = normal(BATCH, N, seed=26)
    agree(jacobian(f, x), _truth(f, x, 1))
    agree(jacobian(f, x[:1]), _truth(f, x[:1], 1))


def test_batch_normalisation_of_one_whole_batch() -> None:
    # Contractions, and a loss of the batch, are defined; Jacobians of single points are not.
    f = randomise(nn.Sequential(nn.Linear(N, M), nn.BatchNorm1d(M), nn.Tanh()))
    x = normal(BATCH, N, seed=27)
    with pytest.raises(InputError, match=r"mixes the points.*batch normalisation.*eval mode"):
        jacobian(f, x)
    with pytest.raises(InputError, match="mixes the points"):
        hessian(f, x, left=normal(M))
    with pytest.raises(InputError, match="mixes the points"):
        laplacian(f, x)
    wanted = torch.autograd.functional.jacobian(lambda t: f(t).sum(0).square().sum(), x)
    agree(jacobian(lambda t: f(t).sum(0).square().sum(), x), wanted)
    w, a = normal(BATCH, M, seed=28), normal(BATCH, N, seed=29)
    first = torch.autograd.functional.jvp(f, x, a)[1]
    agree(contract(f, x, [a]), first)
    (pulled,) = torch.autograd.grad((f(p := x.clone().requires_grad_(True)) * w).sum(), p)
    agree(vjp(f, x, w), pulled)
    agree(jacobian(f.eval(), x), _truth(lambda p: f(p[None])[0], x, 1))


# ---------------------------------------------------------------- what is chosen


def test_explain_says_what_is_picked_and_why() -> None:
    f, x = _case("a graph")
    choice = explain(f, x, free=2)
    assert isinstance(choice, Choice)
    assert choice.scheme in choice.costs
    assert choice.scheme in choice.reason
    assert set(choice.costs) >= {"forward", "adjoint"}
    assert choice.costs[choice.scheme] == min(choice.costs.values())
    assert explain(f, x, [x[0], x[0]]).scheme == "forward"


def test_many_inputs_go_backward_and_many_outputs_forward() -> None:
    few, many = 2, 40
    for n, m, wanted in ((many, few, "adjoint"), (few, many, "forward")):
        W = normal(n, m, seed=30)
        x = normal(n, seed=31)

        def f(t: Tensor, W: Tensor = W) -> Tensor:
            return torch.tanh(t.unsqueeze(0) @ W).squeeze(0)

        assert explain(f, x, free=1).scheme == wanted
        assert explain(f, x, left=normal(m), free=2).scheme == ("adjoint" if n > few else "forward")


@pytest.mark.parametrize("scheme", ["pairs", "bottleneck"])
def test_the_schemes_of_chains(scheme: str) -> None:
    # More inputs than the first layer is wide: what the bottleneck is for.
    layers = [nn.Linear(7, 4), nn.SiLU(), nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)]
    f = randomise(nn.Sequential(*layers), seed=6)
    x, w, a = normal(BATCH, 7, seed=7), normal(3, seed=8), normal(7, seed=9)
    J, H = _truth(f, x[:2], 1), _truth(f, x[:2], 2)
    i, j = torch.triu_indices(7, 7)
    with torch.no_grad():
        agree(hessian(f, x, scheme=scheme)[:2], H)
        agree(hessian(f, x[0], scheme=scheme), H[0])
        agree(hessian(f, x, packed=True, scheme=scheme)[:2], H[..., i, j])
        agree(hessian(f, x, left=w, scheme=scheme)[:2], torch.einsum("bmij,m->bij", H, w))
        if scheme == "bottleneck":
            agree(jacobian(f, x, scheme=scheme)[:2], J)
            agree(contract(f, x, [a], free=1, scheme=scheme)[:2], torch.einsum("bmij,i->bmj", H, a))
            weighted = torch.einsum("bmij,i,m->bj", H, a, w)
            agree(contract(f, x, [a], left=w, free=1, scheme=scheme)[:2], weighted)
    assert scheme in explain(f, x, free=2).costs
    with torch.no_grad(), pytest.raises(InputError, match=f"scheme: expected .*got '{scheme}'"):
        contract(f, x, [a, a], free=0, scheme=scheme)
    graph, y = _case("a graph")
    with pytest.raises(InputError, match=f"scheme: expected .*got '{scheme}'"):
        hessian(graph, y, scheme=scheme)


def test_chains_agree_with_the_same_layers_called_one_by_one() -> None:
    layers: list[nn.Module] = [nn.Linear(N, 6), nn.ELU(0.7), nn.Linear(6, 4, bias=False)]
    layers += [nn.Softplus(2.0), nn.Identity(), nn.Dropout(0.5), nn.LeakyReLU(), nn.Linear(4, 4)]
    layers += [nn.Linear(4, M), nn.GELU(), nn.Sigmoid()]
    chain = randomise(nn.Sequential(*layers), seed=3).eval()
    x, a, b = normal(BATCH, N, seed=1), normal(N, seed=2), normal(BATCH, N, seed=3)
    w = normal(M, seed=4)
    with torch.no_grad():
        for point, c in ((x, b), (x[0], b[0])):
            for right in ([], [a], [a, c], [a, a, c], [c, c, c], [a, c, a, c]):
                for free in (0, 1, 2, 3) if len(right) < 3 else (0, 1):
                    for left in (None, w):
                        got = contract(chain, point, right, left, free)
                        # A function is no chain, whatever it calls.
                        agree(got, contract(lambda t: chain(t), point, right, left, free))
        wanted = contract(chain, x, [a], free=2)
        got = contract(deepcopy(chain).float(), x.float(), [a.float()], free=2)
        assert got.dtype is torch.float32
        agree(got.double(), wanted, rtol=2e-5)


def test_a_scheme_that_does_not_apply_is_refused() -> None:
    f, x = _case("a graph")
    with pytest.raises(InputError, match=r"scheme: expected .*forward.*got 'sideways'"):
        jacobian(f, x, scheme="sideways")
    with pytest.raises(InputError, match=r"scheme: expected .*got 'adjoint'"):
        contract(f, x, [x[0]], scheme="adjoint")
    point = {"x": x}
    with pytest.raises(InputError, match=r"scheme: expected .*adjoint.*got 'forward'"):
        contract(lambda p: f(p["x"]).sum(), point, free=1, scheme="forward")
