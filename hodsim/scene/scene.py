"""`Scene` and its parts. Each checks itself, so scenes built in code are as safe as read ones."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hodsim.errors import InputError
from hodsim.scene.checks import choice, instance, instances, number, numbers, text, whole
from hodsim.scene.loads import Load, RandomLoad
from hodsim.scene.obstacles import Obstacle, check_names
from hodsim.scene.regions import Region

LAWS = ("stvk", "neo-hookean", "corotational")
MASSES = ("lumped", "consistent")
INTEGRATORS = ("implicit-euler", "bdf2")


@dataclass(frozen=True)
class BeamSpec:
    """The beam primitive: number of `cells` and `size` [m] along x, y, z. Raises InputError."""

    cells: tuple[int, int, int] = (21, 2, 4)
    size: tuple[float, float, float] = (1.0, 0.125, 0.25)

    def __post_init__(self) -> None:
        numbers(self.cells, "cells", 3)
        numbers(self.size, "size", 3)
        cells = tuple(whole(n, f"cells[{i}]", least=1) for i, n in enumerate(self.cells))
        size = tuple(number(x, f"size[{i}]", above=0.0) for i, x in enumerate(self.size))
        _set(self, cells=cells, size=size)


@dataclass(frozen=True)
class MeshSpec:
    """Where the mesh comes from: a `file`, or the `beam` primitive; one of the two.

    `scale` is the length [m] of the file's unit: 0.001 for a file in millimetres. Raises InputError
    where neither or both are given, or a scale that is not above 0, or one for the beam.
    """

    file: Path | None = None
    beam: BeamSpec | None = None
    scale: float = 1.0

    def __post_init__(self) -> None:
        if (self.file is None) == (self.beam is None):
            raise InputError("file: expected either file or beam, given both or neither")
        if self.file is not None:
            _set(self, file=_path(self.file, "file"))
            _set(self, scale=number(self.scale, "scale", above=0.0))
        else:
            if self.scale != 1.0:
                raise InputError("scale: expected for a file alone, given for the beam")
            instance(self.beam, "beam", BeamSpec)


@dataclass(frozen=True)
class MaterialSpec:
    """An elastic material.

    `law` is "stvk", "neo-hookean" or "corotational"; `young` is Young's modulus [Pa], above 0;
    `poisson` is Poisson's ratio, between -1 and 0.5; `density` is in kg/m^3, at least 0. Raises
    InputError.
    """

    law: str
    young: float
    poisson: float
    density: float

    def __post_init__(self) -> None:
        choice(self.law, "law", LAWS)
        _set(
            self,
            young=number(self.young, "young", above=0.0),
            poisson=number(self.poisson, "poisson", above=-1.0, below=0.5),
            density=number(self.density, "density", least=0.0),
        )


@dataclass(frozen=True)
class Damping:
    """Rayleigh damping C = mass * M + stiffness * K(rest), in 1/s and s. Raises InputError."""

    mass: float = 0.0
    stiffness: float = 0.0

    def __post_init__(self) -> None:
        _set(
            self,
            mass=number(self.mass, "mass", least=0.0),
            stiffness=number(self.stiffness, "stiffness", least=0.0),
        )


@dataclass(frozen=True)
class TimeSpec:
    """Time step [s], number of steps, and "implicit-euler" or "bdf2". Raises InputError."""

    step: float
    steps: int
    integrator: str = "implicit-euler"

    def __post_init__(self) -> None:
        choice(self.integrator, "integrator", INTEGRATORS)
        _set(
            self,
            step=number(self.step, "step", above=0.0),
            steps=whole(self.steps, "steps", least=1),
        )


@dataclass(frozen=True)
class NewtonSpec:
    """When Newton's method stops: relative residual, most iterations. Raises InputError."""

    tolerance: float = 1e-6
    max_iterations: int = 30

    def __post_init__(self) -> None:
        _set(
            self,
            tolerance=number(self.tolerance, "tolerance", above=0.0, below=1.0),
            max_iterations=whole(self.max_iterations, "max_iterations", least=1),
        )


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Everything that one simulation needs to know, as plain data in SI units.

    Parameters
    ----------
    name
        What reports call it.
    path
        The file that it was read from, or None.
    mesh, material, damping, time, newton
        See their classes.
    mass
        "lumped" or "consistent".
    clamps
        Every vertex in any of these regions is fixed.
    loads
        The loads of the simulation.
    obstacles
        What stands in the body's way.
    model
        Folder of a trained model, or None.
    sampling
        Random loads, drawn anew for each training trajectory.

    Raises
    ------
    InputError
        A part of the wrong kind, two obstacles of one name, or a body with neither clamps nor mass.
    """

    name: str
    mesh: MeshSpec
    material: MaterialSpec
    time: TimeSpec
    mass: str = "lumped"
    damping: Damping = field(default_factory=Damping)
    clamps: tuple[Region, ...] = ()
    loads: tuple[Load, ...] = ()
    obstacles: tuple[Obstacle, ...] = ()
    newton: NewtonSpec = field(default_factory=NewtonSpec)
    model: Path | None = None
    sampling: tuple[RandomLoad, ...] = ()
    path: Path | None = None

    def __post_init__(self) -> None:
        text(self.name, "name")
        choice(self.mass, "mass.kind", MASSES)
        parts = (
            ("mesh", MeshSpec),
            ("material", MaterialSpec),
            ("damping", Damping),
            ("time", TimeSpec),
            ("newton", NewtonSpec),
        )
        for name, kind in parts:
            instance(getattr(self, name), name, kind)
        _set(
            self,
            clamps=instances(self.clamps, "clamp", Region),
            loads=instances(self.loads, "load", Load),
            obstacles=instances(self.obstacles, "obstacle", Obstacle),
            sampling=instances(self.sampling, "sampling", RandomLoad),
            model=None if self.model is None else _path(self.model, "subspace.model"),
            path=None if self.path is None else _path(self.path, "path"),
        )
        check_names(self.obstacles)
        if self.material.density == 0.0 and not self.clamps:
            raise InputError(
                "material.density: expected above 0 kg/m^3 for a body with nothing clamped, "
                "given 0; add a [[clamp]] or a density"
            )


def _path(value: Any, name: str) -> Path:
    return value if isinstance(value, Path) else Path(text(value, name))


def _set(target: Any, **values: Any) -> None:
    for name, value in values.items():
        object.__setattr__(target, name, value)
