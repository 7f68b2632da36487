"""The optimisers that are compared, and the settings that each is tried with: as many for all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
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

# Times the budget's batch: how many images gradients and losses of a step are taken over.
# 0 stands for all of them.
_WIDE: Final = (1, 4)
_WIDE_LBFGS: Final = (4, 0)
# Its iterations in a step on some images, whose pairs are then dropped, and in one on all.
_ITERATIONS_LBFGS: Final = (8, 3)
# Accepted steps between global gradients, each of which costs a pass over the training part.
_REFRESH: Final = 4
_SETTLING: Final = 10  # steps between new roots or bases of matrices, Shampoo and SOAP


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
    images = _images(problem, setting, size)
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
        optimizer = NewtonKrylov(
            network,
            curvature,
            damping=float(setting["damping"]),
            adapt=True,
            refresh=_REFRESH,
        )

        def everywhere() -> list[Batch]:
            return list(problem.epoch(network, size, 0, 0))

        return Curved(optimizer, problem, _images(problem, setting, size), size, everywhere)

    return start


def _hessian_free(
    problem: Problem, network: nn.Module, setting: Setting, size: int, clock: Clock
) -> Stepper:
    del clock
    optimizer = HessianFree(network, damping=float(setting["damping"]))
    return Curved(optimizer, problem, _images(problem, setting, size), size)


def _images(problem: Problem, setting: Setting, size: int) -> int:
    every = len(problem.images.train_x)
    wide = int(setting["wide"])
    return min(every, wide * size) if wide else every


def _dampings(*dampings: float) -> Callable[[Problem], list[Setting]]:
    return lambda problem: [
        {"damping": d * problem.scale, "wide": w} for d, w in product(dampings, _WIDE)
    ]


def _rates_lbfgs(problem: Problem) -> list[Setting]:
    del problem
    return [{"rate": r, "wide": w} for r, w in product((1.0, 0.3, 0.1, 0.03), _WIDE_LBFGS)]


_SHAMPOO: Final = {"preconditioning_compute_steps": _SETTLING}
_SOAP: Final = {"precondition_frequency": _SETTLING, "weight_decay": 0.0}

_ALL: Final = (
    Method(
        "newton-krylov",
        "Newton-Krylov, Hessian",
        _dampings(1e-3, 1e-2, 1e-1, 1.0),
        _newton_krylov(HESSIAN),
        curved=True,
    ),
    Method(
        "newton-krylov-gn",
        "Newton-Krylov, Gauss-Newton",
        _dampings(1e-3, 1e-2, 1e-1, 1.0),
        _newton_krylov(GAUSS_NEWTON),
        curved=True,
    ),
    Method(
        "hessian-free", "Hessian-free", _dampings(1e-3, 1e-2, 1e-1, 1.0), _hessian_free, curved=True
    ),
    _first_order("adam", "Adam", torch.optim.Adam, (1e-4, 3e-4, 1e-3, 3e-3)),
    _first_order("adagrad", "AdaGrad", torch.optim.Adagrad, (1e-3, 3e-3, 1e-2, 3e-2)),
    _first_order(
        "sgd",
        "SGD, momentum 0.9",
        lambda params, lr: torch.optim.SGD(params, lr, momentum=0.9),
        (3e-3, 1e-2, 3e-2, 1e-1),
        scaled=True,
    ),
    Method("l-bfgs", "L-BFGS", _rates_lbfgs, _lbfgs),
    _first_order(
        "shampoo",
        "Shampoo",
        _of_package("Shampoo", **_SHAMPOO),
        (1e-2, 3e-2, 1e-1, 3e-1),
        packaged=True,
    ),
    _first_order(
        "soap", "SOAP", _of_package("SOAP", **_SOAP), (1e-4, 3e-4, 1e-3, 3e-3), packaged=True
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
