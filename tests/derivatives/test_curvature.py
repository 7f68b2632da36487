"""Products with curvature at a point that is kept: Hessian, Gauss-Newton, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional
from zoo import F64, PlainNorm, agree, normal, randomise, spaced

from hodsim.derivatives import UnknownRuleError, hvp, linearise, vjp
from hodsim.derivatives.operations.taps import weight_gradient
from hodsim.errors import InputError

Parameters = dict[str, Tensor]
X, CLASSES = spaced(5, 4), torch.tensor([0, 2, 1, 1, 0])


def network() -> nn.Sequential:
    layers = [nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, 3)]
    randomise(made := nn.Sequential(*layers), seed=2)
    return made


def of_parameters(net: nn.Module) -> tuple[Callable[[Parameters], Tensor], Parameters]:
    point = {key: p.detach() for key, p in net.named_parameters()}
    return lambda p: functional_call(net, p, (X,)), point


def judged(y: Tensor) -> Tensor:
    return functional.cross_entropy(y, CLASSES)


def like(point: Parameters, seed: int) -> Parameters:
    return {key: normal(*p.shape, seed=seed + i) for i, (key, p) in enumerate(point.items())}


def flat(tensors: Parameters) -> Tensor:
    return torch.cat([t.flatten() for t in tensors.values()])


def truth() -> tuple[Tensor, Tensor, Tensor]:
    """J of the network by its parameters, H of the loss by the logits, and the loss's Hessian."""
    net = network()
    plain = nn.Sequential(net[0], PlainNorm(net[1]), *net[2:])
    _, point = of_parameters(net)
    sizes = [p.numel() for p in point.values()]

    def logits(vector: Tensor) -> Tensor:
        pieces = zip(plain.named_parameters(), vector.split(sizes), strict=True)
        return functional_call(plain, {k: v.reshape(p.shape) for (k, p), v in pieces}, (X,))

    jacobian = torch.autograd.functional.jacobian
    w = flat(point)
    J = jacobian(logits, w).reshape(15, -1)
    H = torch.autograd.functional.hessian(judged, logits(w)).reshape(15, 15)
    return J, H, torch.autograd.functional.hessian(lambda t: judged(logits(t)), w)


def test_both_products_and_the_gradient_against_explicit_matrices() -> None:
    f, point = of_parameters(network())
    J, H, whole = truth()
    curvature = linearise(f, point, judged)
    logits = f(point).detach()
    agree(curvature.value, judged(logits))
    agree(flat(curvature.gradient), J.T @ vjp(judged, logits.requires_grad_(False)).flatten())
    for seed in (10, 20):
        v = like(point, seed)
        agree(flat(curvature.hvp(v)), whole @ flat(v))
        agree(flat(curvature.gnvp(v)), J.T @ (H @ (J @ flat(v))))
    assert list(curvature.gnvp(v)) == list(point)


def test_what_was_asked_before_changes_nothing() -> None:
    f, point = of_parameters(network())
    v, w = like(point, 10), like(point, 20)
    first = linearise(f, point, judged)
    wanted = [flat(first.hvp(v)), flat(first.gnvp(w)), flat(first.gradient)]
    other = linearise(f, point, judged)
    gradient = flat(other.gradient)
    other.hvp(w)
    got = [flat(other.hvp(v)), flat(other.gnvp(w)), gradient]
    for a, b in zip(got, wanted, strict=True):
        assert torch.equal(a, b)
    with torch.no_grad():
        assert torch.equal(flat(hvp(lambda p: judged(f(p)), point, v)), wanted[0])


def test_a_loss_of_what_is_linear_has_the_same_two_products() -> None:
    layer = randomise(nn.Linear(4, 3), seed=4)
    f, point = of_parameters(layer)
    v = like(point, 30)
    curvature = linearise(f, point, judged)
    agree(flat(curvature.gnvp(v)), flat(curvature.hvp(v)), rtol=1e-14)


def test_conjugate_gradients_on_a_least_squares_problem() -> None:
    layer, target = randomise(nn.Linear(4, 3), seed=5), normal(5, 3)
    f, point = of_parameters(layer)
    curvature = linearise(f, point, lambda y: functional.mse_loss(y, target))
    r = -flat(curvature.gradient)
    step, p = torch.zeros_like(r), r.clone()
    sizes = [q.numel() for q in point.values()]
    for _ in range(2 * len(r)):
        parts = zip(point.items(), p.split(sizes), strict=True)
        Ap = flat(curvature.gnvp({key: part.reshape(q.shape) for (key, q), part in parts}))
        a = (r @ r) / (p @ Ap)
        step, new = step + a * p, r - a * Ap
        p, r = new + (new @ new) / (r @ r) * p, new
        if float(r.norm()) < 1e-13:
            break
    X1 = torch.cat((X, torch.ones(5, 1, dtype=F64)), 1)
    wanted = torch.linalg.lstsq(X1, target).solution
    got = (flat(point) + step).split(sizes)
    agree(X1 @ torch.cat((got[0].reshape(3, 4).T, got[1].reshape(1, 3))), X1 @ wanted)


def test_points_of_a_batch_and_weights() -> None:
    f = randomise(nn.Sequential(nn.Linear(3, 4), nn.SiLU(), nn.Linear(4, 2)), seed=6)
    x, v, w = normal(5, 3), normal(5, 3, seed=2), normal(5, 2, seed=3)
    curvature = linearise(f, x, left=w)
    for i in range(5):
        H = torch.autograd.functional.hessian(lambda t, i=i: f(t) @ w[i], x[i])
        agree(curvature.hvp(v)[i], H @ v[i])
    with pytest.raises(InputError, match="left: expected weights over f's 2 outputs"):
        linearise(f, x)


def test_leaves_that_reach_nothing_and_functions_that_are_constant() -> None:
    a, b = normal(3), normal(3, seed=2)
    curvature = linearise(lambda p: (p["a"] ** 3).sum(), {"a": a, "b": b})
    agree(curvature.hvp({"a": b})["a"], 6.0 * a * b)
    assert torch.equal(curvature.hvp({"b": b})["a"], torch.zeros_like(a))
    for got in (curvature.gradient["b"], curvature.hvp({"a": b})["b"]):
        assert torch.equal(got, torch.zeros_like(b))
    constant = linearise(lambda _: a.sum(), b)
    assert not constant.gradient.any()
    assert not constant.hvp(a).any()


def test_detached_parts_are_constants() -> None:
    a, v = normal(3), normal(3, seed=2)
    agree(linearise(lambda t: (t.detach() * t * t).sum(), a).hvp(v), 2.0 * a * v)


def test_no_graph_is_made() -> None:
    f, point = of_parameters(network())
    leaves = {key: p.clone().requires_grad_() for key, p in point.items()}
    curvature = linearise(f, leaves, judged)
    v = {key: t.requires_grad_() for key, t in like(point, 10).items()}
    results = [curvature.value, *curvature.gradient.values()]
    results += [*curvature.hvp(v).values(), *curvature.gnvp(v).values()]
    assert not any(t.requires_grad for t in results)


def test_parameters_written_into_are_refused() -> None:
    net = network()
    f, point = of_parameters(net)
    v = like(point, 10)
    curvature = linearise(f, point, judged)
    curvature.hvp(v)
    with torch.no_grad():
        next(iter(net[3].parameters())).mul_(1.1)  # as an optimiser does
    calls: list[Callable[[], Any]] = [
        lambda: curvature.hvp(v),
        lambda: curvature.gnvp(v),
        lambda: curvature.gradient,
    ]
    for call in calls:
        with pytest.raises(InputError, match=r"x\['3.weight'\]: .* written into since; linearise"):
            call()
    linearise(f, point, judged).hvp(v)


def test_inference_tensors_have_no_count_and_go_through() -> None:
    with torch.inference_mode():
        a = normal(3)
        agree(linearise(lambda t: (t**3).sum(), a).hvp(a), 6.0 * a * a)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda c: c.gnvp(X), r"gnvp: expected a loss of f's result, got none; call linearise"),
        (lambda c: c.hvp(X[:, :3]), r"v: expected shape \(4,\) or \(5, 4\)"),
        (lambda c: c.hvp(X.float()), "v: expected torch.float64"),
        (lambda _: linearise(torch.sin, X, 3), "loss: expected a function of f's result, got int"),
        (lambda _: linearise(3, X), "f: expected a torch.nn.Module or a function, got int"),
        (lambda _: linearise(torch.sin, 3), "x: expected a float32 or float64 tensor, got int"),
    ],
)
def test_bad_input_is_named(call: Callable[[Any], Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        call(linearise(lambda t: t.sin().sum(), X))


def test_autocast_is_refused_in_products_too() -> None:
    curvature = linearise(lambda t: t.sin().sum(), X)
    with torch.autocast("cpu"), pytest.raises(InputError, match="autocast"):
        curvature.hvp(X)


def test_active_dropout_and_unknown_functions_are_refused_by_name() -> None:
    for f, told in ((nn.Dropout(0.5).train(), "dropout"), (torch.floor, "floor")):
        with pytest.raises(UnknownRuleError, match=told):
            linearise(f, X, torch.sum)


# ---------------------------------------------------------------- what only float32 takes


def _images(seed: int = 1) -> tuple[nn.Sequential, Tensor]:
    """Convolutions of large images, of one channel and more, and of small ones with many."""
    layers: list[nn.Module] = [nn.Conv2d(1, 8, 5, padding=2), nn.BatchNorm2d(8), nn.Tanh()]
    layers += [nn.AvgPool2d(2), nn.Conv2d(8, 6, 3, dilation=2, padding=2, groups=2), nn.SiLU()]
    layers += [nn.MaxPool2d(2), nn.Conv2d(6, 192, 3, stride=2, padding=1), nn.BatchNorm2d(192)]
    layers += [nn.Tanh(), nn.Conv2d(192, 192, (3, 2), padding=(1, 0)), nn.Tanh()]
    layers += [nn.MaxPool2d(2), nn.Flatten(), nn.Linear(192 * 2, 3)]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(*layers), torch.rand(4, 1, 32, 32)


def test_float32_layouts_and_products_by_taps_to_their_own_rounding() -> None:
    net, x = _images()
    classes = torch.tensor([0, 2, 1, 1])
    point = {key: p.detach() for key, p in net.named_parameters()}
    v = {key: 0.1 * t.float() for key, t in like(point, 40).items()}

    def products(single: bool) -> list[Tensor]:
        kind = torch.float32 if single else F64
        net.to(kind)
        curvature = linearise(
            lambda p: functional_call(net, p, (x.to(kind),)),
            {key: p.to(kind) for key, p in point.items()},
            lambda y: functional.cross_entropy(y, classes),
        )
        along = {key: t.to(kind) for key, t in v.items()}
        got = [curvature.hvp(along), curvature.gnvp(along), curvature.gradient]
        assert all(t.is_contiguous() for result in got for t in result.values())
        return [flat(result).to(F64) for result in got]

    for got, wanted in zip(products(single=True), products(single=False), strict=True):
        # Some hundred roundings of 6e-8 on top of each other, relative to the largest entry.
        agree(got, wanted, rtol=2e-5)


@pytest.mark.parametrize(
    ("image", "kernel", "stride", "padding", "dilation"),
    [
        ((2, 2), (3, 3), (1, 1), (1, 1), (1, 1)),
        ((4, 4), (3, 3), (2, 1), (1, 2), (1, 2)),
        ((4, 3), (3, 2), (2, 2), (0, 1), (1, 1)),
        ((1, 1), (3, 3), (1, 1), (1, 1), (1, 1)),
        ((5, 4), (3, 3), (3, 2), (4, 4), (3, 3)),
        ((1, 2), (5, 3), (1, 1), (4, 3), (1, 1)),
    ],
)
def test_gradients_of_weights_by_taps(
    image: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
) -> None:
    weight = normal(7, 5, *kernel, seed=3).requires_grad_()
    pairs, total = [], torch.zeros((), dtype=F64)
    for seed in range(2):
        images = normal(3, 5, *image, seed=seed)
        y = functional.conv2d(images, weight, None, stride, padding, dilation)
        pairs.append((normal(*y.shape, seed=seed + 8), images))
        total = total + (y * pairs[-1][0]).sum()
    (wanted,) = torch.autograd.grad(total, weight)
    got = weight_gradient(pairs, weight.shape, stride, padding, dilation)
    agree(got, wanted, rtol=1e-14)
