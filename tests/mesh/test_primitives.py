"""The beam against counts, volume, closedness and symmetry that are known beforehand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hodsim import InputError, TetMesh, beam

CELLS = st.tuples(*[st.integers(1, 5)] * 3)
LENGTH = st.floats(0.01, 100.0)


def _counts(cells: tuple[int, int, int]) -> tuple[int, int]:
    i, j, k = cells
    vertices = (i + 1) * (j + 1) * (k + 1) + i * j * k + 2 * j * k
    inner = (i - 1) * j * k + i * (j - 1) * k + i * j * (k - 1)
    return vertices, 4 * inner + 2 * 2 * i * (j + k) + 4 * 2 * j * k


def test_the_papers_beam() -> None:
    mesh = beam()
    assert (mesh.n_vertices, mesh.n_tets) == (514, 2048)
    assert mesh.vertices.min(axis=0).tolist() == [0.0, -0.0625, -0.125]
    assert mesh.vertices.max(axis=0).tolist() == [1.0, 0.0625, 0.125]


def test_fine_beam() -> None:
    mesh = beam((80, 9, 13))
    assert mesh.n_vertices == 20_934 == _counts((80, 9, 13))[0]


@settings(max_examples=40, deadline=None)
@given(CELLS, st.tuples(LENGTH, LENGTH, LENGTH))
def test_any_beam_fills_its_box(
    cells: tuple[int, int, int], size: tuple[float, float, float]
) -> None:
    mesh = beam(cells, size)
    assert (mesh.n_vertices, mesh.n_tets) == _counts(cells)
    # Each of the n volumes is right to a few eps of |x|/edge, at most 2 * 5 here.
    rounding = 100 * np.finfo(float).eps
    assert mesh.volumes.sum() == pytest.approx(np.prod(size), rel=rounding)
    assert _enclosed(mesh) == pytest.approx(np.prod(size), rel=rounding)
    # Half of a cell's height times a quarter or half of its face: nothing is thinner than that.
    assert mesh.volumes.min() >= np.prod(size) / np.prod(cells) / 24 * (1 - rounding)


@given(CELLS)
def test_surface_is_a_closed_sphere(cells: tuple[int, int, int]) -> None:
    surface = beam(cells).surface
    edges = np.concatenate([surface[:, [0, 1]], surface[:, [1, 2]], surface[:, [2, 0]]])
    assert len(np.unique(edges, axis=0)) == len(edges)
    assert {tuple(e) for e in edges} == {tuple(e[::-1]) for e in edges}
    euler = len(np.unique(surface)) - len(edges) // 2 + len(surface)
    assert euler == 2


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("cells", [(21, 2, 4), (4, 2, 6), (3, 3, 3), (1, 1, 1)])
def test_mirror_symmetry(cells: tuple[int, int, int], axis: int) -> None:
    mesh = beam(cells, (8.0, 8.0, 8.0))
    mirrored = mesh.vertices.copy()
    mirrored[:, axis] = (8.0 if axis == 0 else 0.0) - mirrored[:, axis]
    distance = np.abs(mesh.vertices[:, None] - mirrored[None]).max(axis=2)
    image = distance.argmin(axis=0)
    unmatched = _sets(mesh.tets) ^ _sets(image[mesh.tets])
    # Only the side faces of the middle row along an odd axis cannot mirror themselves: a diagonal
    # turns over, and two tets and their two images go unmatched. The row runs along two sides.
    faces = 2 * (cells[1] + cells[2] if axis == 0 else cells[0])
    assert len(unmatched) == (cells[axis] % 2) * faces * 4


@pytest.mark.parametrize(
    ("cells", "size", "message"),
    [
        ((0, 2, 4), (1, 1, 1), "cells"),
        ((2, 4), (1, 1, 1), "cells"),
        ((2.5, 2, 4), (1, 1, 1), "cells"),
        (("a", 2, 4), (1, 1, 1), "cells"),
        ((2, 2, 2), (1, 0, 1), "size"),
        ((2, 2, 2), (1, np.nan, 1), "size"),
        ((2, 2, 2), (1, 1), "size"),
        ((2, 2, 2), "abc", "size"),
    ],
)
def test_bad_resolutions_are_refused(cells: object, size: object, message: str) -> None:
    with pytest.raises(InputError, match=f"beam: .*{message}"):
        beam(cells, size)  # type: ignore[arg-type]


def _enclosed(mesh: TetMesh) -> float:
    """Volume inside the surface by the divergence theorem: negative were it turned inwards."""
    a, b, c = np.moveaxis(mesh.vertices[mesh.surface], 1, 0)
    return float(np.einsum("ij,ij->", a, np.cross(b, c)) / 6)


def _sets(tets: np.ndarray) -> set[tuple[int, ...]]:
    return {tuple(row) for row in np.sort(tets, axis=1).tolist()}
