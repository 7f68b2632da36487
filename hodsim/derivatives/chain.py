"""Plain chains of layers: recognising one, and the fast way through it on the CPU.

A chain alternates linear maps and elementwise activations, ``f = L_K s_K L_(K-1) ... s_1 L_0``,
each L_l the product of none, one or several `nn.Linear`. It is read off the network at every call:
weights are used where torch keeps them, never copied between calls.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

from hodsim.derivatives.activations import Sigma, activation_of
from hodsim.derivatives.lanes import LanePlan
from hodsim.derivatives.rules import are_plain, has_global_hooks

# Codes of hodsim.kernels.lanes, which must not be imported before it is needed.
Native = tuple[int, float, float]
_NATIVE: dict[Sigma | None, Callable[[nn.Module], Native]] = {
    activation_of(nn.ELU): lambda module: (1, float(module.__dict__["alpha"]), 0.0),
    activation_of(nn.SiLU): lambda _: (2, 0.0, 0.0),
    activation_of(nn.Tanh): lambda _: (3, 0.0, 0.0),
    activation_of(nn.Sigmoid): lambda _: (4, 0.0, 0.0),
    activation_of(nn.Softplus): lambda module: (
        5,
        float(module.__dict__["beta"]),
        float(module.__dict__["threshold"]),
    ),
}
_BY_TORCH: Native = (0, 0.0, 0.0)


class Layer(NamedTuple):
    """What commands for a linear layer depend on; ``ld``: how far apart rows of W are (or, of a
    transposed W, columns)."""

    out_features: int
    in_features: int
    ld: int
    transposed: bool
    bias: bool


class Signature(NamedTuple):
    """All of a chain but its numbers: what commands for it depend on.

    maps : for each linear map (one more than activations) its layers, as the fields of `Layer`.
    activations : code and parameters.
    """

    maps: tuple[tuple[tuple[int, int, int, bool, bool], ...], ...]
    activations: tuple[Native, ...]

    def widths(self, n: int) -> list[int]:
        """The width before each activation, and of the output."""
        widths = []
        for step in self.maps:
            n = step[-1][0] if step else n
            widths.append(n)
        return widths


class Chain(NamedTuple):
    """A network as linear maps and activations between them.

    activations : each module, and its derivatives.
    addresses : of every weight and bias (0: none), layer by layer.
    kept : the tensors at those addresses.
    dtype : None without linear layers.
    """

    shape: Signature
    activations: tuple[tuple[nn.Module, Sigma], ...]
    addresses: list[int]
    kept: list[Tensor]
    dtype: torch.dtype | None

    @property
    def maps(self) -> tuple[tuple[Layer, ...], ...]:
        """The layers of each linear map."""
        return tuple(tuple(Layer(*layer) for layer in step) for step in self.shape.maps)

    def widths(self, n: int) -> list[int]:
        """The width before each activation, and of the output."""
        return self.shape.widths(n)


def chain_of(f: nn.Module) -> Chain | None:
    """The chain that a module is, or None if it is not one that the fast path takes.

    It takes `nn.Sequential`, nested or not, of `nn.Linear`, registered activations, `nn.Identity`,
    `nn.Flatten` of vectors and `nn.Dropout` in evaluation: these classes themselves, without hooks
    or parametrisations, with dense parameters of one float type on the CPU.
    """
    maps: list[tuple[tuple[int, int, int, bool, bool], ...]] = []
    step: list[tuple[int, int, int, bool, bool]] = []
    activations: list[tuple[nn.Module, Sigma]] = []
    codes: list[Native] = []
    addresses: list[int] = []
    kept: list[Tensor] = []
    dtype: torch.dtype | None = None
    width: int | None = None
    if (
        torch._C._functorch.peek_interpreter_stack() is not None
        or forward_ad._current_level >= 0
        or has_global_hooks()
    ):
        return None
    layers: list[nn.Module] = []
    if not flatten(f, layers) or not are_plain(map(type, layers)):
        return None
    for module in layers:
        cls = type(module)
        if cls is nn.Linear:
            weight = _dense(module, "weight", dtype)
            if weight is None or width not in (None, weight.shape[1]):
                return None
            dtype = weight.dtype
            width, into = weight.shape
            ld, inner = weight.stride()
            if inner != 1 and ld != 1:
                weight = weight.detach().contiguous()
                ld, inner = weight.stride()
            kept.append(weight)
            addresses.append(weight.data_ptr())
            biased = module._parameters["bias"] is not None
            if biased:
                bias = _dense(module, "bias", dtype)
                if bias is None or bias.shape[0] != width:
                    return None
                bias = bias.detach().contiguous()
                kept.append(bias)
                addresses.append(bias.data_ptr())
            else:
                addresses.append(0)
            step.append((width, into, ld if inner == 1 else inner, inner != 1, biased))
            continue
        sigma = activation_of(cls)
        if sigma is not None:
            native = _NATIVE.get(sigma)
            codes.append(_BY_TORCH if native is None else native(module))
            activations.append((module, sigma))
            maps.append(tuple(step))
            step = []
        elif not (
            cls is nn.Identity
            or (cls is nn.Dropout and (not module.training or module.p == 0))
            or (cls is nn.Flatten and module.start_dim == 1 and module.end_dim in (-1, 1))
        ):
            return None
    maps.append(tuple(step))
    return Chain(Signature(tuple(maps), tuple(codes)), tuple(activations), addresses, kept, dtype)


_PLAIN = (nn.Parameter, Tensor)
_REAL = (torch.float32, torch.float64)


def _dense(module: nn.Module, name: str, dtype: torch.dtype | None) -> Tensor | None:
    """A parameter where the walk can read it; None if it is anything else."""
    a = module._parameters.get(name)  # past nn.Module's attribute search, which is not free
    if (
        type(a) not in _PLAIN
        or a is None
        or not a.is_cpu
        or (a.dtype not in _REAL if dtype is None else a.dtype is not dtype)
        or a.layout is not torch.strided
        or not a.numel()
        or a.is_neg()
    ):
        return None
    return a


def flatten(module: nn.Module, layers: list[nn.Module]) -> bool:
    """Append the layers in order; False for what no chain has: hooks, or a forward of its own."""
    if module._forward_hooks or module._forward_pre_hooks or "forward" in module.__dict__:
        return False
    if type(module) is nn.Sequential:
        return all(flatten(child, layers) for child in module._modules.values())
    layers.append(module)
    return True


def push_chain(chain: Chain, x: Tensor, directions: Tensor, plan: LanePlan) -> Tensor:
    """All lanes of a plan at ``f(x)``, shape (n_lanes, batch, m).

    x : shape (batch, n). directions : shape (n_dir, n) or (n_dir, batch, n).
    """
    from hodsim.derivatives.schemes.forward import all_lanes

    return all_lanes(chain, x, directions, plan)


def contract_chain(
    chain: Chain,
    x: Tensor,
    right: Sequence[Tensor],
    left: Tensor | None,
    free: int,
    scheme: str | None = None,
    packed: bool = False,
) -> Tensor:
    """``D^(k + free) f(x)[right..., ., .]``, its open indices last.

    Parameters
    ----------
    chain : from `chain_of`; parameters have x's dtype.
    x : shape (batch, n).
    right : k directions, each (n,) or (batch, n); the same object twice is one direction.
    left : None, or weights over the outputs, (m,) or (batch, m).
    free : the number of open input indices, 0 to 3.
    scheme : one of the planner's, to force it.
    packed : keep only the entries i <= j <= ... of the open indices, in lexicographic order.

    Returns
    -------
    shape (batch, m, n, ..., n), or (batch, n, ..., n) with ``left``; packed, the last axis holds
    n (n+1)/2 or n (n+1)(n+2)/6 entries. It may be a view with transposed strides.

    Raises
    ------
    InputError : the forced scheme is not one that applies here.
    """
    from hodsim.derivatives.schemes import contract

    return contract.contract(chain, x, right, left, free, scheme, packed)
