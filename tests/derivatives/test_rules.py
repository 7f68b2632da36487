"""Every rule at every order, forward and backward, against nested autograd of primitives.

Each operation stands between a curved head and a square, so that lanes of every order enter it and
what it does to each of them shows. The points keep a distance from every kink by construction.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
import torch
from oracles import nested_autograd
from torch import Tensor, nn
from torch.nn import functional
from zoo import F64, PlainCELU, PlainNorm, Sine, agree, normal, randomise, spaced

from hodsim.derivatives import contract, hessian, jacobian, linearise

Function = Callable[[Tensor], Tensor]
VECTORS, SEQUENCES, IMAGES = (3, 8), (3, 4, 9), (2, 4, 6, 6)


def _head(t: Tensor) -> Tensor:
    """Curved, rising, and of t's sign for |t| < 2: kinks stay where they are."""
    return 1.3 * t + 0.2 * t * t + 0.1 * torch.sin(t)


def _numbers(y: Tensor) -> Tensor:
    """One number for each point of the batch, of order two in y."""
    flat = y.flatten(1)
    return (flat * flat).sum(1) + flat[:, 0]


def _check(
    layer: Function, truth: Function, shape: tuple[int, ...], order: int, seeds: int = 2
) -> None:
    for seed in range(seeds):
        x = spaced(*shape, seed=seed)
        *right, last = (0.5 * normal(*shape, seed=10 * seed + i + 1) for i in range(order))
        wanted = nested_autograd(lambda t: _numbers(truth(_head(t))), x, [*right, last])
        w = normal(shape[0], seed=seed + 90)
        with torch.no_grad():
            got = contract(lambda t: _numbers(layer(_head(t))), x, [*right, last])
            pulled = contract(
                lambda t: _numbers(layer(_head(t))), x, right, left=w, free=1, scheme="adjoint"
            )
        agree(got, wanted)
        # One number, in which the terms may cancel: measure it by their sizes.
        for each in [pulled, *_kept(lambda t: _numbers(layer(_head(t))), x, right, w)]:
            terms = each * last
            assert float((terms.sum() - wanted @ w).abs()) <= 1e-10 * float(terms.abs().sum())


def _kept(f: Function, x: Tensor, right: list[Tensor], left: Tensor | None = None) -> list[Tensor]:
    """What a point that is kept gives of these orders: gradients, Hessians times vectors."""
    if len(right) == 0:
        return [linearise(f, x, left=left).gradient]
    return [linearise(f, x, left=left).hvp(right[0])] if len(right) == 1 else []


orders_to_four = pytest.mark.parametrize("order", [1, 2, 3, 4])
orders_to_six = pytest.mark.parametrize("order", [1, 2, 3, 4, 5, 6])

# ---------------------------------------------------------------- layers

_same = {"padding": "same"}
LAYERS: list[tuple[nn.Module, tuple[int, ...]]] = [
    (nn.Linear(8, 3, bias=False), VECTORS),
    (nn.Linear(9, 5), SEQUENCES),
    (nn.Conv1d(4, 6, 3, stride=2, padding=1), SEQUENCES),
    (nn.Conv1d(4, 2, 3, dilation=2, groups=2, bias=False), SEQUENCES),
    (nn.Conv1d(4, 2, 5, **_same), SEQUENCES),
    (nn.Conv2d(4, 6, 3, stride=(2, 1), padding=(1, 2), dilation=(1, 2), groups=2), IMAGES),
    (nn.Conv2d(4, 3, (3, 2), stride=2), IMAGES),
    (nn.Conv2d(4, 4, 3, dilation=2, groups=4, **_same), IMAGES),
    (nn.Conv2d(4, 2, 1, padding="valid", bias=False), IMAGES),
    (nn.MaxPool1d(3), SEQUENCES),
    (nn.MaxPool1d(3, stride=2, padding=1), SEQUENCES),
    (nn.MaxPool2d(2), IMAGES),
    (nn.MaxPool2d(3, stride=2, padding=1), IMAGES),
    (nn.MaxPool2d((2, 3), stride=(1, 2), dilation=(2, 1), ceil_mode=True), IMAGES),
    (nn.AvgPool1d(3, stride=2), SEQUENCES),
    (nn.AvgPool1d(4, padding=1, ceil_mode=True, count_include_pad=False), SEQUENCES),
    (nn.AvgPool2d(2), IMAGES),
    (nn.AvgPool2d(3, stride=2, padding=1), IMAGES),
    (nn.AvgPool2d((2, 3), padding=(1, 0), ceil_mode=True, count_include_pad=False), IMAGES),
    (nn.AvgPool2d(2, divisor_override=3), IMAGES),
    (nn.AdaptiveAvgPool1d(4), SEQUENCES),
    (nn.AdaptiveAvgPool2d((4, 1)), IMAGES),
    (nn.AdaptiveAvgPool2d(1), IMAGES),
    (nn.Flatten(), IMAGES),
    (nn.Flatten(2), IMAGES),
    (nn.Unflatten(1, (2, 2)), IMAGES),
    (nn.Identity(), VECTORS),
    (nn.Dropout(0.5).eval(), VECTORS),
    (nn.Dropout2d(0.5).eval(), IMAGES),
    (nn.AlphaDropout(0.5).eval(), VECTORS),
    (nn.Dropout(0.0), VECTORS),
]


@orders_to_four
@pytest.mark.parametrize(("layer", "shape"), LAYERS, ids=lambda p: str(p).replace(" ", ""))
def test_layers(layer: nn.Module, shape: tuple[int, ...], order: int) -> None:
    _check(randomise(layer), layer, shape, order)


@orders_to_six
def test_linear_to_order_six(order: int) -> None:
    layer = randomise(nn.Linear(8, 3))
    _check(layer, layer, VECTORS, order, seeds=3)


def _norm(layer: nn.Module) -> nn.Module:
    return randomise(layer, seed=5)


NORMS: list[tuple[nn.Module, tuple[int, ...]]] = [
    (nn.BatchNorm1d(8), (6, 8)),
    (nn.BatchNorm1d(4, eps=0.1), SEQUENCES),
    (nn.BatchNorm2d(4), IMAGES),
    (nn.BatchNorm2d(4, affine=False), IMAGES),
    (nn.BatchNorm2d(4, track_running_stats=False).eval(), IMAGES),
    (nn.BatchNorm1d(8).eval(), VECTORS),
    (nn.BatchNorm2d(4).eval(), IMAGES),
    (nn.LayerNorm(8), VECTORS),
    (nn.LayerNorm([6, 6], eps=0.01), IMAGES),
    (nn.LayerNorm(9, elementwise_affine=False), SEQUENCES),
    (nn.GroupNorm(2, 4), IMAGES),
    (nn.GroupNorm(4, 8, affine=False), (3, 8, 5)),
    (nn.InstanceNorm1d(4), SEQUENCES),
    (nn.InstanceNorm2d(4, affine=True), IMAGES),
    (nn.InstanceNorm2d(4, track_running_stats=True).eval(), IMAGES),
]


def _describe(value: object) -> str:
    if isinstance(value, nn.Module):
        return f"{value}{'' if value.training else '.eval()'}".replace(" ", "")
    return ""


@orders_to_four
@pytest.mark.parametrize(("layer", "shape"), NORMS, ids=_describe)
def test_normalisation_against_primitives(
    layer: nn.Module, shape: tuple[int, ...], order: int
) -> None:
    _check(_norm(layer), PlainNorm(layer), shape, order)


@pytest.mark.parametrize(("layer", "shape"), NORMS, ids=_describe)
def test_the_primitives_are_what_torch_computes(layer: nn.Module, shape: tuple[int, ...]) -> None:
    # The oracle itself: values of torch's native layer.
    x = spaced(*shape)
    agree(PlainNorm(_norm(layer))(x), deepcopy(layer)(x), rtol=1e-13)


@pytest.mark.parametrize("train", [True, False])
def test_running_statistics_stay_as_they_are(train: bool) -> None:
    net = nn.Sequential(nn.Conv2d(4, 3, 3), nn.BatchNorm2d(3), nn.SiLU(), nn.BatchNorm2d(3))
    randomise(net).train(train)
    kept = {name: b.clone() for name, b in net.named_buffers()}
    assert any("num_batches_tracked" in name for name in kept)
    x = spaced(*IMAGES)
    contract(net, x, [x])
    contract(net, x, [x], left=torch.ones(2, 3, 4, 4, dtype=F64), free=1)
    for name, b in net.named_buffers():
        assert torch.equal(b, kept[name]), name


# ---------------------------------------------------------------- activations

ACTIVATIONS: list[nn.Module] = [
    *(nn.ELU(), nn.ELU(0.7), nn.SELU(), nn.CELU(), nn.CELU(0.7), nn.ReLU(), nn.LeakyReLU(0.1)),
    *(nn.SiLU(), nn.GELU(), nn.GELU("tanh"), nn.Softplus(), nn.Softplus(2.5, 4.0), nn.Tanh()),
    *(nn.Sigmoid(), nn.LogSigmoid(), Sine()),
    *(nn.ReLU(inplace=True), nn.ELU(inplace=True), nn.SiLU(inplace=True)),
    *(nn.Softmax(1), nn.LogSoftmax(1), nn.Softmax(-1)),
]


@orders_to_six
@pytest.mark.parametrize("activation", ACTIVATIONS, ids=lambda m: str(m).replace(" ", ""))
def test_activations_to_order_six(activation: nn.Module, order: int) -> None:
    truth = PlainCELU(activation.alpha) if isinstance(activation, nn.CELU) else activation
    _check(activation, truth, VECTORS, order, seeds=1 if order > 4 else 2)


# ---------------------------------------------------------------- functions

_mask = spaced(3, 8, seed=77) > 0.3
_weight = normal(8, 3, seed=78)
_constant = normal(3, 8, seed=79)
_columns = torch.tensor([5, 0, 0, 7])
_square = normal(3, 2, 2, seed=80)


def _residual(t: Tensor) -> Tensor:
    out = torch.sin(t)
    out += t
    skip = out.square() + out.tanh()
    out = out + skip
    out -= 0.3
    out /= 2.0
    out *= _constant
    return out


def _joined(t: Tensor) -> Tensor:
    return torch.cat([torch.tanh(t), t, _constant], dim=1)


def _halves(t: Tensor) -> Tensor:
    a, b = t.chunk(2, dim=1)
    c, d, e = t.split([1, 5, 2], dim=-1)
    return torch.cat([a * b, c * d, e.square()], 1)


def _rows(t: Tensor) -> Tensor:
    return torch.stack([row * (i + 1) for i, row in enumerate(t.unbind(1))], 1)


FUNCTIONS: dict[str, Function] = {
    "a residual graph, in place": _residual,
    "a residual graph": lambda t: t + torch.tanh(t @ _weight @ _weight.T),
    "a concatenating graph": _joined,
    "chunk and split": _halves,
    "unbind and stack": _rows,
    "stack with a constant": lambda t: torch.stack([t, _constant], dim=2),
    "t @ W": lambda t: t @ _weight,
    "t @ t, batched": lambda t: t.reshape(3, 2, 4) @ t.reshape(3, 4, 2).sin(),
    "bmm": lambda t: torch.bmm(t.reshape(3, 4, 2), _square),
    "matmul, constant on the left": lambda t: torch.matmul(_square, t.reshape(3, 2, 4)),
    "t[:, 1:6:2]": lambda t: t[:, 1:6:2] * t[:, 2:7:2],
    "t[..., None, 0]": lambda t: t[..., None, 0] * t[..., None, 3],
    "t[:, index]": lambda t: t[:, _columns] * t[:, _columns].sin(),
    "t[:, mask]": lambda t: t[:, _mask[0]],
    "t[:, -1]": lambda t: (t[:, -1] * t[:, 0]).unsqueeze(1),
    "gather": lambda t: t.gather(1, _columns.expand(3, 4)),
    "index_select": lambda t: t.index_select(1, _columns),
    "narrow, select, flip, roll": lambda t: (
        t.narrow(1, 2, 4).flip(1) * t.roll(3, 1)[:, :4] + t.select(1, 2).unsqueeze(1)
    ),
    "diagonal": lambda t: t.reshape(3, 2, 4).diagonal(dim1=1, dim2=2),
    "permute": lambda t: t.reshape(3, 2, 2, 2).permute(0, 3, 1, 2) * _square.reshape(3, 1, 2, 2),
    "transpose and mT": lambda t: t.reshape(3, 2, 4).transpose(1, 2) * t.reshape(3, 2, 4).mT,
    "movedim": lambda t: t.reshape(3, 2, 4).movedim(2, 1) * normal(4, 2),
    "reshape, view, unflatten, squeeze": lambda t: (
        t.view(3, 1, 8).squeeze(1).unflatten(1, (4, 2)).reshape(3, 2, 4)[:, 0]
    ),
    "expand": lambda t: t.unsqueeze(1).expand(3, 2, 8) * _constant.unsqueeze(1).expand(3, 2, 8),
    "sum": lambda t: t.square().sum(1, keepdim=True) * t.sum(dim=-1, keepdim=True),
    "mean": lambda t: t * t.mean(1, keepdim=True),
    "mean over two axes": lambda t: t.reshape(3, 2, 4).sin().mean((1, 2)).unsqueeze(1),
    "var": lambda t: t * t.var(1, keepdim=True),
    "var, biased": lambda t: t.var(dim=1, correction=0).unsqueeze(1),
    "where": lambda t: torch.where(t > 0, torch.sin(t), t * t),
    "where with numbers": lambda t: torch.where(t > 0.3, t.square(), -0.5),
    "where, the method": lambda t: t.sin().where(t > 0, t * t) + t.where(t > 0.3, -0.5),
    "masked_fill": lambda t: t.square().masked_fill(_mask, 2.0),
    "1 / t": lambda t: 1.0 / (t + 4.0),
    "t / t": lambda t: t.sin() / (t * t + 1.0),
    "t / constant": lambda t: t / _constant / 3.0,
    "by whole numbers": lambda t: t / torch.arange(3, 11) / torch.tensor(7) / torch.full((8,), 3.0),
    "constant / t, constant - t": lambda t: (_constant - t) / (3.0 + t * t),
    "exp": torch.exp,
    "cos": torch.cos,
    "log": lambda t: torch.log(t + 4.0),
    "sqrt": lambda t: torch.sqrt(t + 4.0),
    "pow": lambda t: t**3 + (t + 4.0) ** -1.5 + torch.pow(t + 4.0, 0.5),
    "softmax along torch's own choice of axis": lambda t: (
        functional.softmax(t, None, _stacklevel=4) * nn.LogSoftmax(None)(t)
    ),
    "logsumexp": lambda t: torch.logsumexp(t, 1, keepdim=True) * t,
    "softmax": lambda t: t.softmax(-1) * functional.softmax(-t, dim=1),
    "log_softmax": lambda t: functional.log_softmax(t, dim=-1),
    "addcmul": lambda t: torch.addcmul(t, t.sin(), t, value=0.3),
    "add and sub with alpha": lambda t: torch.add(t, t.sin(), alpha=2) - torch.sub(1.0, t, alpha=3),
    "broadcast": lambda t: t[:, :1] * t + t[:, 1:2] - t[:, 2:3].sin(),
    "a branch on the real part": lambda t: t.sin() if bool((t > -9).all()) else t,
}


@orders_to_four
@pytest.mark.filterwarnings("ignore:Implicit dimension choice")
@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name: str, order: int) -> None:
    _check(FUNCTIONS[name], FUNCTIONS[name], VECTORS, order)


# ---------------------------------------------------------------- losses

_classes, _ignored = torch.tensor([2, 0, 5]), torch.tensor([2, -100, 5])
_soft = normal(3, 8, seed=81).softmax(1)
_class_weight = normal(8, seed=82).abs() + 0.1
_pixels = torch.tensor([[0, 1], [2, 3], [1, 1]])


def _cross_entropy(target: Tensor, **options: Any) -> Function:
    return lambda t: functional.cross_entropy(t, target, **options)


_TARGETS: dict[str, tuple[Tensor, dict[str, Any]]] = {
    "plain": (_classes, {}),
    "class weights": (_classes, {"weight": _class_weight}),
    "ignored": (_ignored, {}),
    "ignored index": (_classes, {"ignore_index": 5}),
    "ignored, weights": (_ignored, {"weight": _class_weight}),
    "smoothed": (_classes, {"label_smoothing": 0.2}),
    "soft targets": (_soft, {}),
    "soft targets, smoothed": (_soft, {"label_smoothing": 0.2}),
    "soft targets, weights": (_soft, {"weight": _class_weight}),
}
_REDUCTIONS = ("mean", "sum", "none")
LOSSES: dict[str, Function] = {
    **{
        f"cross_entropy, {name}, {reduction}": _cross_entropy(
            target, reduction=reduction, **options
        )
        for reduction in _REDUCTIONS
        for name, (target, options) in _TARGETS.items()
    },
    "cross_entropy of pixels": lambda t: functional.cross_entropy(t.reshape(3, 4, 2), _pixels),
    "cross_entropy of one point": lambda t: functional.cross_entropy(t[0], _classes[0]),
    "CrossEntropyLoss": lambda t: nn.CrossEntropyLoss(weight=_class_weight)(t, _classes),
    "nll_loss": lambda t: functional.nll_loss(t.log_softmax(1), _classes),
    **{
        f"mse_loss, {reduction}": lambda t, r=reduction: functional.mse_loss(
            t, _constant, reduction=r
        )
        for reduction in _REDUCTIONS
    },
    "MSELoss": lambda t: nn.MSELoss()(t, _constant),
    **{
        f"bce with logits, {reduction}": lambda t, r=reduction: (
            functional.binary_cross_entropy_with_logits(t, _soft, reduction=r)
        )
        for reduction in _REDUCTIONS
    },
    "bce with logits, weights": lambda t: functional.binary_cross_entropy_with_logits(
        t, _soft, weight=_class_weight
    ),
}


@orders_to_four
@pytest.mark.parametrize("name", LOSSES)
def test_losses(name: str, order: int) -> None:
    loss = LOSSES[name]

    def numbers(t: Tensor) -> Tensor:
        value = loss(_head(t))
        return (value * value).sum() + value.sum()

    x = spaced(*VECTORS, seed=order)
    *right, last = (0.5 * normal(*VECTORS, seed=i + 1) for i in range(order))
    wanted = nested_autograd(lambda t: numbers(t).reshape(1), x, [*right, last])
    with torch.no_grad():
        agree(contract(numbers, x, [*right, last]).reshape(1), wanted)
        pulled = [contract(numbers, x, right, free=1)]
    for each in pulled + _kept(numbers, x, right):
        terms = each * last
        assert float((terms.sum() - wanted).abs()) <= 1e-10 * float(terms.abs().sum())


def test_losses_have_the_values_that_torch_gives_them() -> None:
    x = spaced(*VECTORS)
    for loss in LOSSES.values():
        agree(contract(loss, x), loss(x), rtol=1e-13)


# ---------------------------------------------------------------- points and dtypes


def test_at_a_kink_the_rules_take_the_side_that_torch_takes() -> None:
    zero = torch.zeros(1, dtype=F64)
    for activation, slope in ((nn.ReLU(), 0.0), (nn.LeakyReLU(0.1), 0.1), (nn.ELU(0.7), 0.7)):
        assert float(jacobian(activation, zero)) == slope
        (truth,) = torch.autograd.grad(activation(p := zero.clone().requires_grad_(True)), p)
        assert float(truth) == slope


@pytest.mark.parametrize(
    "layer",
    [nn.Linear(8, 3), nn.LayerNorm(8), nn.GELU(), nn.Softmax(1), nn.BatchNorm1d(8), nn.Tanh()],
    ids=lambda m: type(m).__name__,
)
def test_float32_to_its_own_rounding(layer: nn.Module) -> None:
    randomise(layer)
    x, a = spaced(6, 8), 0.5 * normal(6, 8)
    wanted = contract(lambda t: _numbers(layer(_head(t))), x, [a, a, a])
    single = deepcopy(layer).float()
    got = contract(lambda t: _numbers(single(_head(t))), x.float(), [a.float()] * 3)
    assert got.dtype is torch.float32
    # A few dozen roundings of 6e-8 on top of each other, relative to the largest entry.
    agree(got.double(), wanted, rtol=1e-5)


def test_a_linear_layer_has_no_second_derivative() -> None:
    layer = randomise(nn.Linear(8, 3))
    assert torch.equal(hessian(layer, spaced(8)), torch.zeros(3, 8, 8, dtype=F64))
