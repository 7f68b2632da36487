"""Clamps, loads, stiffness and time step for a body that nothing is known of but its mesh.

All follows from the body's response to small loads, computed once for E = 1 Pa: displacements go
with 1/E, strains too, and frequencies with sqrt(E).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hodsim.errors import InputError

if TYPE_CHECKING:
    from hodsim.fem import Body
    from hodsim.mesh import TetMesh
    from hodsim.scene import Region

LAW, POISSON, DENSITY, GRAVITY = "neo-hookean", 0.4, 1000.0, 9.81
SAG, SWAY, TURN = 0.15, 0.2, 30.0  # of the length; of the length; degrees
# Of E / (density length^2): no body is so slender, only one that can swing freely.
_MECHANISM = 1e-10
_FEW = 50  # pieces whose gaps are looked for
_STRAIN = 0.2  # the body is as stiff as it takes to keep to it, under its weight
_QUANTILE = 0.99  # the share of the volume that keeps to it: corners of a clamp never do
_DAMPING = 0.15  # of critical, in the lowest mode
_STEPS_A_PERIOD, STEPS = 80, 160
# Parts of the length that a clamp or a tip may take, and the least part of vertices it must have.
_BANDS = (0.02, 0.04, 0.06, 0.1, 0.15, 0.2, 0.25, 0.3)
_LEAST_SHARE, _LEAST = 0.02, 6


@dataclass(frozen=True)
class Proposal:
    """A scene for a mesh.

    Attributes
    ----------
    axis, down, side
        The longest axis, the one that gravity acts along, and the third: 0, 1, 2 for x, y, z.
    length
        Of the body along `axis` [m].
    clamp, tip
        Regions at its lower and its upper end.
    clamped, tipped
        How many vertices these hold.
    mass
        [kg], at `DENSITY`.
    young
        Young's modulus [Pa].
    sag
        Largest displacement under its own weight by linear theory [m].
    period
        Of the lowest vibration mode [s].
    step, damping
        Time step [s] and mass damping [1/s].
    force, torque
        Largest random force [N] and torque about `axis` [N m] on the tip; no torque on a body whose
        tip has no breadth.
    """

    axis: int
    down: int
    side: int
    length: float
    clamp: Region
    tip: Region
    clamped: int
    tipped: int
    mass: float
    young: float
    sag: float
    period: float
    step: float
    damping: float
    force: float
    torque: float | None


def propose(mesh: TetMesh, scale: float = 1.0) -> Proposal:
    """A scene in which the body sags visibly under its weight, bends and twists.

    scale : length of the file's unit [m], for what is said of its gaps.

    Raises
    ------
    InputError
        A piece of the body lies outside of the clamp, no clamp can be found, or the body hardly
        resists some motion, as one with hinges.
    """
    from hodsim.fem import make_body
    from hodsim.mesh import parts, pieces, widest_gap
    from hodsim.scene import MaterialSpec, select
    from hodsim.subspaces.modal import vibration_modes

    extent = np.ptp(mesh.vertices, axis=0)
    axis = int(np.argmax(extent))
    length = float(extent[axis])
    clamp, tip = _end(mesh, axis, -1), _end(mesh, axis, 1)
    fixed, tipped = select(clamp, mesh.vertices), select(tip, mesh.vertices)
    piece = pieces(mesh)
    loose = np.setdiff1d(piece, piece[fixed])
    if len(loose):
        # Of a heap of crumbs it would take long, and nobody joins one.
        few = piece.max() < _FEW
        gap = f", up to {1.01 * widest_gap(mesh) / scale:.3g} in the file's unit" if few else ""
        again = mesh.n_vertices - len(np.unique(mesh.vertices, axis=0))
        merge = (
            f"Merge the {again} vertices that lie where others do, or bridge" if again else "Bridge"
        )
        raise InputError(
            f"mesh: expected one piece, or all to reach the clamp at the lower end of "
            f"{'xyz'[axis]}, where {len(fixed)} vertices were caught; {len(loose)} pieces do not. "
            f"{merge} the gaps{gap} (--join, of a surface), or write a scene with a [[clamp]] "
            "for each"
        )
    body = make_body(mesh, MaterialSpec(LAW, 1.0, POISSON, DENSITY), fixed)
    try:
        stiffness = float(vibration_modes(body, 1)[0][0])  # over Young's modulus and mass
    except RuntimeError:  # the stiffness matrix is singular to the last bit
        stiffness = 0.0
    if not stiffness > _MECHANISM / (DENSITY * length**2):
        hinged = parts(mesh).max() > piece.max()
        raise InputError(
            "mesh: expected a body that resists every motion; "
            + (
                "parts of this one hang by single vertices or edges, as by hinges: bridge them "
                "(--join, of a surface), or repair it"
                if hinged
                else "this one hardly resists one: make its thinnest part thicker, or clamp more"
            )
        )
    linear = _Linear(body, tip, axis)
    lateral = [k for k in range(3) if k != axis]
    falls = {k: linear.response(k) for k in lateral}
    # Down is -z, unless the body lies in that direction or hardly gives in it.
    softest = max(lateral, key=lambda k: falls[k].reach)
    down = 2 if 2 in lateral and 2.0 * falls[2].reach > falls[softest].reach else softest
    fall = falls[down].times(GRAVITY)
    young = _rounded(max(fall.reach / (SAG * length), fall.strain / _STRAIN))
    push = max((linear.response(3 + k) for k in lateral), key=lambda r: r.tip)
    force = young * min(SWAY * length / push.tip, _STRAIN / push.strain)
    torque = None
    if linear.turns:
        twist = linear.response(6 + axis)
        torque = young * min(np.radians(TURN) / twist.angle, 2.0 * _STRAIN / twist.strain)
    omega = float(np.sqrt(young * stiffness))
    period = 2.0 * np.pi / omega
    return Proposal(
        axis=axis,
        down=down,
        side=3 - axis - down,
        length=length,
        clamp=clamp,
        tip=tip,
        clamped=len(fixed),
        tipped=len(tipped),
        mass=DENSITY * float(mesh.volumes.sum()),
        young=young,
        sag=fall.reach / young,
        period=period,
        step=_rounded(period / _STEPS_A_PERIOD),
        damping=_rounded(2.0 * _DAMPING * omega),
        force=_rounded(force),
        torque=None if torque is None else _rounded(torque),
    )


@dataclass(frozen=True)
class _Response:
    """What a unit load does for E = 1 Pa: largest displacement, that of the tip's middle [m], the
    strain that all but a hundredth of the volume keeps to, and the tip's turn about the axis [rad].
    """

    reach: float
    tip: float
    strain: float
    angle: float

    def times(self, factor: float) -> _Response:
        return _Response(*(factor * x for x in (self.reach, self.tip, self.strain, self.angle)))


class _Linear:
    """Linear statics of a body under gravity, and a force and a torque on its tip."""

    def __init__(self, body: Body, tip: Region, axis: int) -> None:
        import scipy.sparse.linalg as spl

        from hodsim.fem import Loads
        from hodsim.scene import Load, select

        self._body, self._axis = body, axis
        self._tip = select(tip, body.mesh.vertices)
        self._arms = _arms(body.mesh.vertices[self._tip])
        self.turns = _has_breadth(self._arms)
        zero = ((0.0,), ((0.0, 0.0, 0.0),))
        loads = [Load("gravity", *zero), Load("force", *zero, tip)]
        loads += [Load("torque", *zero, tip)] if self.turns else []
        self._columns = Loads(body, tuple(loads)).columns
        self._solve = spl.factorized(body.stiffness(np.zeros(body.n_dofs)).tocsc())
        D = np.moveaxis(body.mesh.vertices[body.mesh.tets], 1, 0)
        self._inverse = np.linalg.inv(np.stack([D[k] - D[0] for k in (1, 2, 3)], axis=2))

    def response(self, column: int) -> _Response:
        """Of gravity (0 to 2), force (3 to 5) or torque (6 to 8) along x, y or z."""
        u = self._body.expand(self._solve(self._columns[:, column]))
        moved = u[self._tip]
        turn = np.cross(self._arms, moved - moved.mean(axis=0))[:, self._axis].sum()
        across = np.delete(self._arms, self._axis, axis=1)
        return _Response(
            reach=float(np.linalg.norm(u, axis=1).max()),
            tip=float(np.linalg.norm(moved.mean(axis=0))),
            strain=self._strain(u),
            angle=abs(float(turn / (across**2).sum())),
        )

    def _strain(self, u: np.ndarray) -> float:
        mesh = self._body.mesh
        d = np.moveaxis(u[mesh.tets], 1, 0)
        gradient = np.stack([d[k] - d[0] for k in (1, 2, 3)], axis=2) @ self._inverse
        size = np.linalg.norm(0.5 * (gradient + gradient.transpose(0, 2, 1)), axis=(1, 2))
        order = np.argsort(size)
        share = np.cumsum(mesh.volumes[order]) / mesh.volumes.sum()
        return float(size[order][min(np.searchsorted(share, _QUANTILE), len(size) - 1)])


def _end(mesh: TetMesh, axis: int, sign: int) -> Region:
    """The region at an end of the body along `axis`: the thinnest that holds vertices enough."""
    from hodsim.scene import Region, select

    x = mesh.vertices
    low, high = x.min(axis=0), x.max(axis=0)
    length = float(high[axis] - low[axis])
    point = [0.0, 0.0, 0.0]
    point[axis] = _digits(float(high[axis] if sign > 0 else low[axis]), length)
    normal = [0.0, 0.0, 0.0]
    normal[axis] = 1.0
    least = max(_LEAST, round(_LEAST_SHARE * mesh.n_vertices))
    for band in _BANDS:
        region = Region(
            "plane",
            point=(point[0], point[1], point[2]),
            normal=(normal[0], normal[1], normal[2]),
            within=_digits(band * length, band * length),
        )
        try:
            chosen = select(region, x)
        except InputError:
            continue
        if len(chosen) >= min(least, mesh.n_vertices // 4) and _has_breadth(_arms(x[chosen])):
            return region
    raise InputError(
        f"mesh: expected an end along {'xyz'[axis]} to clamp, found no {least} vertices with some "
        f"breadth within {_BANDS[-1]:.0%} of the length; refine the mesh, or write a scene by hand"
    )


def _arms(points: np.ndarray) -> np.ndarray:
    return np.asarray(points - points.mean(axis=0))


def _has_breadth(arms: np.ndarray) -> bool:
    """Whether vertices do not lie in a line, by far."""
    return len(arms) > 2 and bool(np.linalg.matrix_rank(arms, tol=0.05 * np.abs(arms).max()) >= 2)


def _rounded(value: float) -> float:
    """Two significant digits."""
    return float(f"{value:.1e}")


def _digits(value: float, scale: float) -> float:
    """`value` to a ten-thousandth of `scale`: what a person would write."""
    return round(value, 4 - int(np.floor(np.log10(scale))))
