"""One body under a user's hands: an integrator that takes actions between its steps."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import numpy as np

from hodsim.cubature import Scheme
from hodsim.dynamics import (
    Applied,
    NewtonResult,
    Setup,
    Spec,
    Spring,
    State,
    anew,
    setup_of,
)
from hodsim.errors import InputError
from hodsim.fem import Body, damped
from hodsim.scene import Scene
from hodsim.session.inputs import (
    Action,
    Damp,
    Drag,
    Gravity,
    Pose,
    Recording,
    Release,
    Settings,
    TimeStep,
    settings_of,
)
from hodsim.snapshots import origin_of
from hodsim.subspaces import Model, Reach

# A pull that no step can follow is weakened by this factor, and at most to that part of it.
_EASING: Final = 0.25
_WEAKEST: Final = _EASING**8
# Springs do not pull a body farther than this from where training has been (1: its edge): what a
# decoder shows there means nothing.
_FARTHEST: Final = 3.0


class Driven:
    """Steps a body in one space, and does to it what a user does.

    What it computes depends on the scene, the space and the actions with their steps alone: the
    same actions give the same motion, to the last bit, whenever and wherever they are done again.

    A step that does not converge because the springs pull too hard, or that ends far outside the
    training range, is taken with weaker ones: `eased` is the part of their stiffness that the last
    step had, 1 if all.

    Parameters are those of `setup_of`, and it raises what that does.
    """

    def __init__(
        self,
        scene: Scene,
        body: Body,
        spec: Spec,
        model: Model | None,
        cubatures: Mapping[str, Scheme] | None = None,
        solver: str = "auto",
    ) -> None:
        self.scene, self.body, self.spec = scene, body, spec
        self._model, self._cubatures, self._solver = model, cubatures, solver
        self._first = self.setup = setup_of(scene, body, spec, model, cubatures, solver)
        self._reach: Reach | None = None
        if model is not None and spec.kind != "full":
            self._reach = model.reach(spec.kind, spec.rank)
        self._restart()

    def _restart(self) -> None:
        self.settings: Settings = settings_of(self.scene)
        self._springs: dict[str, Spring] = {}
        self.eased = 1.0
        self.setup = self._first
        self._apply()

    @property
    def h(self) -> float:
        """The length of the next step [s]."""
        return self.setup.integrator.h

    @property
    def name(self) -> str:
        """What a `Pose` calls it: "full", or kind and rank of the subspace."""
        subspace = self.setup.subspace
        return "full" if subspace is None else f"{subspace.kind}-{subspace.rank}"

    def start(self) -> State:
        """At rest at t = 0, with nothing done yet."""
        self._restart()
        return self.setup.integrator.start()

    def step(self, state: State) -> tuple[State, NewtonResult]:
        if self.eased < 1.0:
            self._apply(min(1.0, self.eased / _EASING))
        after, result = self.setup.integrator.step(state)
        while self._springs and self.eased > _WEAKEST:
            if result.converged and not self.reach(after) > _FARTHEST:
                break
            self._apply(self.eased * _EASING)
            after, result = self.setup.integrator.step(state)
        return after, result

    def reach(self, state: State) -> float:
        """How far outside the training range a state is: see `Reach`; nan where not known."""
        return math.nan if self._reach is None else self._reach.measure(state.motion.x)

    def do(self, state: State, action: Action) -> State:
        """The state after an action, which is in force from the next step on.

        Raises `InputError` for a vertex that is clamped or not there, and a pose of another rank.
        """
        if isinstance(action, Pose):
            return self.posed(state, action) if action.subspace == self.name else state
        if isinstance(action, Drag):
            action.spring.place(self.body)
            self._springs[action.by] = action.spring
        elif isinstance(action, Release):
            self._springs.pop(action.by, None)
        elif isinstance(action, Gravity):
            self.settings = replace(self.settings, gravity=action.acceleration)
        else:
            if isinstance(action, TimeStep):
                self.settings = replace(self.settings, time_step=action.step)
            elif isinstance(action, Damp):
                mass, stiffness = action.damping.mass, action.damping.stiffness
                self.settings = replace(
                    self.settings, damping_mass=mass, damping_stiffness=stiffness
                )
            self.setup = self._rebuilt()
            # Steps of another length or another body left behind what came before.
            state = anew(state)
        self._apply(self.eased if self._springs else 1.0)
        return state

    def posed(self, state: State, action: Pose) -> State:
        """At latent q of the action and at rest, at the state's time."""
        q = np.array(action.q)
        subspace = self.setup.subspace
        rank = 0 if subspace is None else subspace.rank
        if q.shape != (rank,):
            raise InputError(
                f"pose: expected {rank} latent coordinates for {self.name}, given {len(q)}"
            )
        return replace(self.setup.integrator.whole.start(q), t=state.t)

    def _apply(self, eased: float = 1.0) -> None:
        self.eased = eased
        springs = tuple(
            replace(spring, stiffness=eased * spring.stiffness) for spring in self._springs.values()
        )
        self.setup.integrator.apply_input(Applied(springs, self.settings.gravity))

    def _rebuilt(self) -> Setup:
        s = self.settings
        scene = replace(self.scene, time=replace(self.scene.time, step=s.time_step))
        body = damped(
            self.body, replace(scene.damping, mass=s.damping_mass, stiffness=s.damping_stiffness)
        )
        return setup_of(scene, body, self.spec, self._model, self._cubatures, self._solver)


class Replay:
    """The integrator that does again what was recorded: see `hodsim.dynamics.simulate`.

    Raises
    ------
    InputError
        The recording is of another body or integrator.
    """

    def __init__(self, driven: Driven, recording: Recording) -> None:
        ours, theirs = origin_of(driven.body), recording.origin
        differ = sorted(k for k, v in ours.items() if v != theirs.get(k))
        if driven.scene.time.integrator != recording.integrator:
            differ.append("integrator")
        if differ:
            raise InputError(
                f"recording: expected one of this body, given one of scene {recording.scene} "
                f"(different {', '.join(differ)}); name the scene that it was made in"
            )
        self._driven, self._events, self._step = driven, recording.events, 0

    @property
    def h(self) -> float:
        return self._driven.h

    def start(self) -> State:
        self._step, self._next = 0, 0
        return self._driven.start()

    def step(self, state: State) -> tuple[State, NewtonResult]:
        """One step, after what was done before it."""
        while self._next < len(self._events) and self._events[self._next].step <= self._step:
            state = self._driven.do(state, self._events[self._next].action)
            self._next += 1
        self._step += 1
        return self._driven.step(state)
