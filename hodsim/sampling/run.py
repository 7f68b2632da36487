"""Making snapshots: many random motions of scenes in full space, over processes."""

from __future__ import annotations

import json
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import numpy as np

from hodsim.dynamics import FullSpace, simulate
from hodsim.errors import InputError
from hodsim.fem import Body, Loads, body_of
from hodsim.files import alone
from hodsim.sampling.draw import draw_loads
from hodsim.scene import Scene, load_to_dict, obstacle_to_dict
from hodsim.snapshots import Store, origin_of, tagged_of


@dataclass(frozen=True)
class Job:
    """One trajectory to make: number `index` of a scene, drawn from (seed, scene, index)."""

    scene: Scene
    index: int
    seed: tuple[int, ...]

    @property
    def name(self) -> str:
        return f"{self.scene.name}-{self.index:04d}"


def jobs_of(scenes: Sequence[Scene], trajectories: int, seed: int) -> list[Job]:
    """`trajectories` jobs of each scene; a job's loads depend on its own numbers only."""
    if seed < 0:
        raise InputError(f"seed: expected a whole number of at least 0, given {seed}")
    names = [scene.name for scene in scenes]
    if len(set(names)) != len(names):
        raise InputError(f"scenes: expected different names, given {', '.join(names)}")
    for scene in scenes:
        if not scene.sampling:
            raise InputError(
                f"scene {scene.name}: expected at least one [[sampling]] load to draw from, given "
                "none; add one"
            )
    return [
        Job(scene, k, (seed, *scene.name.encode(), k))
        for k in range(trajectories)
        for scene in scenes
    ]


def make_snapshots(
    scenes: Sequence[Scene],
    trajectories: int,
    seed: int,
    store: Store,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> list[str]:
    """Fill the store with `trajectories` motions of each scene; returns the names of failed ones.

    What the store has already is kept, so a stopped run goes on where it was. A motion whose
    Newton's method fails is stored up to there and named. `progress(done, total)` is told.

    Raises
    ------
    InputError
        The scenes are of different bodies or have nothing to draw from, the store holds motions
        of another body, seed or sampling, or another run is writing there.
    """
    jobs = jobs_of(scenes, trajectories, seed)
    bodies = [body_of(scene) for scene in scenes]
    for scene, body in zip(scenes, bodies, strict=True):
        Loads(body, draw_loads(scene, np.random.default_rng(0)))
        if origin_of(body) != origin_of(bodies[0]):
            raise InputError(
                f"scene {scene.name}: expected the same body as scene {scenes[0].name} (mesh, "
                "clamps, material, mass, damping), given another; train them apart"
            )
    store.check(origin_of(bodies[0]))
    of = dict(zip(scenes, bodies, strict=True))
    full = {job.name for job in jobs} <= set(store.names())
    with nullcontext() if full else alone(store.folder):  # others may read a full one meanwhile
        return _fill(jobs, of, store, workers, progress)


def _fill(
    jobs: list[Job],
    bodies: dict[Scene, Body],
    store: Store,
    workers: int,
    progress: Callable[[int, int], None] | None,
) -> list[str]:
    present = set(store.names())
    missing = [job for job in jobs if job.name not in present]
    done = len(jobs) - len(missing)
    kept = [job for job in jobs if job.name in present]
    failed = [job.name for job in kept if not _kept(job, bodies[job.scene], store)]
    if progress is not None:
        progress(done, len(jobs))
    context = multiprocessing.get_context("spawn")
    count = max(1, min(workers, len(missing)))
    with ProcessPoolExecutor(count, context, initializer=_leave_with_parent) as pool:
        with _interrupts_ignored():  # Workers inherit it: Ctrl-C is for the parent to answer.
            futures = {pool.submit(_make, job, store): job for job in missing}
        try:
            for future in as_completed(futures):
                done += 1
                if not future.result():
                    failed.append(futures[future].name)
                if progress is not None:
                    progress(done, len(jobs))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return sorted(failed)


def check_snapshots(scenes: Sequence[Scene], trajectories: int, seed: int, store: Store) -> None:
    """Refuse a store that holds a motion which `make_snapshots` would make otherwise.

    Raises `InputError`; motions that are not there are none of its business.
    """
    present = set(store.names())
    bodies: dict[Scene, Body] = {}
    for job in jobs_of(scenes, trajectories, seed):
        if job.name in present:
            if job.scene not in bodies:
                bodies[job.scene] = body_of(job.scene)
            _kept(job, bodies[job.scene], store)


def _kept(job: Job, body: Body, store: Store) -> bool:
    """Whether a stored motion took all its steps; refuses one that this job would not make."""
    told, time = store.provenance(job.name), job.scene.time
    loads = draw_loads(job.scene, np.random.default_rng(job.seed))
    wanted = {
        "seed": list(job.seed),
        "loads": json.loads(json.dumps([load_to_dict(load) for load in loads])),
        "step": time.step,
        "integrator": time.integrator,
        "obstacles": [obstacle_to_dict(obstacle) for obstacle in job.scene.obstacles],
        "tagged": tagged_of(body, loads),
    }
    told = {"obstacles": [], "tagged": {}, **told}  # written where there are some
    differ = [k for k, v in wanted.items() if told.get(k) != v]
    if told.get("complete") and told["poses"] != time.steps + 1:
        differ.append("steps")
    if differ:
        raise InputError(
            f"{store.path(job.name)}: expected the motion that this scene and seed draw, given one "
            f"of other {', '.join(differ)}; choose another folder or remove it"
        )
    return bool(told.get("complete"))


_bodies: dict[Scene, Body] = {}  # A worker process builds each scene's body once.


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """SIGINT ignored meanwhile, where signals can be set at all: in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _leave_with_parent() -> None:
    """In a worker: end when the parent does, however it ends, rather than wait for ever."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _make(job: Job, store: Store) -> bool:
    scene = job.scene
    if scene not in _bodies:
        _bodies[scene] = body_of(scene)
    body = _bodies[scene]
    loads = draw_loads(scene, np.random.default_rng(job.seed))
    time = scene.time
    full = FullSpace(
        body,
        Loads(body, loads),
        time.step,
        time.integrator,
        scene.newton,
        obstacles=scene.obstacles,
    )
    motion = simulate(full, time.steps, on_failure="stop")
    store.write(
        job.name,
        motion.z,
        origin=origin_of(body),
        loads=loads,
        seed=job.seed,
        step=time.step,
        integrator=time.integrator,
        obstacles=scene.obstacles,
        tagged=tagged_of(body, loads),
        complete=motion.converged,
    )
    return motion.converged
