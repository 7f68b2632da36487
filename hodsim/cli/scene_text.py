"""A commented scene file for a proposal."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hodsim.cli.proposal import (
    DENSITY,
    GRAVITY,
    LAW,
    POISSON,
    SAG,
    STEPS,
    SWAY,
    TURN,
    Proposal,
)

if TYPE_CHECKING:
    from hodsim.mesh import TetMesh


def scene_text(
    name: str, mesh: TetMesh, p: Proposal, file: Path, scale: float, out: Path, model: str | None
) -> str:
    """The text of a scene file at `out` for the mesh in `file`, which may be anywhere.

    `model` is where the trained model will be, as seen from the scene; None leaves that to the
    reader.
    """
    place = Path(os.path.relpath(file.absolute(), out.absolute().parent)).as_posix()
    low, high = mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)
    size = " x ".join(f"{x:.3g}" for x in high - low)
    a, d = "xyz"[p.axis], "xyz"[p.down]
    tags = ", ".join(json.dumps(tag, ensure_ascii=False) for tag in list(mesh.tags)[:8])
    named = f', tag = "..": this mesh has {_one_line(tags)}' if tags else ""
    force, half = p.force, 0.5 * p.force
    T = p.period
    ramp, hold = [0.03 * T, 0.2 * T], [0.12 * T, 0.35 * T]
    lines = f"""\
# {_one_line(name)}: {mesh.n_vertices} vertices, {mesh.n_tets} tets, {size} m.
# Units are SI. Everything here is a proposal, derived from the mesh: change what you know better.
name = {_string(name)}

[mesh]
file = {_string(place)}
scale = {float(scale)!r}               # length of the file's unit [m]: 0.001 for one in millimetres

# The body weighs {p.mass:.3g} kg. By linear theory it sags by {p.sag:.2g} m when clamped as below,
# {p.sag / p.length:.0%} of its length: E is such that it sags by {SAG:.0%} at most, and by less
# where thin parts would be strained too much.
[material]
law = "{LAW}"          # or "stvk", "corotational"
young = {p.young:g}               # Pa
poisson = {POISSON:g}
density = {DENSITY:g}               # kg/m^3

[damping]
mass = {p.damping:g}                  # 1/s: motions die out in a few swings

# What is held: {p.clamped} of {mesh.n_vertices} vertices, the lower end of the longest axis, {a}.
# Other regions: box = {{ min = [..], max = [..] }}, sphere = {{ center = [..], radius = .. }},
# vertices = [0, 1, ..], nearest = [x, y, z]{named}.
[[clamp]]
{_region(p.clamp)}

# Its own weight sets in, along {d}.
[[load]]
kind = "gravity"                # m/s^2
times = [0.0, {0.1 * T:.3g}]
values = [[0, 0, 0], {_vector(p.down, -GRAVITY)}]

# A force on the {p.tipped} vertices at the other end pulls sideways, then lets go.
[[load]]
kind = "force"                  # N
region = {{ {_region(p.tip)} }}
times = [0.0, {0.2 * T:.3g}, {0.6 * T:.3g}, {0.6 * T + p.step:.3g}]
values = [[0, 0, 0], {_vector(p.side, half)}, {_vector(p.side, half)}, [0, 0, 0]]

# The slowest vibration takes {T:.3g} s: a step is about an eightieth of it, the run two of them.
[time]
step = {p.step:g}                   # s
steps = {STEPS}

{_subspace(model)}
# What training draws from: random motions of these loads, each present in some of them.
[[sampling]]
kind = "gravity"
magnitude = [{0.3 * GRAVITY:.3g}, {GRAVITY:g}]        # m/s^2
direction = {{ plane = {_vector(p.axis, 1)} }}
ramp = [{ramp[0]:.3g}, {ramp[1]:.3g}]              # s
hold = [{hold[0]:.3g}, {hold[1]:.3g}]
turn = [0.0, 70.0]              # degrees
release = false
probability = 0.6

[[sampling]]                    # the largest bends the tip by {SWAY:.0%} of the length
kind = "force"
region = {{ {_region(p.tip)} }}
magnitude = [{0.2 * force:.3g}, {force:.3g}]          # N
direction = "any"
ramp = [{ramp[0]:.3g}, {ramp[1]:.3g}]
hold = [{hold[0]:.3g}, {hold[1]:.3g}]
probability = 0.6
""".replace('direction = "any"', "direction = { any = true }")
    if p.torque is not None:
        lines += f"""
[[sampling]]                    # the largest turns the tip by {TURN:g} degrees at most
kind = "torque"
region = {{ {_region(p.tip)} }}
magnitude = [{0.25 * p.torque:.3g}, {p.torque:.3g}]      # N m
direction = {{ axis = {_vector(p.axis, 1)} }}
ramp = [{ramp[0]:.3g}, {ramp[1]:.3g}]
hold = [{hold[0]:.3g}, {hold[1]:.3g}]
probability = 0.4
"""
    return lines


def _subspace(model: str | None) -> str:
    if model is None:
        return (
            '# [subspace]\n# model = ".."                  # a folder that `hodsim train` wrote\n'
        )
    return f"[subspace]\nmodel = {_string(model)}\n"


def _region(region: Any) -> str:
    return (
        f"plane = {{ point = {_list(region.point)}, normal = {_list(region.normal)}, "
        f"within = {region.within:g} }}"
    )


def _list(values: Any) -> str:
    return f"[{', '.join(repr(float(v)) if v else '0' for v in values)}]"


def _vector(axis: int, value: float) -> str:
    return f"[{', '.join(f'{value:.4g}' if k == axis else '0' for k in range(3))}]"


def _string(text: str) -> str:
    """A TOML string: JSON's, which escapes all that TOML's must and in the same way."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _one_line(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)
