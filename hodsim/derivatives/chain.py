"""Plain chains of layers: recognising one, and the fast way through it on the CPU.

A chain alternates linear maps and elementwise activations, ``f = L_K s_K L_(K-1) ... s_1 L_0``,
each L_l the product of none, one or several `nn.Linear`. It is read off the network at every call:
weights are used where torch keeps them, never copied between calls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hodsim.derivatives.activations import Sigma, activation_of
from hodsim.derivatives.lanes import LanePlan

# Codes of hodsim.kernels.lanes, which must not be imported before it is needed.
Native = Callable[[nn.Module], tuple[int, float, float]]
_NATIVE: dict[Sigma | None, Native] = {
    activation_of(nn.ELU): lambda module: (1, float(module.alpha), 0.0),
    activation_of(nn.SiLU): lambda _: (2, 0.0, 0.0),
    activation_of(nn.Tanh): lambda _: (3, 0.0, 0.0),
    activation_of(nn.Sigmoid): lambda _: (4, 0.0, 0.0),
    activation_of(nn.Softplus): lambda module: (5, float(module.beta), float(module.threshold)),
}
Activation = tuple[nn.Module, Sigma, Native | None]


@dataclass(frozen=True, slots=True)
class Chain:
    """A network as linear maps (one more than activations) and activations between them."""

    maps: tuple[tuple[nn.Linear, ...], ...]
    activations: tuple[Activation, ...]
    dtype: torch.dtype | None

    def widths(self, n: int) -> list[int]:
        """The width before each activation, and of the output."""
        widths = []
        for step in self.maps:
            n = step[-1].out_features if step else n
            widths.append(n)
        return widths


def chain_of(f: nn.Module) -> Chain | None:
    """The chain that a module is, or None if it is not one that the fast path takes.

    It takes `nn.Sequential`, nested or not, of `nn.Linear`, registered activations, `nn.Identity`,
    `nn.Flatten` of vectors and `nn.Dropout` in evaluation: these classes themselves, without hooks
    or parametrisations, with dense parameters of one float type on the CPU.
    """
    maps: list[tuple[nn.Linear, ...]] = []
    step: list[nn.Linear] = []
    activations: list[Activation] = []
    dtype, width = None, None
    for module in _flat(f):
        if module is None:
            return None
        cls = type(module)
        if cls is nn.Linear:
            weight, bias = module._parameters.get("weight"), module._parameters.get("bias", module)
            if not (_plain(weight) and (bias is None or _plain(bias))):
                return None
            out, into = weight.shape
            if (
                weight.dtype is not (dtype or weight.dtype)
                or width not in (None, into)
                or not (bias is None or (bias.dtype is weight.dtype and bias.shape == (out,)))
            ):
                return None
            dtype, width = weight.dtype, out
            step.append(module)
            continue
        sigma = activation_of(cls)
        if sigma is not None:
            activations.append((module, sigma, _NATIVE.get(sigma)))
            maps.append(tuple(step))
            step = []
        elif not (
            cls is nn.Identity
            or (cls is nn.Dropout and (not module.training or module.p == 0))
            or (cls is nn.Flatten and module.start_dim == 1 and module.end_dim in (-1, 1))
        ):
            return None
    return Chain((*maps, tuple(step)), tuple(activations), dtype)


def _flat(module: nn.Module) -> Iterator[nn.Module | None]:
    """The layers in order; None for what no chain has: hooks, or a forward of its own."""
    if module._forward_hooks or module._forward_pre_hooks or "forward" in module.__dict__:
        yield None
    elif type(module) is nn.Sequential:
        for child in module._modules.values():
            yield from _flat(child) if child is not None else (None,)
    else:
        yield module


_PLAIN = (Tensor, nn.Parameter)
_REAL = (torch.float32, torch.float64)


def _plain(a: object) -> bool:
    return (
        type(a) in _PLAIN
        and isinstance(a, Tensor)
        and a.is_cpu
        and a.layout is torch.strided
        and a.dtype in _REAL
        and not torch._C._functorch.is_functorch_wrapped_tensor(a)
        and a.numel() > 0
    )


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
