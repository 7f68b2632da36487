"""A scene of a small beam that a command plays in a moment, and how tests call a command."""

from __future__ import annotations

from collections.abc import Callable

SCENE = """
name = "small"
[mesh]
beam = { cells = [3, 1, 1], size = [0.6, 0.2, 0.2] }
[material]
law = "neo-hookean"
young = 5e4
poisson = 0.3
density = 1000.0
[[clamp]]
box = { min = [-1e-6, -1, -1], max = [1e-6, 1, 1] }
[[load]]
kind = "force"
region = { box = { min = [0.599, -1, -1], max = [0.601, 1, 1] } }
times = [0.0, 0.1]
values = [[0, 0, 0], [0, 4, 9]]
[time]
step = 0.02
steps = 8
[subspace]
model = "model"
[[sampling]]
kind = "force"
region = { box = { min = [0.599, -1, -1], max = [0.601, 1, 1] } }
magnitude = [5.0, 10.0]
direction = { plane = [1.0, 0.0, 0.0] }
ramp = [0.02, 0.06]
hold = [0.02, 0.06]
"""

Run = Callable[..., tuple[int, str, str]]
