"""Sparse direct solvers against dense algebra, and what they refuse."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import scipy.linalg

from hodsim import InputError, beam
from hodsim.fem import Body, SingularError, factorization, make_body, pardiso_available
from hodsim.scene import MaterialSpec

needs_pardiso = pytest.mark.skipif(not pardiso_available(), reason="pypardiso is not installed")
SOLVERS = ["superlu", pytest.param("pardiso", marks=needs_pardiso)]
every_solver = pytest.mark.parametrize("name", SOLVERS)


def _body(clamped: bool = True) -> Body:
    mesh = beam((4, 2, 1), (1.0, 0.3, 0.2))
    fixed = np.flatnonzero(mesh.vertices[:, 0] <= 0.0) if clamped else np.empty(0, dtype=np.int64)
    return make_body(mesh, MaterialSpec("neo-hookean", 5e3, 0.4, 100.0), fixed)


def _matrices(body: Body) -> list[np.ndarray]:
    """Data of three Newton matrices, the second of another pose, the third of another scale."""
    bent = 0.01 * np.random.default_rng(0).standard_normal(body.n_dofs)
    rest, pose = body.stiffness(0.0 * bent).data, body.stiffness(bent).data
    inertia = body.mass.data / 0.02**2
    return [rest + inertia, pose + inertia, 1e-3 * rest]


@every_solver
def test_solves_are_those_of_dense_algebra(name: str) -> None:
    """One object factors matrix after matrix: what it keeps of the first must fit them all."""
    body = _body()
    solver = factorization(body.pattern, name)
    assert solver.name == name
    rng = np.random.default_rng(1)
    for data in _matrices(body):
        H = body.pattern.matrix(data).toarray()
        solver.factor(data)
        slack = 100 * np.finfo(float).eps * np.linalg.cond(H)
        for _ in range(2):
            b = rng.standard_normal(body.n_dofs)
            wanted = np.linalg.solve(H, b)
            got = solver.solve(b)
            assert np.linalg.norm(got - wanted) < slack * np.linalg.norm(wanted)


@every_solver
def test_what_a_solve_returns_is_the_callers_own(name: str) -> None:
    body = _body()
    solver = factorization(body.pattern, name)
    solver.factor(_matrices(body)[0])
    b = np.ones(body.n_dofs)
    x = solver.solve(b)
    kept = x.copy()
    solver.solve(-2.0 * b)
    np.testing.assert_array_equal(x, kept)
    np.testing.assert_array_equal(b, 1.0)


@every_solver
@pytest.mark.parametrize("first", [True, False], ids=["at once", "after another"])
@pytest.mark.parametrize("case", ["indefinite", "negative", "zero", "nan"])
def test_matrices_that_are_not_positive_definite_are_refused(
    name: str, first: bool, case: str
) -> None:
    body = _body()
    good = _matrices(body)[0]
    if case == "indefinite":
        # Between the two lowest eigenvalues of H x = s M x: one of hundreds turns negative, and
        # the diagonal shows nothing of it.
        H = body.pattern.matrix(good)
        lowest = scipy.linalg.eigh(H.toarray(), body.mass.toarray(), eigvals_only=True)[:2]
        bad = good - lowest.mean() * body.mass.data
        assert (body.pattern.matrix(bad).diagonal() > 0).all()
    else:
        bad = {"negative": -good, "zero": 0.0 * good, "nan": np.nan * good}[case]
    solver = factorization(body.pattern, name)
    if not first:
        solver.factor(good)
    with pytest.raises(SingularError):
        solver.factor(bad)
    solver.factor(good)  # and the object is as good as new
    x = solver.solve(np.ones(body.n_dofs))
    assert np.abs(body.pattern.matrix(good) @ x - 1.0).max() < 1e-10


def test_unknown_or_missing_solvers_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    body = _body()
    with pytest.raises(InputError, match="'umfpack'"):
        factorization(body.pattern, "umfpack")
    monkeypatch.setattr("hodsim.fem.solve.pardiso_available", lambda: False)
    assert factorization(body.pattern).name == "superlu"
    with pytest.raises(InputError, match="pip install pypardiso"):
        factorization(body.pattern, "pardiso")


@needs_pardiso
def test_pardiso_is_the_choice_where_installed_and_dies_quietly() -> None:
    """An object that outlives the interpreter's modules leaves no traceback."""
    code = (
        "import numpy as np\n"
        "from hodsim import beam\n"
        "from hodsim.fem import make_body, factorization\n"
        "from hodsim.scene import MaterialSpec\n"
        "body = make_body(beam((1, 1, 1)), MaterialSpec('stvk', 1.0, 0.3, 1.0), np.array([0]))\n"
        "solver = make_body.kept = factorization(body.pattern)\n"
        "solver.factor(body.mass.data + body.stiffness(np.zeros(body.n_dofs)).data)\n"
        "print(solver.name)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (run.stdout.strip(), run.stderr) == ("pardiso", "")
