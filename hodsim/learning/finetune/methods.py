"""The optimisers that are compared, and the settings that each is tried with: as many for all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from itertools import product
from types import MappingProxyType, ModuleType
from typing import Any, Final

import torch
from torch import nn

from hodsim.errors import InputError
from hodsim.learning.finetune.costs import Clock
from hodsim.learning.finetune.problem import Problem
from hodsim.learning.finetune.steppers import DECAYS, Curved, Plain, Stepper
from hodsim.optimizers import Batch, HessianFree, NewtonKrylov
from hodsim.optimizers.products import GAUSS_NEWTON, HESSIAN

Setting = Mapping[str, float | str]

# Times the budget's batch, how many images L-BFGS takes at once; 0 stands for all of them.
_WIDE: Final = (4, 0)
# Its iterations in a step on some images, whose pairs are then dropped, and in one on all.
_ITERATIONS_LBFGS: Final = (8, 3)
_SETTLING: Final = 10  # steps between new roots or bases of matrices, Shampoo and SOAP
# From so many parameters on, Shampoo's roots are taken so many times less often.
_LARGE: Final = 1_000_000
_SELDOM: Final = 10


@dataclass(frozen=True)
class Style:
    """How a curvature optimiser goes about its steps, beside its damping.

    Attributes
    ----------
    images : that loss and gradient of a step are taken over, times the budget's batch; 0: all, or
        as many as the problem lets one evaluation take.
    bent : that its curvature is taken over, times the budget's batch.
    refresh : accepted steps between global gradients, a pass over all images each; 0: none taken.
    options : of the optimiser.
    """

    images: int
    bent: int
    refresh: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)


# "paper" is Algorithm 1 with its authors' numbers. "inexact" solves for a direction no better than
# one batch knows it, and lets the step be long. "whole" (Martens 2010) takes the gradient over all
# images and the curvature over a sample of them; so do "scaled", which preconditions, and "all";
# "wide" does so from a larger batch.
STYLES: Final[Mapping[str, Style]] = MappingProxyType(
    {
        "paper": Style(1, 1, 1),
        "inexact": Style(2, 2, 10, {"tolerance": 0.1, "taylor": 0.5, "iterations": 10}),
        "whole": Style(0, 2, 0, {"tolerance": 0.1, "taylor": 0.9, "iterations": 20}),
        "scaled": Style(
            0, 2, 0, {"tolerance": 0.1, "taylor": 0.9, "iterations": 20, "precondition": True}
        ),
        "wide": Style(4, 1, 0, {"iterations": 100}),
        "all": Style(0, 2, 0, {"iterations": 100}),
    }
)
_NEWTON: Final = (
    *product((1e-3, 1e-1), ("paper",)),
    *product((1e-2, 1e-1), ("whole", "scaled")),
    *product((1e-1, 1.0), ("inexact",)),
)
_HESSIAN_FREE: Final = tuple(product((1e-2, 1e-1, 1.0, 10.0), ("wide", "all")))


@dataclass(frozen=True)
class Method:
    """An optimiser of the comparison.

    Attributes
    ----------
    name, title : for the command line, and for people.
    settings : those of its sweep, for a problem.
    start : puts it to work: of problem, network, setting, images a batch, and clock.
    curved : whether it makes curvature products.
    packaged : whether it is the package pytorch-optimizer's.
    """

    name: str
    title: str
    settings: Callable[[Problem], list[Setting]]
    start: Callable[[Problem, nn.Module, Setting, int, Clock], Stepper]
    curved: bool = False
    packaged: bool = False


def _first_order(
    name: str,
    title: str,
    make: Callable[..., torch.optim.Optimizer],
    rates: tuple[float, ...],
    scaled: bool = False,
    packaged: bool = False,
) -> Method:
    """scaled : whether good rates go as one over the loss's curvature."""

    def settings(problem: Problem) -> list[Setting]:
        by = problem.scale if scaled else 1.0
        return [{"rate": r / by, "decay": d} for r, d in product(rates, DECAYS)]

    def start(
        problem: Problem, network: nn.Module, setting: Setting, size: int, clock: Clock
    ) -> Stepper:
        del problem
        rate = float(setting["rate"])
        optimizer = make(network.parameters(), lr=rate)
        return Plain(optimizer, size, clock, rate, str(setting["decay"]))

    return Method(name, title, settings, start, packaged=packaged)


def _of_package(name: str, **options: Any) -> Callable[..., torch.optim.Optimizer]:
    """An optimiser of the package pytorch-optimizer, imported when it is used."""

    def make(params: Any, lr: float) -> torch.optim.Optimizer:
        made: torch.optim.Optimizer = getattr(_package(name), name)(params, lr=lr, **options)
        return made

    return make


def _shampoo(params: Any, lr: float) -> torch.optim.Optimizer:
    """Shampoo as the package has it: steps gather statistics and move nothing until the first
    roots. Where matrices are large their roots cost hundreds of gradients and are taken seldom.
    """
    some = list(params)
    seldom = 1 if sum(p.numel() for p in some) < _LARGE else _SELDOM
    optimizer = _of_package("Shampoo", preconditioning_compute_steps=_SETTLING)(some, lr)

    def ahead(self: Any, *_: Any) -> None:
        first = int(self.param_groups[0].get("step", 0)) < _SETTLING
        self.preconditioning_compute_steps = _SETTLING * (1 if first else seldom)

    optimizer.register_step_pre_hook(ahead)
    return optimizer


def _package(wanted_by: str) -> ModuleType:
    try:
        return import_module("pytorch_optimizer")
    except ImportError as error:
        raise InputError(
            f"{wanted_by}: expected the package pytorch-optimizer, which is not installed; "
            "pip install 'hodsim[learning]', or leave this optimiser out"
        ) from error


def _lbfgs(
    problem: Problem, network: nn.Module, setting: Setting, size: int, clock: Clock
) -> Stepper:
    rate = float(setting["rate"])
    images = _images(problem, int(setting["wide"]), size)
    some = images < len(problem.images.train_x)
    optimizer = torch.optim.LBFGS(
        network.parameters(),
        rate,
        _ITERATIONS_LBFGS[0 if some else 1],
        line_search_fn="strong_wolfe",
    )
    # Pairs of one batch say nothing of another's curvature.
    return Plain(optimizer, images, clock, rate, forget=some)


def _newton_krylov(curvature: str) -> Callable[..., Stepper]:
    def start(
        problem: Problem, network: nn.Module, setting: Setting, size: int, clock: Clock
    ) -> Stepper:
        del clock
        style = STYLES[str(setting["style"])]
        optimizer = NewtonKrylov(
            network,
            curvature,
            damping=float(setting["damping"]),
            adapt=True,
            refresh=max(1, style.refresh),
            **style.options,
        )

        def everywhere() -> list[Batch]:
            return list(problem.epoch(network, size, 0, 0))

        images = _images(problem, style.images, size)
        looks = everywhere if style.refresh else None
        return Curved(optimizer, images, style.bent * size, looks)

    return start


def _hessian_free(
    problem: Problem, network: nn.Module, setting: Setting, size: int, clock: Clock
) -> Stepper:
    del clock
    style = STYLES[str(setting["style"])]
    optimizer = HessianFree(network, damping=float(setting["damping"]), **style.options)
    return Curved(optimizer, _images(problem, style.images, size), style.bent * size)


def _images(problem: Problem, times: int, size: int) -> int:
    every = min(len(problem.images.train_x), problem.most)
    return min(every, times * size) if times else every


def _damped(settings: tuple[tuple[float, str], ...]) -> Callable[[Problem], list[Setting]]:
    return lambda problem: [{"damping": d * problem.scale, "style": s} for d, s in settings]


def _rates_lbfgs(problem: Problem) -> list[Setting]:
    del problem
    return [{"rate": r, "wide": w} for r, w in product((1.0, 0.3, 0.1, 0.03), _WIDE)]


_SOAP: Final = {"precondition_frequency": _SETTLING, "weight_decay": 0.0}

_ALL: Final = (
    Method(
        "newton-krylov",
        "Newton-Krylov, Hessian",
        _damped(_NEWTON),
        _newton_krylov(HESSIAN),
        curved=True,
    ),
    Method(
        "newton-krylov-gn",
        "Newton-Krylov, Gauss-Newton",
        _damped(_NEWTON),
        _newton_krylov(GAUSS_NEWTON),
        curved=True,
    ),
    Method("hessian-free", "Hessian-free", _damped(_HESSIAN_FREE), _hessian_free, curved=True),
    _first_order("adam", "Adam", torch.optim.Adam, (3e-4, 1e-3, 3e-3, 1e-2)),
    _first_order("adagrad", "AdaGrad", torch.optim.Adagrad, (3e-3, 1e-2, 3e-2, 1e-1)),
    _first_order(
        "sgd",
        "SGD, momentum 0.9",
        lambda params, lr: torch.optim.SGD(params, lr, momentum=0.9),
        (1e-2, 3e-2, 1e-1, 3e-1),
        scaled=True,
    ),
    Method("l-bfgs", "L-BFGS", _rates_lbfgs, _lbfgs),
    _first_order("shampoo", "Shampoo", _shampoo, (3e-3, 1e-2, 3e-2, 1e-1), packaged=True),
    _first_order(
        "soap", "SOAP", _of_package("SOAP", **_SOAP), (3e-4, 1e-3, 3e-3, 1e-2), packaged=True
    ),
)
METHODS: Final[Mapping[str, Method]] = MappingProxyType({m.name: m for m in _ALL})


def methods_of(names: list[str]) -> list[Method]:
    """Methods by name, in order, each once; their packages are looked for.

    Raises
    ------
    InputError : an unknown name, none at all, or a package that is not installed.
    """
    if not names:
        raise InputError(f"optimizers: expected some of {', '.join(METHODS)}, got none")
    for name in names:
        if name not in METHODS:
            raise InputError(f"optimizers: expected some of {', '.join(METHODS)}, got {name!r}")
    chosen = [METHODS[name] for name in dict.fromkeys(names)]
    for method in chosen:
        if method.packaged:  # before anything is trained, not hours later
            _package(method.name)
    return chosen
