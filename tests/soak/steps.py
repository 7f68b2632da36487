"""A body that is never let alone: reduced steps under random loads for hours.

    python tests/soak/steps.py --steps 1000000 --seed 0

bends, twists and swings the beam in HoD-6, each time by loads drawn anew, lets go, and looks: no
step may fail or be nan, memory must stay where it is, and a body that nothing drives must not gain
energy. A million steps take some minutes.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from rich.progress import track

from hodsim import body_of, load_model, read_scene
from hodsim.cubature import load_cubatures
from hodsim.dynamics import Spec, State, parse_spec, setup_of
from hodsim.dynamics.substeps import anew
from hodsim.fem import Body
from hodsim.files import data_dir
from hodsim.sampling import draw_loads
from hodsim.scene import Load, Scene

SCENES = ("bend", "twist", "swing")
DRIVEN, FREE, LOOK = 800, 200, 20  # steps of a round, and between two looks at the energy
_SETTLED = 20  # rounds after which memory is to stay


@dataclass
class Outcome:
    """What became of so many steps.

    Attributes
    ----------
    failed : steps that did not converge, parts of them included.
    broken : steps that ended in what is not finite.
    largest : displacement of any vertex [m].
    farthest : from the training range, 1 being its edge.
    gained : the most that an undriven body's energy came to, over its energy when it was let go.
    grown_mb : memory taken after the first rounds.
    """

    steps: int = 0
    failed: int = 0
    broken: int = 0
    largest: float = 0.0
    farthest: float = 0.0
    gained: float = 0.0
    grown_mb: float = 0.0

    @property
    def bad(self) -> bool:
        """Whether it is not what it should be. Energies are of all tets, steps of a cubature."""
        return bool(self.failed or self.broken or self.gained > 1.01 or self.grown_mb > 50.0)


def soak(spec: Spec, steps: int, seed: int, shown: bool = False) -> Outcome:
    """That many steps of the shipped beam, in rounds."""
    scenes = [read_scene(data_dir("scenes") / f"{name}.toml") for name in SCENES]
    body = body_of(scenes[0])
    model = load_model(data_dir("trained_models") / "beam")
    cubatures = load_cubatures(data_dir("trained_models") / "beam")
    basis = model.subspace(spec.kind, spec.rank).basis
    reach = model.reach(spec.kind, spec.rank)
    idle = setup_of(replace(scenes[0], loads=()), body, spec, model, cubatures).integrator
    state, out, settled = idle.start(), Outcome(), 0.0
    rounds = range(math.ceil(steps / (DRIVEN + FREE)))
    for k in track(rounds, "rounds", len(rounds)) if shown else rounds:
        rng = np.random.default_rng((seed, k))
        scene = scenes[int(rng.integers(len(scenes)))]
        driven = setup_of(_later(scene, state.t, rng), body, spec, model, cubatures).integrator
        state = anew(state)
        for n in range(DRIVEN + FREE):
            if n == DRIVEN:
                state = anew(state)
                most = _energy(body, basis, state)
            state, result = (driven if n < DRIVEN else idle).step(state)
            out.steps += 1
            out.failed += not result.converged
            out.broken += not (np.isfinite(state.z).all() and np.isfinite(state.dz).all())
            if n % LOOK == 0:
                moved = np.linalg.norm((basis @ state.z).reshape(-1, 3), axis=1).max()
                out.largest = max(out.largest, float(moved))
                out.farthest = max(out.farthest, reach.measure(state.motion.x))
                if n > DRIVEN:
                    out.gained = max(out.gained, _energy(body, basis, state) / most)
        settled = _memory() if k == min(_SETTLED, (len(rounds) - 1) // 2) else settled
    out.grown_mb = _memory() - settled
    return out


def _later(scene: Scene, t: float, rng: np.random.Generator) -> Scene:
    """The scene under loads drawn anew, one after the other, from t on."""
    loads: list[Load] = []
    end = t + DRIVEN * scene.time.step
    while t < end:
        some = draw_loads(scene, rng)
        loads += [replace(load, times=tuple(t + s for s in load.times)) for load in some]
        t = max(load.times[-1] for load in loads) + rng.uniform(0.0, 1.0)
    return replace(scene, loads=tuple(loads))


def _energy(body: Body, basis: np.ndarray, state: State) -> float:
    u, v = basis @ state.z, basis @ state.dz
    return body.energy(u) + body.kinetic_energy(v)


def _memory() -> float:
    """Megabytes that this process holds now; where that is not told, the most it ever held."""
    told = Path("/proc/self/statm")
    if told.is_file():
        return int(told.read_text().split()[1]) * resource.getpagesize() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> int:
    """Soak; 1 if anything is not as it should be."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--subspace", default="hod-6")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write the outcome, too")
    parser.add_argument("--quick", action="store_true", help="20,000 steps")
    asked = parser.parse_args()
    steps = 20_000 if asked.quick else asked.steps
    out = soak(parse_spec(asked.subspace), steps, asked.seed, shown=True)
    print(", ".join(f"{name} {value:.6g}" for name, value in asdict(out).items()))
    if asked.json is not None:
        asked.json.write_text(json.dumps(asdict(out) | {"seed": asked.seed}))
    return int(out.bad)


if __name__ == "__main__":
    sys.exit(main())
