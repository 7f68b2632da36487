"""The starfish and the pierced beam against counts, volume and closedness known beforehand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from solids import dihedrals, enclosed, euler

from hodsim import InputError, TetMesh
from hodsim.mesh import pierced, starfish


def test_shipped_sizes() -> None:
    assert (starfish().n_vertices, starfish().n_tets) == (633, 1890)
    assert (pierced().n_vertices, pierced().n_tets) == (592, 2016)


@settings(max_examples=25, deadline=None)
@given(
    st.tuples(st.integers(1, 6), st.integers(1, 4), st.integers(1, 3)),
    st.integers(3, 8),
    st.floats(0.05, 0.9),
    st.floats(0.2, 1.0),
)
def test_any_starfish_is_a_prism_and_wedges(
    cells: tuple[int, int, int], arms: int, slim: float, taper: float
) -> None:
    root = slim * 2.0 * np.tan(np.pi / arms)  # of a reach of 1
    w, t = (root, taper * root), (0.3, 0.3 * taper)
    mesh = starfish(cells, arms, 1.0, w, t)
    along, across, layers = cells
    middle = 1 + arms * across * (across + 1) // 2
    triangles = arms * across**2 + 2 * arms * along * across
    assert mesh.n_vertices == (middle + arms * along * (across + 1)) * (layers + 1)
    assert mesh.n_tets == 3 * triangles * layers
    assert euler(mesh) == 2
    area = arms * 0.5 * root * slim
    # Width and thickness are linear along an arm: the mean of their product is Simpson's, exactly.
    section = (w[0] * t[0] + (w[0] + w[1]) * (t[0] + t[1]) + w[1] * t[1]) / 6.0
    # The sides of the wedges between lattice lines are no planes, so only the surface is exact...
    assert mesh.volumes.sum() == pytest.approx(enclosed(mesh), rel=1e-12)
    # ... but top and bottom of an arm are: its height depends on the way along alone.
    assert mesh.volumes.sum() == pytest.approx(
        area * t[0] + arms * (1.0 - slim) * section, rel=1e-12
    )


@settings(max_examples=25, deadline=None)
@given(
    st.tuples(st.integers(1, 6), st.integers(2, 6), st.integers(1, 3)),
    st.integers(1, 4),
    st.floats(0.05, 0.45),
    st.floats(1.1, 5.0),
)
def test_any_pierced_beam_is_a_box_less_a_polygon(
    cells: tuple[int, int, int], rings: int, hole: float, length: float
) -> None:
    mesh = pierced(cells, rings, (length, 0.3, 1.0), hole)
    along, over, through = cells
    plane = 4 * over * (rings + 1) + 2 * along * (over + 1)
    assert mesh.n_vertices == plane * (through + 1)
    assert mesh.n_tets == 3 * (8 * over * rings + 4 * along * over) * through
    assert euler(mesh) == 0  # one hole
    polygon = 2.0 * over * np.sin(np.pi / (2.0 * over)) * hole**2
    assert mesh.volumes.sum() == pytest.approx(0.3 * (length - polygon), rel=1e-12)
    low, high = mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)
    assert low == pytest.approx([0.0, -0.15, -0.5], abs=1e-15)
    assert high == pytest.approx([length, 0.15, 0.5])


@pytest.mark.parametrize(
    ("make", "least", "most"), [(starfish, 24.0, 134.0), (pierced, 19.0, 138.0)]
)
def test_no_tet_is_a_sliver(make: Callable[..., TetMesh], least: float, most: float) -> None:
    assert dihedrals(make()).min() > least
    assert dihedrals(make()).max() < most


def test_arms_are_alike_and_the_first_points_along_y() -> None:
    mesh = starfish()
    far = np.linalg.norm(mesh.vertices[:, :2], axis=1).max()
    assert mesh.vertices[:, 1].max() == pytest.approx(0.5)
    assert far == pytest.approx(np.hypot(0.5, 0.03))
    c, s = np.cos(2.0 * np.pi / 5.0), np.sin(2.0 * np.pi / 5.0)
    turned = mesh.vertices @ np.array([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]])
    distance = np.abs(mesh.vertices[:, None] - turned[None]).max(axis=2).min(axis=0)
    assert distance.max() < 1e-12


@pytest.mark.parametrize(
    ("make", "wrong", "message"),
    [
        (starfish, {"cells": (9, 3)}, "three counts"),
        (starfish, {"cells": (9, 0, 2)}, r"cells\[1\]"),
        (starfish, {"arms": 2}, "arms"),
        (starfish, {"reach": 0.1}, "roots narrower"),
        (starfish, {"width": 0.1}, "two lengths"),
        (starfish, {"thickness": (0.1, -0.1)}, r"thickness\[1\]"),
        (pierced, {"cells": (9, 1, 3)}, r"cells\[1\]"),
        (pierced, {"rings": 0}, "rings"),
        (pierced, {"size": (1.0, 0.2)}, "three lengths"),
        (pierced, {"size": (0.2, 0.2, 0.25)}, "height below the length"),
        (pierced, {"radius": 0.125}, "radius below half"),
        (pierced, {"radius": np.nan}, "radius"),
    ],
)
def test_bad_sizes_are_refused(
    make: Callable[..., TetMesh], wrong: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=f"{make.__name__}: .*{message}"):
        make(**wrong)
