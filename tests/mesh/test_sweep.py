"""The torus and the arm against counts, volume, closedness and symmetry known beforehand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from solids import dihedrals, enclosed, euler

from hodsim import InputError, TetMesh
from hodsim.mesh import arm, torus
from hodsim.mesh.sweep import disc, sweep

TORUS_VOLUME = 2.0 * np.pi**2 * 0.4 * 0.1**2
# Two arcs of 60 degrees that span 1 m, times the mean of pi r^2 over a linear r.
ARM_VOLUME = (np.pi / 3.0) / np.sin(np.pi / 3.0) * np.pi * (0.1**2 + 0.1 * 0.05 + 0.05**2) / 3.0


def test_shipped_sizes() -> None:
    assert (torus().n_vertices, torus().n_tets) == (570, 2160)
    assert (arm().n_vertices, arm().n_tets) == (551, 2016)


@pytest.mark.parametrize(("make", "volume"), [(torus, TORUS_VOLUME), (arm, ARM_VOLUME)])
def test_volume_converges_at_second_order(make: Callable[..., TetMesh], volume: float) -> None:
    # Both the polygons in the circles and the chords along the curve miss by the spacing squared.
    sizes = [(16, 2), (32, 4), (64, 8)] if make is torus else [(17, 2), (33, 4), (65, 8)]
    missing = [1.0 - make(*size).volumes.sum() / volume for size in sizes]
    assert missing[-1] == pytest.approx(0.0, abs=5e-3)
    rates = np.log2(np.divide(missing[:-1], missing[1:]))
    # The next term of sin(x) / x, x^2 / 20 of the first at x = pi / 6, bends them by 0.02 each.
    assert rates == pytest.approx([2.0, 2.0], abs=0.05)


@settings(max_examples=25, deadline=None)
@given(st.integers(3, 12), st.integers(1, 4), st.floats(0.05, 0.7), st.floats(0.01, 100.0))
def test_any_torus_is_closed_and_whole(n: int, rings: int, slim: float, size: float) -> None:
    mesh = torus(n, rings, size, slim * size)
    assert (mesh.n_vertices, mesh.n_tets) == _counts(n, n, rings)
    assert euler(mesh) == 0
    # Prisms of straight edges: the exact volume is that of the polyhedron that the surface is.
    assert mesh.volumes.sum() == pytest.approx(enclosed(mesh), rel=1e-12)


@settings(max_examples=25, deadline=None)
@given(st.integers(3, 12), st.integers(1, 4), st.floats(5.0, 90.0), st.floats(0.01, 100.0))
def test_any_arm_is_closed_and_whole(n: int, rings: int, bend: float, size: float) -> None:
    mesh = arm(n, rings, size, bend, (0.1 * size, 0.03 * size))
    assert (mesh.n_vertices, mesh.n_tets) == _counts(n, n - 1, rings)
    assert euler(mesh) == 2
    assert mesh.volumes.sum() == pytest.approx(enclosed(mesh), rel=1e-12)


@pytest.mark.parametrize("make", [torus, arm])
def test_no_tet_is_a_sliver(make: Callable[..., TetMesh]) -> None:
    assert dihedrals(make()).min() > 25.0
    assert dihedrals(make()).max() < 125.0


@pytest.mark.parametrize(("make", "axis"), [(torus, 2), (arm, 1)])
@pytest.mark.parametrize("rings", [1, 2, 3])
def test_no_handedness(make: Callable[..., TetMesh], axis: int, rings: int) -> None:
    mesh = make(8, rings)
    mirrored = mesh.vertices * np.where(np.arange(3) == axis, -1.0, 1.0)
    distance = np.abs(mesh.vertices[:, None] - mirrored[None]).max(axis=2)
    image = distance.argmin(axis=0)
    assert distance.min(axis=0).max() < 1e-12
    assert {*map(tuple, np.sort(image[mesh.tets]).tolist())} == {
        *map(tuple, np.sort(mesh.tets).tolist())
    }


def test_both_ends_of_the_arm_stand_across_x() -> None:
    x = arm().vertices[:, 0]
    assert (x[:19] == 0.0).all()
    assert (x[-19:] == 1.0).all()
    assert ((x[19:-19] > 0.01) & (x[19:-19] < 0.99)).all()


@given(st.integers(1, 6))
def test_disc_is_whole(rings: int) -> None:
    points, triangles = disc(rings)
    assert (len(points), len(triangles)) == (3 * rings * (rings + 1) + 1, 6 * rings**2)
    (ax, ay), (bx, by) = ((points[triangles[:, k]] - points[triangles[:, 0]]).T for k in (1, 2))
    areas = (ax * by - ay * bx) / 2.0
    assert areas.min() > 0.0
    assert areas.sum() == pytest.approx(3 * rings * np.sin(np.pi / (3 * rings)))


def test_layers_that_cross_are_refused() -> None:
    points, triangles = disc(1)
    flat = np.column_stack([points, np.zeros(7)])
    layers = flat + np.array([0.0, 1.0, 0.5])[:, None, None] * [0.0, 0.0, 1.0]
    with pytest.raises(InputError, match="inverted"):
        sweep(triangles, layers)


@pytest.mark.parametrize(
    ("make", "wrong", "message"),
    [
        (torus, {"sections": 2}, "sections"),
        (torus, {"sections": 8.0}, "sections"),
        (torus, {"rings": 0}, "rings"),
        (torus, {"rings": True}, "rings"),
        (torus, {"radius": -1.0}, "radius"),
        (torus, {"radius": np.nan}, "radius"),
        (torus, {"thickness": 0.4}, "thickness below the radius"),
        (torus, {"thickness": "abc"}, "thickness"),
        (arm, {"sections": 1}, "sections"),
        (arm, {"rings": "2"}, "rings"),
        (arm, {"length": 0.0}, "length"),
        (arm, {"bend": 91.0}, "bend"),
        (arm, {"bend": 0.0}, "bend"),
        (arm, {"thickness": 0.1}, "two radii"),
        (arm, {"thickness": (0.1, 0.0)}, r"thickness\[1\]"),
        (arm, {"thickness": (0.1, 0.6)}, "below the arcs' radius"),
    ],
)
def test_bad_sizes_are_refused(
    make: Callable[..., TetMesh], wrong: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=f"{make.__name__}: .*{message}"):
        make(**wrong)


def _counts(sections: int, prisms: int, rings: int) -> tuple[int, int]:
    return sections * (3 * rings * (rings + 1) + 1), prisms * 18 * rings**2
