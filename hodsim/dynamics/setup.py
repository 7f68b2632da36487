"""From a scene and a name such as "hod-6" to the integrator that steps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hodsim.cubature import Cubature, Polynomial, Scheme, polynomial_of
from hodsim.dynamics.compiled import CompiledSpace, TouchingSpace
from hodsim.dynamics.full import FullSpace
from hodsim.dynamics.reduced import ReducedSpace
from hodsim.dynamics.spec import Spec
from hodsim.dynamics.substeps import Substepping
from hodsim.errors import InputError
from hodsim.fem import Body, Loads
from hodsim.scene import Scene
from hodsim.subspaces import Model, Subspace


@dataclass(frozen=True)
class Setup:
    """An integrator, and what it is: see `Run`. A polynomial evaluates no `tets`."""

    integrator: Substepping[Any]
    subspace: Subspace | None
    engine: str
    tets: int
    solver: str

    @property
    def basis(self) -> np.ndarray | None:
        """B (n_dofs, w) of a subspace."""
        return None if self.subspace is None else self.subspace.basis


def setup_of(
    scene: Scene,
    body: Body,
    spec: Spec,
    model: Model | None,
    cubatures: Mapping[str, Scheme] | None = None,
    solver: str = "auto",
) -> Setup:
    """The integrator of one spec for a scene's loads on its body, among the scene's obstacles.

    The model is taken to be for this body: see `Model.check`. A step in a subspace that does not
    converge is taken in parts. Raises `InputError` for a rank that the model does not have, or none
    given where one is needed, or a cubature of another body or subspace. The readable integrator
    takes all tets; a polynomial that is asked for and not among `cubatures` is computed.
    """
    time, loads = scene.time, Loads(body, scene.loads)
    if spec.kind == "full":

        def whole(step: float) -> FullSpace:
            return FullSpace(
                body, loads, step, time.integrator, scene.newton, solver, scene.obstacles
            )

        full = Substepping(whole, time.step)
        name = full.whole.factorization.name
        return Setup(full, None, "full", body.mesh.n_tets, name)
    if model is None:
        raise InputError(
            f"model: expected one for {spec.label}, given none; name its folder by --model or in "
            "the scene's [subspace]"
        )
    subspace = model.subspace(spec.kind, spec.rank)
    scheme: Scheme | None = None
    if spec.polynomial:
        scheme = polynomial_of(body, subspace, cubatures)
    elif spec.compiled:
        scheme = (cubatures or {}).get(f"{spec.kind}-{subspace.rank}")
    tets = body.mesh.n_tets
    if isinstance(scheme, Cubature):
        tets = len(scheme.tets)
    elif isinstance(scheme, Polynomial):
        tets = 0

    def reference(step: float) -> ReducedSpace:
        return ReducedSpace(
            body,
            loads,
            subspace,
            step,
            time.integrator,
            spec.formulation,
            spec.terms,
            scene.newton,
            scheme,
            scene.obstacles,
        )

    def compiled(step: float) -> CompiledSpace | TouchingSpace:
        space = CompiledSpace(body, loads, subspace, scheme, step, time.integrator, scene.newton)
        if not scene.obstacles:
            return space
        return TouchingSpace(space, scene.obstacles, lambda: reference(step))

    if not spec.compiled:
        stepped = Substepping(reference, time.step)
        return Setup(stepped, subspace, "reference", tets, "dense")
    launched: Substepping[Any] = Substepping(compiled, time.step)
    return Setup(launched, subspace, "compiled", tets, "dense")
