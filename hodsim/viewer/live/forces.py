"""Arrows for the loads that act on a body now."""

from __future__ import annotations

import numpy as np

from hodsim.fem import Body
from hodsim.scene import Load, Scene, select, value_at
from hodsim.viewer.live.picture import Arrow

_LONGEST = 0.25  # of the body's extent: the arrow of the scene's largest load
_GRAVITY = 9.81  # m/s^2, has the longest arrow where the scene has no stronger one


class LoadArrows:
    """The loads of a scene on its body: forces and torques at the middle of their region (a torque
    along its axis), gravity at the body's middle. Lengths go with the largest of each kind."""

    def __init__(self, scene: Scene, body: Body) -> None:
        self._gravity = [load for load in scene.loads if load.kind == "gravity"]
        self._local = [
            (load, select(load.region, body.mesh.vertices, body.mesh.tags))
            for load in scene.loads
            if load.region is not None
        ]
        longest = _LONGEST * float(np.ptp(body.mesh.vertices, axis=0).max())
        self._per_unit = {
            kind: longest / max([least, *(_largest(x) for x in scene.loads if x.kind == kind)])
            for kind, least in (("force", 1e-300), ("torque", 1e-300), ("gravity", _GRAVITY))
        }

    def arrows(self, positions: np.ndarray, t: float, gravity: np.ndarray) -> list[Arrow]:
        """The arrows at time t [s] on a body drawn at `positions` [m], (n_vertices, 3), under
        `gravity` [m/s^2] on top of the scene's."""
        acting = [(load.kind, value_at(load, t), positions[where]) for load, where in self._local]
        pull = gravity + sum(value_at(load, t) for load in self._gravity)
        out = []
        for kind, value, points in [*acting, ("gravity", pull, positions)]:
            if value.any():
                start = points.mean(axis=0)
                out.append(Arrow(start, start + self._per_unit[kind] * value, "load"))
        return out


def _largest(load: Load) -> float:
    return float(np.linalg.norm(load.values, axis=1).max())
