"""What `TetMesh` accepts, normalises and refuses."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hodsim import InputError, TetMesh, beam

CORNERS = [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]


def test_single_tet() -> None:
    mesh = TetMesh(CORNERS, [[0, 1, 2, 3]])
    assert mesh.volumes == pytest.approx([1 / 6], rel=4 * np.finfo(float).eps)
    assert mesh.surface.tolist() == [[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]]
    assert (mesh.vertices.dtype, mesh.tets.dtype) == (np.float64, np.int32)


def test_arrays_are_copies_and_read_only_also_after_pickling() -> None:
    vertices = np.array(CORNERS, dtype=float)
    mesh = TetMesh(vertices, np.array([[0, 1, 2, 3]], dtype=np.int32))
    vertices[0] = 7.0
    assert mesh.vertices[0].tolist() == [0.0, 0.0, 0.0]
    for copy in (mesh, pickle.loads(pickle.dumps(mesh))):
        assert copy.digest == mesh.digest
        for array in (copy.vertices, copy.tets, copy.surface, copy.volumes):
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 0


@given(st.sets(st.integers(0, 2047)))
def test_winding_does_not_matter(reversed_tets: set[int]) -> None:
    mesh = BEAM
    tets = mesh.tets.copy()
    rows = sorted(reversed_tets)
    tets[rows] = tets[rows][:, [1, 0, 2, 3]]
    again = TetMesh(mesh.vertices, tets)
    assert (again.volumes > 0).all()
    assert (np.sort(again.tets, axis=1) == np.sort(mesh.tets, axis=1)).all()
    assert _cycles(again.surface) == _cycles(mesh.surface)


def test_digest_tells_meshes_apart() -> None:
    moved = BEAM.vertices.copy()
    moved[3, 1] = np.nextafter(moved[3, 1], 1.0)
    digests = {BEAM.digest, TetMesh(moved, BEAM.tets).digest, beam((3, 2, 4)).digest}
    assert len(digests) == 3
    signed = np.where(BEAM.vertices == 0.0, -0.0, BEAM.vertices)
    assert np.signbit(signed[BEAM.vertices == 0.0]).all()
    assert TetMesh(signed, BEAM.tets).digest == BEAM.digest


@pytest.mark.parametrize("tet", [0, 700, 2047])
def test_tet_pulled_through_its_neighbour_is_named(tet: int) -> None:
    # A fifth vertex close outside one face of a beam tet makes a new tet; put on the wrong side of
    # that face it is the inverted tet that a person meets.
    corners = BEAM.surface[tet % len(BEAM.surface)]
    a, b, c = BEAM.vertices[corners]
    outward = np.cross(b - a, c - a)
    tip = (a + b + c) / 3 + 10 * outward
    tets = np.vstack([BEAM.tets, [*corners, 514]])
    assert TetMesh(np.vstack([BEAM.vertices, tip]), tets).n_tets == 2049
    tip = (a + b + c) / 3 - 10 * outward
    with pytest.raises(InputError) as caught:
        TetMesh(np.vstack([BEAM.vertices, tip]), tets)
    assert f"tet 2048 (vertices {', '.join(map(str, corners))}, 514)" in _unwound(str(caught.value))
    assert "inverted" in str(caught.value)


def test_the_tet_in_most_folds_is_named() -> None:
    # The middle one of three: its vertex 3 goes down through its face 0 1 2 while both neighbours'
    # outer vertices stay, so that it is folded through two neighbours and each of them through one.
    vertices = [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0.2, 0.2, 1], [1, 1, 1], [0.3, 0.3, -1]]
    tets = [[0, 1, 2, 5], [1, 2, 3, 4], [0, 1, 2, 3]]
    assert TetMesh(vertices, tets).n_tets == 3
    vertices[3] = [0.2, 0.2, -0.5]
    with pytest.raises(InputError, match=r"tet 2 \(vertices 0, (1, 2, 3|1, 3, 2)\) is inverted"):
        TetMesh(vertices, tets)


@pytest.mark.parametrize("seed", range(20))
def test_among_sound_tets_an_inverted_one_is_named(seed: int) -> None:
    rng = np.random.default_rng(seed)
    vertices = BEAM.vertices.copy()
    centre = 330 + rng.integers(168)  # a cell's centre, thrown out of its cell
    direction = rng.normal(size=3)
    vertices[centre] += 0.15 * direction / np.linalg.norm(direction)
    with pytest.raises(InputError, match="is inverted") as caught:
        TetMesh(vertices, BEAM.tets)
    named = int(str(caught.value).split("tet ")[1].split()[0])
    # BEAM's own winding tells which tets were turned inside out.
    a, b, c, d = vertices[BEAM.tets[named]]
    assert np.linalg.det([b - a, c - a, d - a]) < 0


REFUSED = {
    "vertices of two columns": (np.zeros((4, 2)), [[0, 1, 2, 3]], r"\(n, 3\).*\(4, 2\)"),
    "no vertices": (np.zeros((0, 3)), [[0, 1, 2, 3]], r"\(0, 3\)"),
    "vertices as words": ([["a", "b", "c"]], [[0, 1, 2, 3]], "numbers"),
    "ragged vertices": ([[0, 0, 0], [1, 0]], [[0, 1, 2, 3]], "numbers"),
    "triangles": (CORNERS, [[0, 1, 2]], r"\(m, 4\).*\(1, 3\)"),
    "no tets": (CORNERS, np.zeros((0, 4), dtype=int), r"\(0, 4\)"),
    "ragged tets": (CORNERS, [[0, 1, 2, 3], [0]], r"\(m, 4\)"),
    "fractional tets": (CORNERS, [[0.0, 1.0, 2.0, 3.0]], "integers.*float64"),
    "NaN": ([*CORNERS[:3], [0, np.nan, 1]], [[0, 1, 2, 3]], "vertex 3 is .*nan"),
    "infinity": ([*CORNERS[:3], [0, np.inf, 1]], [[0, 1, 2, 3]], "vertex 3 is .*inf"),
    "too large to compute": (1e200 * np.array(CORNERS), [[0, 1, 2, 3]], "tet 0 .*no volume"),
    "index too large": (CORNERS, [[0, 1, 2, 3], [0, 1, 2, 4]], r"tet 1 .*0, 1, 2, 4.*0\.\.3"),
    "negative index": (CORNERS, [[0, 1, 2, -1]], r"tet 0 .*0, 1, 2, -1"),
    "repeated vertex": (CORNERS, [[0, 1, 2, 3], [3, 1, 2, 3]], r"tet 1 \(vertices 3, 1, 2, 3\)"),
    "flat tet": ([*CORNERS, [1, 1, 0]], [[0, 1, 2, 3], [0, 1, 2, 4]], "tet 1 .*no volume"),
    "flat up to rounding": (
        [[1e3, 0.1, 0], [1e3 + 0.1, 0.2, 0], [1e3 + 0.2, 0.3, 0], [1e3 + 0.3, 0.4, 1e-13]],
        [[0, 1, 2, 3]],
        "tet 0 .*no volume",
    ),
    "three tets on a face": (
        [*CORNERS, [0, 0, -1], [1, 1, 1]],
        [[0, 1, 2, 3], [0, 1, 2, 4], [0, 1, 2, 5]],
        r"\[0, 1, 2\] belongs to 3: tet 0 .*tet 1 .*tet 2 ",
    ),
    "two tets on one side": (
        [*CORNERS, [0.2, 0.2, 0.5]],
        [[0, 1, 2, 3], [0, 1, 2, 4]],
        r"tet 0 .* is inverted.*tet 1 ",
    ),
    "the same tet twice": (CORNERS, [[0, 1, 2, 3], [1, 2, 3, 0]], r"tet 1 .* vertices of tet 0;"),
    "unused vertices": ([*CORNERS, [5, 5, 5], [6, 6, 6]], [[0, 1, 2, 3]], "2 do not.*vertex 4"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_meshes_are_refused_in_one_line(case: str) -> None:
    vertices, tets, message = REFUSED[case]
    with pytest.raises(InputError, match=message) as caught:
        TetMesh(vertices, tets)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
def test_thin_is_not_flat_at_any_scale(scale: float) -> None:
    vertices = np.array([*CORNERS[:3], [0.0, 0.0, 1e-9]]) * scale
    assert TetMesh(vertices, [[0, 1, 2, 3]]).volumes[0] > 0


def _cycles(triangles: np.ndarray) -> set[tuple[int, ...]]:
    return {tuple(np.roll(row, -int(np.argmin(row))).tolist()) for row in triangles}


def _unwound(message: str) -> str:
    """The message with the last two vertices of the new tet put back in the order given."""
    head, _, tail = message.partition("tet 2048 (vertices ")
    a, b, c, d = tail.split(")")[0].split(", ")
    return f"{head}tet 2048 (vertices {a}, {b}, {d if c == '514' else c}, 514)"


BEAM = beam()
