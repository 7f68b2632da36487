"""What is stepped: a held-out scene on meshes of several sizes, subspaces on each, cubatures.

There is one trained model, of the mesh of 514 vertices. On a finer one its basis is interpolated:
the shape functions of the coarse tets at the fine vertices. Cubatures are fitted there anew, to
poses of motions that the same subspace makes on the coarse mesh under loads drawn as for training.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

import numpy as np
import scipy.sparse as sp

from hodsim.cubature import Cubature, fit_cubature, usable_cubatures
from hodsim.dynamics import simulate
from hodsim.dynamics.compiled import CompiledSpace
from hodsim.fem import Body, Loads, body_of
from hodsim.files import data_dir
from hodsim.mesh import TetMesh
from hodsim.sampling.draw import draw_loads
from hodsim.scene import BeamSpec, MeshSpec, Scene, read_scene
from hodsim.subspaces import Model, Subspace, load_model

SCENE: Final = "heldout/bend-1"
# Cells along x, y and z of the beam; the first is the mesh of the model.
CELLS: Final = {514: (21, 2, 4), 5022: (52, 5, 8), 20934: (80, 9, 13)}
TETS: Final = 72
# Poses that a cubature on a fine mesh is fitted to and held against.
_POSES: Final = (100, 20)
_MOTIONS: Final = ("bend", "twist", "swing")
_DRAWS: Final = 4


@dataclass(frozen=True)
class World:
    """The trained body and its model; the seed is that of the loads whose poses are fitted to."""

    seed: int

    @cached_property
    def scene(self) -> Scene:
        return read_scene(data_dir("scenes") / f"{SCENE}.toml")

    @cached_property
    def model(self) -> Model:
        return load_model(data_dir("trained_models") / "beam")

    @cached_property
    def coarse(self) -> Level:
        return Level(self, self.scene)

    @cached_property
    def shipped(self) -> dict[str, Cubature]:
        folder = data_dir("trained_models") / "beam"
        return usable_cubatures(folder, self.coarse.body, self.model)

    def level(self, vertices: int) -> Level:
        """The scene on the mesh of so many vertices."""
        if vertices == min(CELLS):
            return self.coarse
        size = tuple(float(x) for x in np.ptp(self.coarse.body.mesh.vertices, axis=0))
        mesh = MeshSpec(beam=BeamSpec(CELLS[vertices], size))
        return Level(self, replace(self.scene, mesh=mesh))

    def latent_poses(self, kind: str, rank: int) -> np.ndarray:
        """q (n, r) of coarse motions in that subspace, rest left out."""
        coarse, subspace = self.coarse, self.model.subspace(kind, rank)
        found = []
        for name in _MOTIONS:
            scene = read_scene(data_dir("scenes") / f"{name}.toml")
            for k in range(_DRAWS):
                rng = np.random.default_rng((self.seed, *name.encode(), k))
                loads = Loads(coarse.body, draw_loads(scene, rng))
                space = CompiledSpace(
                    coarse.body,
                    loads,
                    subspace,
                    self.shipped[f"{kind}-{rank}"],
                    self.scene.time.step,
                )
                motion = simulate(space, scene.time.steps, on_failure="stop")
                found.append(motion.coordinates[1:])
        return np.concatenate(found)


class Level:
    """The scene on one mesh."""

    def __init__(self, world: World, scene: Scene) -> None:
        self.world, self.scene = world, scene
        self.body: Body = body_of(scene)
        self.loads = Loads(self.body, scene.loads)
        self._cubatures: dict[tuple[str, int, int], Cubature] = {}

    @property
    def vertices(self) -> int:
        return self.body.mesh.n_vertices

    @property
    def trained(self) -> bool:
        """Whether this is the mesh of the model."""
        return self is self.world.coarse

    @cached_property
    def _shapes(self) -> sp.csr_array:
        return shape_functions(self.world.coarse.body.mesh, self.body.mesh.vertices)

    def subspace(self, kind: str, rank: int) -> Subspace:
        coarse = self.world.model.subspace(kind, rank)
        if self.trained:
            return coarse
        moved = self.world.coarse.body.expand(coarse.basis.T)
        fine = np.stack([self._shapes @ u for u in moved])
        return carried(coarse, np.ascontiguousarray(self.body.restrict(fine).T))

    def cubature(self, kind: str, rank: int, tets: int = TETS) -> Cubature:
        """The shipped scheme where there is one of that many tets, else one fitted here."""
        shipped = self.world.shipped.get(f"{kind}-{rank}") if self.trained else None
        if shipped is not None and len(shipped.tets) == tets:
            return shipped
        key = kind, rank, tets
        if key not in self._cubatures:
            subspace = self.subspace(kind, rank)
            rng = np.random.default_rng(self.world.seed)
            q = rng.permutation(self.world.latent_poses(kind, rank))[: sum(_POSES)]
            seen, unseen = np.split(subspace.decode(q), [_POSES[0]])
            self._cubatures[key] = fit_cubature(
                self.body, subspace, seen, unseen, max_tets=tets, seed=self.world.seed
            )
        return self._cubatures[key]


def carried(coarse: Subspace, basis: np.ndarray) -> Subspace:
    """The subspace with another mesh's basis (n_dofs, w), of the same features z(q)."""
    out: Any = copy.copy(coarse)
    out.basis = basis
    Q, R = np.linalg.qr(basis)

    def encode(u: np.ndarray) -> np.ndarray:
        z = np.linalg.solve(R, (np.asarray(u) @ Q).T).T
        return coarse.encode(z @ coarse.basis.T)

    out.encode = encode
    return out


def shape_functions(mesh: TetMesh, points: np.ndarray) -> sp.csr_array:
    """Values of a mesh's linear shape functions at points (n, 3) inside it, (n, n_vertices)."""
    corners = mesh.vertices[mesh.tets]
    inverse = np.linalg.inv((corners[:, 1:] - corners[:, :1]).transpose(0, 2, 1))
    shift = (inverse @ corners[:, 0, :, None])[..., 0]
    rows, columns, values = [], [], []
    for k in _chunks(len(points), 512):
        inner = np.tensordot(points[k], inverse, (1, 2)) - shift  # (chunk, n_tets, 3)
        weights = np.concatenate([1.0 - inner.sum(axis=2, keepdims=True), inner], axis=2)
        best = weights.min(axis=2).argmax(axis=1)
        rows.append(np.repeat(np.arange(k.start, k.start + len(best)), 4))
        columns.append(mesh.tets[best].ravel())
        values.append(weights[np.arange(len(best)), best].ravel())
    places = np.concatenate(rows), np.concatenate(columns)
    shape = len(points), mesh.n_vertices
    return sp.csr_array((np.concatenate(values), places), shape=shape)


def _chunks(n: int, size: int) -> Iterator[slice]:
    return (slice(k, min(k + size, n)) for k in range(0, n, size))
