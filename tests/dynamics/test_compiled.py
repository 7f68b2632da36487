"""The compiled step against the readable one, step for step, and what only it can do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import warp as wp
from scipy.optimize import least_squares

from hodsim import InputError, beam
from hodsim.cubature import Cubature, Polynomial, elastic_polynomial, fingerprint_of
from hodsim.dynamics import Motion, ReducedSpace, State, Trajectory, simulate
from hodsim.dynamics.compiled import CompiledSpace, simulate_batch
from hodsim.dynamics.newton import NewtonResult
from hodsim.dynamics.reduced import _Step
from hodsim.fem import Body, Loads, make_body
from hodsim.networks import HoDNet, Shape
from hodsim.scene import Damping, Load, MaterialSpec, NewtonSpec, Region
from hodsim.subspaces import HoD, Linear, Quadratic, Subspace

R, H, STEPS = 3, 0.02, 100
TIP = Region("box", min=(0.999, -1, -1), max=(2, 1, 1))
# A force, a torque (whose forces turn with the body) and gravity, all changing in time.
LOADS = (
    Load("force", (0.0, 0.1, 0.3), ((0, 0, 0), (0, 0.5, 1.0), (0, 0, 0)), TIP),
    Load("torque", (0.05, 0.2, 0.4), ((0, 0, 0), (0.3, 0.1, 0.1), (0, 0, 0)), TIP),
    Load("gravity", (0.0, 1.0), ((0, 0, -2.0), (0, -2.0, 0))),
)
every_integrator = pytest.mark.parametrize("integrator", ["implicit-euler", "bdf2"])
every_kind = pytest.mark.parametrize("kind", ["hod", "quadratic", "pca"])


def _body(law: str = "neo-hookean", damping: Damping | None = None) -> Body:
    mesh = beam((4, 1, 1), (1.0, 0.2, 0.2))
    fixed = np.flatnonzero(mesh.vertices[:, 0] <= 0.0)
    material = MaterialSpec(law, 2e4, 0.4, 1000.0)
    return make_body(mesh, material, fixed, "lumped", damping or Damping(0.5, 0.01))


def _modes(body: Body, r: int) -> np.ndarray:
    return np.linalg.eigh(body.stiffness(np.zeros(body.n_dofs)).toarray())[1][:, :r]


def _network(
    body: Body, widths: tuple[int, ...] = (8, 11), activation: str = "silu", rank: int = R
) -> HoD:
    torch.manual_seed(0)
    network = HoDNet(Shape(body.n_dofs, rank, widths, (4,), 7, activation)).double()
    with torch.no_grad():
        for layer in network.decoder.hidden:
            if isinstance(layer, torch.nn.Linear):
                layer.weight.mul_(2.0)
        network.decoder.out.weight.copy_(torch.from_numpy(_modes(body, 7)))
        network.decoder.mix.weight[:, -rank:] = torch.eye(7, rank)
    return HoD(network)


def _subspace(kind: str, body: Body) -> Subspace:
    if kind == "pca":
        return Linear(_modes(body, R))
    if kind == "quadratic":
        W = 0.2 * _modes(body, 12) @ np.random.default_rng(0).standard_normal((12, 6))
        return Quadratic(_modes(body, R), W)
    return _network(body)


def _cubature(body: Body, subspace: Subspace, n: int = 20) -> Cubature:
    """Any tets, weighted evenly: a bad one, but a cubature."""
    m = body.mesh.n_tets
    tets = np.sort(np.random.default_rng(0).choice(m, n, replace=False))
    return Cubature(
        tets=tets,
        weights=np.full(n, m / n),
        n_tets=m,
        mesh=body.mesh.digest,
        subspace=subspace.kind,
        rank=subspace.rank,
        fingerprint=fingerprint_of(subspace),
        training_error=0.0,
        held_out_error=0.0,
        worst_error=0.0,
        force_error=0.0,
        curve=np.zeros((1, 4)),
        seed=0,
    )


def _pair(
    body: Body,
    subspace: Subspace,
    cubature: Cubature | Polynomial | None = None,
    integrator: str = "implicit-euler",
    loads: tuple[Load, ...] = LOADS,
    spec: NewtonSpec | None = None,
    h: float = H,
    **options: Any,
) -> tuple[ReducedSpace, CompiledSpace]:
    acting = Loads(body, loads)
    readable = ReducedSpace(
        body, acting, subspace, h, integrator, newton_spec=spec, cubature=cubature
    )
    compiled = CompiledSpace(body, acting, subspace, cubature, h, integrator, spec, **options)
    return readable, compiled


def _same(a: Trajectory, b: Trajectory, tolerance: float = 1e-9) -> None:
    assert a.failure is None
    assert b.failure is None
    for x, y in ((a.coordinates, b.coordinates), (a.z, b.z), (a.dz, b.dz)):
        assert np.abs(x - y).max() <= tolerance * np.abs(x).max()


@every_integrator
@every_kind
@pytest.mark.parametrize("sampled", [True, False])
@pytest.mark.parametrize("law", ["neo-hookean", "stvk", "corotational"])
def test_it_is_the_readable_step(law: str, sampled: bool, kind: str, integrator: str) -> None:
    body = _body(law)
    subspace = _subspace(kind, body)
    cubature = _cubature(body, subspace) if sampled else None
    readable, compiled = (
        simulate(space, STEPS) for space in _pair(body, subspace, cubature, integrator)
    )
    _same(readable, compiled)
    assert readable.iterations.sum() > STEPS
    assert (readable.iterations == compiled.iterations).all()


@every_integrator
@every_kind
def test_a_polynomial_is_the_step_over_all_tets(kind: str, integrator: str) -> None:
    body = _body("stvk")
    subspace = _subspace(kind, body)
    polynomial = elastic_polynomial(body, subspace)
    readable, compiled = (
        simulate(space, STEPS) for space in _pair(body, subspace, polynomial, integrator)
    )
    _same(readable, compiled)
    assert (readable.iterations == compiled.iterations).all()
    assert readable.iterations.sum() > STEPS
    whole = simulate(_pair(body, subspace, None, integrator)[0], STEPS)
    _same(readable, whole)
    assert (readable.iterations == whole.iterations).all()


@every_kind
def test_a_polynomial_in_float32(kind: str) -> None:
    body = _body("stvk")
    subspace = _subspace(kind, body)
    pair = _pair(body, subspace, elastic_polynomial(body, subspace), dtype="float32")
    a, b = (simulate(space, STEPS) for space in pair)
    # As in `test_float32_stays_near`.
    assert np.abs(a.z - b.z).max() <= 1e3 * np.finfo(np.float32).eps * np.abs(a.z).max()


@every_kind
def test_a_polynomial_in_blocks_of_threads(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wp.config, "enable_cpu_blocks", True)
    body = _body("stvk")
    subspace = _subspace(kind, body)
    polynomial = elastic_polynomial(body, subspace)
    readable, wide = _pair(body, subspace, polynomial, block_dim=32)
    odd = CompiledSpace(body, wide.loads, subspace, polynomial, H, block_dim=7)
    a = simulate(readable, 20)
    for space in (wide, odd):
        _same(a, simulate(space, 20))


@pytest.mark.parametrize(
    ("widths", "activation"), [((9,), "elu"), ((16, 8), "tanh"), ((5, 40, 17), "softplus")]
)
def test_networks_of_any_depth_and_activation(widths: tuple[int, ...], activation: str) -> None:
    body = _body()
    a, b = (simulate(s, STEPS) for s in _pair(body, _network(body, widths, activation)))
    _same(a, b)
    assert (a.iterations == b.iterations).all()


@pytest.mark.parametrize("rank", [1, 5])
def test_other_ranks(rank: int) -> None:
    body = _body()
    for subspace in (_network(body, rank=rank), Linear(_modes(body, 4 * rank))):
        _same(*(simulate(space, STEPS) for space in _pair(body, subspace)))


@every_kind
@every_integrator
def test_float32_stays_near(kind: str, integrator: str) -> None:
    body = _body()
    pair = _pair(body, _subspace(kind, body), None, integrator, dtype="float32")
    a, b = (simulate(space, STEPS) for space in pair)
    # A step's z'' loses |z| eps / h^2 of about |z| omega^2, omega ~ 10/s: 25 eps, and 100 steps.
    assert np.abs(a.z - b.z).max() <= 1e3 * np.finfo(np.float32).eps * np.abs(a.z).max()


@every_kind
def test_rest_is_exact(kind: str) -> None:
    body = _body()
    for dtype in ("float64", "float32"):
        _, compiled = _pair(body, _subspace(kind, body), loads=(), dtype=dtype)
        motion = simulate(compiled, 5)
        assert not motion.z.any()
        assert not motion.iterations.any()


# --------------------------------------------------------------------------- steps that are hard
@every_kind
@pytest.mark.parametrize("law", ["neo-hookean", "stvk"])
@pytest.mark.parametrize("force", [10.0, 100.0, 1000.0])
def test_line_searches_fallbacks_and_guesses_are_the_same(
    law: str, force: float, kind: str
) -> None:
    body = _body(law)
    loads = (Load("force", (0.0,), ((-force, 0.3 * force, force),), TIP),)
    readable, compiled = _pair(body, _subspace(kind, body), loads=loads, h=0.2)
    state, shortest = readable.start(), 1.0
    for _ in range(6):
        after, theirs = readable.step(state)
        kept, ours = compiled.step(state)
        shortest = min(shortest, *theirs.steps)
        assert ours.converged == theirs.converged
        if not theirs.converged:  # Stalled searches are chaotic: their last digits choose.
            assert kept is state
            break
        assert ours.steps == theirs.steps
        assert np.allclose(ours.residuals[:-1], theirs.residuals[:-1], rtol=1e-6)
        assert np.allclose(ours.x, theirs.x, rtol=0.0, atol=1e-9 * np.abs(theirs.x).max())
        state = after
    assert shortest < 1.0 or force < 50.0


@pytest.mark.parametrize("law", ["stvk", "corotational"])
def test_every_fallback_direction(law: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One iteration from each q of a search that stalls, where Newton's direction is no good, and
    from where it ends: at a minimum of |g| that is no root, which no direction leaves."""
    tried: list[int] = []
    steps: list[_Step] = []
    inner = _Step.directions

    def directions(self: _Step, q: np.ndarray, g: np.ndarray) -> Iterator[np.ndarray]:
        steps.append(self)
        for k, direction in enumerate(inner(self, q, g)):
            tried.append(k)
            yield direction

    monkeypatch.setattr(_Step, "directions", directions)
    body, force = _body(law), 1e3
    loads = (Load("force", (0.0,), ((-force, 0.3 * force, force),), TIP),)
    subspace = _subspace("quadratic", body)
    readable, compiled = _pair(body, subspace, loads=loads, h=0.2, spec=NewtonSpec(1e-6, 1))
    q, rest = np.zeros(R), np.zeros(subspace.basis.shape[1])

    def both() -> tuple[NewtonResult, NewtonResult]:
        # The past is at rest, only the first guess is not.
        state = State(0.0, Motion(q, np.zeros(R)), rest, rest, Motion(rest, rest))
        (_, theirs), (_, ours) = readable.step(state), compiled.step(state)
        assert ours.status == theirs.status
        assert ours.steps == theirs.steps
        assert np.allclose(ours.residuals, theirs.residuals, rtol=1e-6)
        return theirs, ours

    for _ in range(40):
        q = both()[0].x
    assert max(tried) > 0
    step = steps[-1]
    tight = dict.fromkeys(("xtol", "ftol", "gtol"), 1e-15)
    q = least_squares(
        lambda x: step.residual(x)[0], q, lambda x: step.matrix(x, step.space.terms), **tight
    ).x
    tried.clear()
    assert both()[1].status == "line_search"
    assert set(tried) == {0, 1, 2, 3, 4}


def test_too_few_iterations_keep_the_last_good_state() -> None:
    body = _body()
    readable, compiled = _pair(body, _network(body), spec=NewtonSpec(1e-6, 1))
    start = compiled.start(np.full(R, 0.3))
    _, theirs = readable.step(readable.start(np.full(R, 0.3)))
    _, first = compiled.step(start)
    after, again = compiled.step(start)
    for result in (theirs, first, again):
        assert (result.status, result.iterations) == ("max_iterations", 1)
    assert again.residuals == pytest.approx(theirs.residuals, rel=1e-8)
    assert after is start
    assert (compiled.launcher.owned.state.numpy()[0, :R] == 0.3).all()


def test_numbers_that_are_not_finite_are_told() -> None:
    body = _body()
    _, compiled = _pair(body, _network(body))
    after, result = compiled.step(compiled.start(np.full(R, 1.0), np.full(R, 1e200)))
    assert result.status == "not_finite"
    # What it leaves in scratch memory does no harm to the next step.
    fresh = CompiledSpace(body, compiled.loads, compiled.subspace, None, H)
    a, _ = compiled.step(compiled.start())
    b, _ = fresh.step(fresh.start())
    assert np.array_equal(a.z, b.z)
    assert after.t == 0.0


def test_states_given_in_any_order() -> None:
    body = _body()
    readable, compiled = _pair(body, _network(body), integrator="bdf2")
    states = [readable.start(np.full(R, 0.1), np.full(R, -0.5))]
    for _ in range(6):
        states.append(readable.step(states[-1])[0])
    for k in (4, 1, 4, 0, 5, 2):
        ours, theirs = compiled.step(states[k])[0], states[k + 1]
        assert ours.t == pytest.approx(theirs.t)
        for a, b in ((ours.motion, theirs.motion), (ours.features, theirs.features)):
            assert isinstance(a, Motion)
            assert isinstance(b, Motion)
            for name in ("x", "v", "x_before", "v_before"):
                x, y = getattr(a, name), getattr(b, name)
                assert np.allclose(x, y, rtol=0.0, atol=1e-9 * np.abs(y).max())


# ------------------------------------------------------------------------------------ user's loads
def _tip(body: Body) -> int:
    return int(np.argmax(body.mesh.vertices.sum(axis=1)))


def test_a_spring_is_minus_its_energys_gradient() -> None:
    body = _body()
    space = _pair(body, _network(body))[1]
    vertex, target, k = _tip(body), np.array([1.1, 0.4, -0.2]), 37.0
    p, G = space.spring(vertex, target, k)
    B = space.subspace.basis

    def energy(z: np.ndarray) -> float:
        x = body.mesh.vertices[vertex] + body.expand(B @ z)[vertex]
        return 0.5 * k * float(((x - target) ** 2).sum())

    z, eps = np.random.default_rng(0).standard_normal(len(p)), 1e-3
    steps = eps * np.eye(len(p))
    # Central differences of a quadratic are exact: what is left is rounding of E over eps.
    slope = np.array([(energy(z + d) - energy(z - d)) / (2.0 * eps) for d in steps])
    assert np.allclose(p + G @ z, -slope, rtol=0.0, atol=1e-15 * energy(z) / eps * 10.0)


class _More:
    """Loads of a readable step with a user's on top."""

    def __init__(self, inner: Any, extra: Callable[[float], tuple[np.ndarray, np.ndarray]]) -> None:
        self._inner, self._extra = inner, extra

    def at(self, t: float) -> tuple[np.ndarray, np.ndarray]:
        (p, G), (more_p, more_G) = self._inner.at(t), self._extra(t)
        return p + more_p, G + more_G


@every_kind
@pytest.mark.parametrize("loads", [(), LOADS])
def test_applied_loads_change_from_step_to_step(kind: str, loads: tuple[Load, ...]) -> None:
    body = _body()
    readable, compiled = _pair(body, _subspace(kind, body), loads=loads)
    vertex = _tip(body)

    def extra(t: float) -> tuple[np.ndarray, np.ndarray]:
        turning = compiled.gravity(3.0 * np.array([0.0, np.sin(9.0 * t), np.cos(9.0 * t)]))
        if 0.2 < t < 0.5:  # the drag begins and ends
            p, G = compiled.spring(vertex, np.array([0.8, 0.2, 0.5 * t]), 30.0)
            return p + turning, G
        return turning, np.zeros((len(turning), len(turning)))

    readable.loads = _More(readable.loads, extra)  # type: ignore[assignment]
    a, b = readable.start(), compiled.start()
    for k in range(40):
        compiled.apply(*extra(H * (k + 1)))
        a, result = readable.step(a)
        b, ours = compiled.step(b)
        assert result.converged
        assert ours.iterations == result.iterations
        assert np.abs(a.z - b.z).max() <= 1e-9 * max(np.abs(a.z).max(), 1e-3)
    compiled.apply()
    c, _ = compiled.step(b)
    alone = CompiledSpace(body, compiled.loads, compiled.subspace, None, H)
    assert np.array_equal(c.z, alone.step(b)[0].z)


def test_an_applied_stiffness_need_not_be_symmetric() -> None:
    body = _body()
    readable, compiled = _pair(body, _network(body), loads=LOADS[:1])
    w = compiled.subspace.basis.shape[1]
    p, G = np.zeros(w), 20.0 * np.random.default_rng(0).standard_normal((w, w))
    readable.loads = _More(readable.loads, lambda _: (p, G))  # type: ignore[assignment]
    compiled.apply(p, G)
    a, b = (simulate(space, 20) for space in (readable, compiled))
    _same(a, b)
    assert (a.iterations == b.iterations).all()


def test_gravity_is_the_scenes() -> None:
    body = _body()
    g = (0.3, -1.0, -9.81)
    subspace = _network(body)
    scene = _pair(body, subspace, loads=(Load("gravity", (0.0,), (g,)),))[1]
    user = _pair(body, subspace, loads=())[1]
    user.apply(user.gravity(np.array(g)))
    _same(simulate(scene, 20), simulate(user, 20))


# ---------------------------------------------------------------------------------- many bodies
@every_kind
@every_integrator
@pytest.mark.parametrize("workers", [1, 2])
def test_a_batch_is_its_bodies_alone(kind: str, integrator: str, workers: int) -> None:
    body = _body()
    subspace = _subspace(kind, body)
    rng = np.random.default_rng(0)
    n, steps = 5, 30
    q, v = 0.2 * rng.standard_normal((n, R)), rng.standard_normal((n, R))
    scales = rng.random((n, 3 * len(LOADS)))
    _, space = _pair(body, subspace, integrator=integrator, bodies=n)
    p, G = space.spring(_tip(body), np.array([1.0, 0.3, 0.0]), 20.0)
    space.apply(p, G, which=3)
    batch = simulate_batch(space, q, v, steps, scales=scales, workers=workers)
    assert batch.converged.all()
    for i in range(n):
        scaled = tuple(
            replace(x, values=tuple(tuple(s * np.array(y)) for y in x.values))
            for x, s in zip(LOADS, scales[i].reshape(-1, 3), strict=True)
        )
        _, alone = _pair(body, subspace, integrator=integrator, loads=scaled)
        if i == 3:
            alone.apply(p, G)
        motion = simulate(alone, steps, start=alone.start(q[i], v[i]))
        assert (batch.iterations[:, i] == motion.iterations).all()
        for ours, theirs in (
            (batch.q, motion.coordinates),
            (batch.z, motion.z),
            (batch.dz, motion.dz),
        ):
            assert np.abs(ours[:, i] - theirs[1:]).max() <= 1e-11 * np.abs(theirs).max()


def test_load_histories_of_each_body() -> None:
    body = _body()
    subspace = _network(body)
    steps, n = 12, 3
    _, space = _pair(body, subspace, bodies=n)
    base = np.array([space.loads.amplitudes(H * (k + 1)) for k in range(steps)])
    each = base[:, None] * np.array([0.0, 1.0, 0.5])[None, :, None]
    a = simulate_batch(space, steps=steps, amplitudes=each, features=False)
    b = simulate_batch(space, steps=steps, scales=np.array([0.0, 1.0, 0.5]))
    assert np.abs(a.q - b.q).max() <= 1e-12 * np.abs(b.q).max()
    assert len(a.z) == 0
    assert not a.q[:, 0].any()
    # To rounding: a scale of 1 is a product more, whose order the compiler chooses.
    one = simulate_batch(space, steps=steps, amplitudes=base).q[:, 0]
    assert np.abs(one - b.q[:, 1]).max() <= 1e-12 * np.abs(one).max()


def test_a_body_that_fails_stops_alone() -> None:
    body = _body()
    _, space = _pair(body, _network(body), bodies=3, loads=LOADS[:1])
    scales = np.array([1.0, 1e200, 0.5])
    batch = simulate_batch(space, steps=10, scales=scales)
    alone = simulate_batch(space, steps=10, scales=np.array([1.0, 0.0, 0.5]))
    assert batch.converged.tolist() == [True, False, True]
    assert np.array_equal(batch.q[:, [0, 2]], alone.q[:, [0, 2]])
    assert batch.statuses[0, 1] in ("not_finite", "line_search")
    assert (batch.statuses[1:, 1] == "not_taken").all()
    assert not batch.q[:, 1].any()


# ----------------------------------------------------------------------------- blocks of threads
@every_kind
@pytest.mark.parametrize("law", ["neo-hookean", "corotational"])
def test_blocks_of_threads(kind: str, law: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The branch that CUDA takes, on the CPU: one thread after another between barriers."""
    monkeypatch.setattr(wp.config, "enable_cpu_blocks", True)
    body = _body(law)
    subspace = _subspace(kind, body)
    readable, wide = _pair(body, subspace, _cubature(body, subspace), block_dim=32)
    _same(simulate(readable, 30), simulate(wide, 30))
    odd = CompiledSpace(body, wide.loads, subspace, wide.cubature, H, block_dim=7)
    # The threads share entries, never a sum: their number changes nothing.
    assert np.array_equal(simulate(odd, 30).z, simulate(wide, 30).z)


# ------------------------------------------------------------------------------------- bad input
@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"dtype": "float16"}, "dtype: expected float64 or float32, given 'float16'"),
        ({"device": "tpu"}, "device: expected cpu or cuda, given 'tpu'"),
        ({"bodies": 0}, "bodies: expected at least 1, given 0"),
        ({"block_dim": 0}, "block_dim: expected 1 to 1024 threads, given 0"),
        ({"block_dim": 32}, "block_dim: expected 1 on the CPU, given 32"),
        ({"integrator": "rk4"}, "integrator: expected implicit-euler or bdf2, given 'rk4'"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], told: str) -> None:
    body = _body()
    subspace = _subspace("pca", body)
    with pytest.raises(InputError, match=told) as error:
        CompiledSpace(body, Loads(body, ()), subspace, None, H, **options)
    assert "\n" not in str(error.value)


@pytest.mark.skipif(wp.is_cuda_available(), reason="there is a GPU")
def test_no_gpu_is_one_line() -> None:
    body = _body()
    with pytest.raises(InputError, match="expected an NVIDIA GPU") as error:
        CompiledSpace(body, Loads(body, ()), _subspace("pca", body), None, H, device="cuda")
    assert "\n" not in str(error.value)


def test_other_bodies_cubatures_and_loads_are_refused() -> None:
    body = _body()
    subspace = _subspace("hod", body)
    loads = Loads(body, ())
    with pytest.raises(InputError, match="expected one for hod-3"):
        CompiledSpace(body, loads, subspace, _cubature(body, _subspace("pca", body)), H)
    with pytest.raises(InputError, match="free degrees of freedom"):
        CompiledSpace(body, loads, Linear(np.eye(9)[:, :2]), None, H)
    space = CompiledSpace(body, loads, subspace, None, H, bodies=2)
    clamped = int(np.flatnonzero(body.pattern.free < 0)[0])
    with pytest.raises(InputError, match="the clamped one"):
        space.spring(clamped, np.zeros(3), 1.0)
    with pytest.raises(InputError, match="expected a vertex from 0"):
        space.spring(-1, np.zeros(3), 1.0)
    with pytest.raises(InputError, match="at least 0 N/m"):
        space.spring(_tip(body), np.zeros(3), -1.0)
    with pytest.raises(InputError, match="three finite numbers"):
        space.spring(_tip(body), np.array([0.0, np.nan, 0.0]), 1.0)
    with pytest.raises(InputError, match=r"expected p \(7,\)"):
        space.apply(np.zeros(3))
    with pytest.raises(InputError, match="a body from 0 to 1"):
        space.apply(which=2)
    with pytest.raises(InputError, match="finite p and G"):
        space.apply(np.full(7, np.inf))
    with pytest.raises(InputError, match="q: expected finite numbers of shape"):
        simulate_batch(space, np.zeros((3, R)))
    with pytest.raises(InputError, match="steps: expected at least 1"):
        simulate_batch(space, steps=0)
    with pytest.raises(InputError, match="amplitudes: expected"):
        simulate_batch(space, amplitudes=np.zeros((1, 4)))
    with pytest.raises(InputError, match="workers"):
        simulate_batch(space, workers=0)


# ---------------------------------------------------------------- found by trying to break it


def test_a_batch_leaves_its_scales_behind() -> None:
    body = _body()
    loads, subspace = Loads(body, LOADS), _subspace("hod", body)
    space = CompiledSpace(body, loads, subspace, None, H)
    simulate_batch(space, steps=2, scales=np.array([0.0]))
    got = simulate(space, 5, basis=subspace.basis).z
    wanted = simulate(CompiledSpace(body, loads, subspace, None, H), 5, basis=subspace.basis).z
    assert np.array_equal(got, wanted)


def test_parts_keep_what_is_applied() -> None:
    body = _body()
    subspace = _subspace("hod", body)
    spaces = [CompiledSpace(body, Loads(body, ()), subspace, None, h) for h in (H, H / 2)]
    spaces[0].apply(spaces[0].gravity(np.array([0.0, 0.0, -1.0])))
    spaces[0].copy_applied(spaces[1])
    after, _ = spaces[1].step(spaces[1].start())
    assert np.abs(after.z).max() > 0


@pytest.mark.parametrize("step", [0.0, -0.02, np.inf, np.nan])
def test_a_step_that_is_no_time_is_refused(step: float) -> None:
    body = _body()
    for make in (
        lambda: CompiledSpace(body, Loads(body, ()), _subspace("pca", body), None, step),
        lambda: ReducedSpace(body, Loads(body, ()), _subspace("pca", body), step),
    ):
        with pytest.raises(InputError, match="step: expected a time above 0 s"):
            make()


def test_a_failed_step_is_told_at_its_own_time() -> None:
    body = _body()
    space = CompiledSpace(
        body, Loads(body, LOADS), _subspace("hod", body), None, H, newton_spec=NewtonSpec(1e-30, 1)
    )
    motion = simulate(space, 3, on_failure="stop")
    assert motion.failure is not None
    assert "step 1 (t = 0.02 s)" in motion.failure


def test_a_missing_gpu_is_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    if wp.is_cuda_available():
        return
    body = _body()
    with pytest.raises(InputError, match="expected an NVIDIA GPU"):
        CompiledSpace(body, Loads(body, ()), _subspace("pca", body), None, H, device="cuda")
    assert capfd.readouterr().err == ""


def test_a_fingerprint_of_another_shape_is_another_models() -> None:
    body = _body()
    subspace = _subspace("hod", body)
    cubature = _cubature(body, subspace)
    cubature.check(body, subspace)
    with pytest.raises(InputError, match="another model"):
        replace(cubature, fingerprint=np.zeros((2, 3))).check(body, subspace)
