"""The fast way through plain chains against nested autograd, every scheme forced."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from oracles import derivative_tensor, nested_autograd
from torch import Tensor, nn

from hodsim import InputError
from hodsim.derivatives import LanePlan
from hodsim.derivatives.chain import Chain, chain_of, contract_chain, push_chain

F64 = torch.float64
SCHEMES = ["forward", "adjoint", "pairs", "bottleneck"]

CHAINS = {
    "plain": lambda: [
        nn.Linear(4, 7),
        nn.SiLU(),
        nn.Linear(7, 6),
        nn.Tanh(),
        nn.Linear(6, 5),
    ],
    "activations at both ends, two in a row": lambda: [
        nn.Tanh(),
        nn.Linear(4, 7),
        nn.SiLU(),
        nn.Sigmoid(),
        nn.Linear(7, 3),
        nn.Linear(3, 5),
        nn.Softplus(beta=1.5),
    ],
    "width one": lambda: [nn.Linear(4, 1), nn.SiLU(), nn.Linear(1, 6), nn.ELU(), nn.Linear(6, 1)],
    "one linear layer": lambda: [nn.Linear(4, 3)],
    "one activation": lambda: [nn.Tanh()],
    "one activation, many outputs": lambda: [nn.Linear(4, 3), nn.SiLU(), nn.Linear(3, 19)],
    "linear layers in a row, nested, no bias": lambda: [
        nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 9), nn.Identity()),
        nn.Flatten(),
        nn.ELU(alpha=1.3),
        nn.Linear(9, 2, bias=False),
        nn.Linear(2, 3),
    ],
}


def _net(name: str = "plain") -> nn.Sequential:
    torch.manual_seed(0)
    net = nn.Sequential(*CHAINS[name]()).to(F64).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(2.0)  # torch's initial weights are so small that high orders vanish
    return net


def _chain(net: nn.Module) -> Chain:
    chain = chain_of(net)
    assert chain is not None
    return chain


def _random(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, dtype=F64, generator=torch.Generator().manual_seed(seed))


def _truth(f: nn.Module, x: Tensor, right: list[Tensor], free: int) -> Tensor:
    """(batch, m, n, ..., n) one point and one entry at a time."""
    n, eye, out = x.shape[1], torch.eye(x.shape[1], dtype=x.dtype), []

    def at(point: Tensor) -> Tensor:  # nn.Flatten wants a batch
        return f(point.unsqueeze(0)).squeeze(0)

    for b, point in enumerate(x):
        own = [a if a.dim() == 1 else a[b] for a in right]
        if not own:
            out.append(derivative_tensor(at, point, free) if free else at(point).detach())
            continue
        entries = [
            nested_autograd(at, point, [*own, *(eye[i] for i in index)])
            for index in product(range(n), repeat=free)
        ]
        out.append(torch.stack(entries, -1).reshape(-1, *(n,) * free))
    return torch.stack(out)


def _close(got: Tensor, wanted: Tensor, rtol: float = 1e-10) -> None:
    scale = float(wanted.abs().max())
    assert got.shape == wanted.shape
    torch.testing.assert_close(got, wanted, rtol=rtol, atol=rtol * scale)


@pytest.mark.parametrize("name", CHAINS)
@pytest.mark.parametrize(
    ("free", "pattern"),
    [
        (free, pattern)
        for free in (0, 1, 2)
        for pattern in ("", "a", "ab", "aa", "bab")
        if free + len(pattern) <= 4  # order 5 by nested autograd takes minutes
    ],
)
def test_every_scheme_is_nested_autograd(name: str, free: int, pattern: str) -> None:
    f = _net(name)
    x = _random(3, 4, seed=2)
    named = {"a": _random(4, seed=3), "b": _random(3, 4, seed=4)}
    right = [named[c] for c in pattern]
    truth = _truth(f, x, right, free)
    m = truth.shape[1]
    # A chain of one linear layer has no second derivative: there, and only there, all is zero.
    assert (truth.abs().max() > 1e-8) == (name != "one linear layer" or free + len(pattern) <= 1)
    ran = 0
    for left in (None, _random(m, seed=5), _random(3, m, seed=6)):
        wanted = truth
        if left is not None:
            wanted = torch.einsum("bm...,bm->b...", truth, left.expand(3, m))
        for scheme in (None, *SCHEMES):
            try:
                with torch.no_grad():
                    got = contract_chain(_chain(f), x, right, left, free, scheme)
            except InputError:
                assert scheme is not None
                continue
            _close(got, wanted)
            ran += 1
    assert ran >= 6


def test_three_open_indices() -> None:
    f, x, a = _net(), _random(2, 4), _random(4, seed=2)
    _close(contract_chain(_chain(f), x, [], None, 3), _truth(f, x, [], 3))
    got = contract_chain(_chain(f), x, [a], None, 3, packed=True)
    i, j, k = LanePlan.symmetric(4, 3).blocks[3].unbind(1)
    wanted = contract_chain(_chain(f), x, [a], None, 3)
    _close(got, wanted[:, :, i, j, k])
    _close(
        wanted[..., 0, :, :], contract_chain(_chain(f), x, [a, torch.eye(4)[0].double()], None, 2)
    )


@pytest.mark.parametrize("scheme", ["forward", "pairs", "bottleneck"])
@pytest.mark.parametrize("name", ["plain", "one activation, many outputs", "width one"])
def test_packed_hessians_leave_out_mirror_images(name: str, scheme: str) -> None:
    f, x = _net(name), _random(2, 4)
    full = contract_chain(_chain(f), x, [], None, 2, scheme)
    i, j = LanePlan.symmetric(4, 2).blocks[2].unbind(1)
    assert torch.equal(contract_chain(_chain(f), x, [], None, 2, scheme, True), full[:, :, i, j])
    assert torch.equal(full, full.transpose(2, 3))


def _wide(n: int, m: int, dtype: torch.dtype = F64) -> nn.Sequential:
    torch.manual_seed(1)
    layers = [nn.Linear(n, 37), nn.SiLU(), nn.Linear(37, 70), nn.ELU(), nn.Linear(70, m)]
    return nn.Sequential(*layers).to(dtype)


@pytest.mark.parametrize(("n", "m"), [(70, 3), (5, 81), (60, 45)])
def test_schemes_agree_on_wide_chains_and_across_tiles(n: int, m: int) -> None:
    """Remainders of the register tile, and more rows than one tile of points or of lanes takes."""
    f, x, w = _wide(n, m), _random(40, n), _random(m, seed=2)
    a = _random(n, seed=3)
    for right, free, left in [([], 1, None), ([a, a], 1, None), ([a], 1, w), ([], 2, w)]:
        scheme_of = SCHEMES[:2] + SCHEMES[3:] if free == 1 else SCHEMES[:1] + SCHEMES[2:]
        first, *others = [contract_chain(_chain(f), x, right, left, free, s) for s in scheme_of]
        assert first.abs().max() > 1e-8
        for other in others:
            _close(other, first, 1e-12)
    full = [contract_chain(_chain(f), x[:3], [], None, 2, s) for s in SCHEMES if s != "adjoint"]
    _close(full[1], full[0], 1e-12)
    _close(full[2], full[0], 1e-12)
    _close(full[0][1, 2], torch.autograd.functional.hessian(lambda p: f(p)[2], x[1]))


def test_push_carries_every_lane_of_a_plan_in_any_order_of_directions() -> None:
    f = _net()
    x, d = _random(3, 4), _random(3, 3, 4, seed=2)
    plan = LanePlan.closure([(2, 0, 2), (1, 1, 0), (0, 1, 2, 2)], 3)
    got = push_chain(_chain(f), x, d, plan)
    assert got.shape == (plan.n_lanes, 3, 5)
    for row, lane in enumerate(plan.lanes):
        _close(got[row], _truth(f, x, [d[i] for i in lane], 0))
    shared = push_chain(_chain(f), x, d[:, 0], plan)
    _close(shared[:, 0], got[:, 0], 1e-14)
    line = nn.Linear(4, 2).to(F64)
    got = push_chain(_chain(line), x, d, plan)
    _close(got[plan.row((1,))], d[1] @ line.weight.detach().T)
    assert not got[plan.starts[2] :].any()


def test_a_large_batch_is_cut_into_tiles() -> None:
    f, d = _net(), _random(3, 1500, 4, seed=2)
    x = _random(1500, 4)
    plan = LanePlan.symmetric(3, 2)
    whole = push_chain(_chain(f), x, d, plan)
    _close(push_chain(_chain(f), x[-2:], d[:, -2:], plan), whole[:, -2:], 1e-13)
    jacobian = contract_chain(_chain(f), x, [], None, 1)
    _close(jacobian[[0, -1]], _truth(f, x[[0, -1]], [], 1))


def test_float32_agrees_to_its_own_rounding() -> None:
    f, x = _wide(9, 6), _random(5, 9)
    a = _random(9, seed=3)
    low = _wide(9, 6, torch.float32)
    for right, free, scheme in product(([], [a, a]), (1, 2), SCHEMES):
        try:
            got = contract_chain(
                _chain(low), x.float(), [r.float() for r in right[:2]], None, free, scheme
            )
        except InputError:
            continue
        assert got.dtype is torch.float32
        wanted = contract_chain(_chain(f), x, right, None, free)
        # A few dozen roundings of 6e-8 on top of each other, relative to the largest entry.
        assert float((got - wanted).abs().max() / wanted.abs().max()) < 1e-5


def test_memory_layout_does_not_matter() -> None:
    f = _net()
    x, a, w = _random(3, 4), _random(3, 4, seed=2), _random(3, 5, seed=3)
    wanted = [contract_chain(_chain(f), x, [a], left, 1) for left in (None, w)]
    odd = nn.Sequential(*CHAINS["plain"]()).to(F64)
    for got, layer in zip(odd, f, strict=True):
        if isinstance(layer, nn.Linear):
            wide = layer.weight.detach().repeat_interleave(2, 1)[:, ::2]
            turned = layer.weight.detach().T.contiguous().T
            got.weight = nn.Parameter(wide if layer.in_features == 4 else turned)
            got.bias = nn.Parameter(layer.bias.detach().repeat_interleave(3)[::3])
            assert not got.weight.is_contiguous()
    strange = [t.T.contiguous().T for t in (x, a, w)]
    for left, each in zip((None, strange[2]), wanted, strict=True):
        for scheme in ("forward", "adjoint", "bottleneck"):
            got = contract_chain(_chain(odd), strange[0], [strange[1]], left, 1, scheme)
            _close(got, each, 1e-13)


def test_weights_are_read_at_every_call() -> None:
    f, x = _net(), _random(2, 4)
    before = contract_chain(_chain(f), x, [], None, 1)
    with torch.no_grad():
        f[0].weight.mul_(1.5)
        f[4].bias.add_(1.0)
    after = contract_chain(_chain(f), x, [], None, 1)
    assert not torch.allclose(before, after)
    _close(after, _truth(f, x, [], 1))


@pytest.mark.parametrize(
    "f",
    [
        nn.Sequential(nn.Linear(3, 3), nn.Dropout()),
        nn.Sequential(nn.Linear(3, 3), nn.LayerNorm(3)),
        nn.Sequential(nn.Linear(3, 3), nn.Linear(4, 3)),
        nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3).double()),
        nn.Conv1d(1, 1, 1),
        nn.Sequential(nn.Linear(3, 3, device="meta")),
        torch.nn.utils.parametrizations.weight_norm(nn.Linear(3, 3)),
    ],
)
def test_what_is_no_plain_chain(f: nn.Module) -> None:
    assert chain_of(f) is None


def test_hooks_and_an_own_forward_make_it_no_chain() -> None:
    f = _net()
    handle = f[1].register_forward_hook(lambda *_: None)
    assert chain_of(f) is None
    handle.remove()
    assert chain_of(f) is not None
    f[2].forward = lambda x: x
    assert chain_of(f) is None


def test_refusals() -> None:
    f, x = _net(), _random(2, 4)
    with pytest.raises(InputError, match=r"scheme: expected one of forward, adjoint, bottleneck"):
        contract_chain(_chain(f), x, [], None, 1, "pairs")
    with pytest.raises(InputError, match=r"x: expected torch.float64 .*got torch.float32"):
        contract_chain(_chain(f), x.float(), [], None, 1)
