"""The tip, on bodies whose tip is known."""

from __future__ import annotations

import numpy as np
import pytest

from hodsim.fem import Body, dofs_of, tip_vertices
from hodsim.fem.body import make_body
from hodsim.mesh import TetMesh, arm, beam, torus
from hodsim.scene import MaterialSpec

RUBBER = MaterialSpec(law="neo-hookean", young=5e5, poisson=0.4, density=1000.0)


def clamped(mesh: TetMesh, *ends: float) -> Body:
    x = mesh.vertices[:, 0]
    return make_body(mesh, RUBBER, np.flatnonzero(np.isin(x, ends)))


@pytest.mark.parametrize(("ends", "tip"), [((0.0,), 1.0), ((1.0,), 0.0), ((), 1.0), ((0, 1), 0.5)])
def test_tip_is_the_whole_face_farthest_from_the_clamp(ends: tuple[float, ...], tip: float) -> None:
    mesh = beam((4, 2, 2), (1.0, 0.2, 0.3))
    expected = np.flatnonzero(np.abs(mesh.vertices[:, 0] - tip) < 1e-12)
    assert len(expected) >= 9  # lattice points of a cross-section, and centres on an end cap
    assert tip_vertices(clamped(mesh, *ends)).tolist() == expected.tolist()


def test_tip_of_the_shipped_beam_is_its_end_cap() -> None:
    # 3 x 5 lattice points and 2 x 4 face centres.
    assert len(tip_vertices(clamped(beam(), 0.0))) == 23


def test_tip_follows_the_longest_axis() -> None:
    mesh = beam((1, 1, 3), (0.2, 0.2, 1.0))
    body = make_body(mesh, RUBBER, np.flatnonzero(mesh.vertices[:, 2] < -0.49))
    assert np.ptp(mesh.vertices[tip_vertices(body)], axis=0) == pytest.approx([0.2, 0.2, 0.0])


def test_tip_of_the_arm_is_its_end_face() -> None:
    assert tip_vertices(clamped(arm(), 0.0)).tolist() == list(range(28 * 19, 29 * 19))


def test_tip_of_a_ring_is_its_far_side() -> None:
    mesh = torus()
    x, y, _ = mesh.vertices.T
    body = make_body(mesh, RUBBER, np.flatnonzero((x < -0.25) & (np.abs(y) < 0.11)))
    # Only the outermost vertex stands farthest: an eighth of the ring's 1 m is taken instead.
    tip = tip_vertices(body)
    assert tip.tolist() == np.flatnonzero(x >= 0.375).tolist()
    assert np.linalg.matrix_rank(mesh.vertices[tip] - mesh.vertices[tip].mean(axis=0)) == 3


def test_dofs_of_free_vertices() -> None:
    assert dofs_of(np.array([2, 5, 9]), np.array([5, 9])).tolist() == [3, 4, 5, 6, 7, 8]
