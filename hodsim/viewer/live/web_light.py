"""Light in the page, and what colour a thing must have to be seen there in the one that is meant.

The page draws as films do: three.js passes the light of every pixel through the ACES curve (in
Stephen Hill's fit), which makes bright colours pale and dark ones darker. What is drawn here shows
numbers by colour, so that the curve is undone beforehand.
"""

from __future__ import annotations

from typing import Any

import numpy as np

_GAIN = 3.0  # light on a surface that faces the lamp: the curve gives bright colours for much only
_LAMP = 0.25  # the lamp's part of it, the rest comes from everywhere
_EXPOSURE = 0.6  # what three.js divides light by before the curve
_INTO = np.array(
    [[0.59719, 0.35458, 0.04823], [0.076, 0.90834, 0.01566], [0.0284, 0.13383, 0.83777]]
)
_OUT = np.array(
    [[1.60475, -0.53108, -0.07367], [-0.10208, 1.10813, -0.00605], [-0.00327, -0.07276, 1.07602]]
)
# The curve is (v^2 + a v - b) / (c v^2 + d v + e) of each channel.
_A, _B, _C, _D, _E = 0.0245786, 0.000090537, 0.983729, 0.432951, 0.238081


def add_lights(scene: Any) -> None:
    """Much light from everywhere, so that colours are those of the colour bar, and a lamp, so that
    shapes show."""
    scene.configure_environment_map(None)
    scene.configure_default_lights(enabled=False)
    # A surface scatters a pi-th of the light that falls on it to the eye.
    full = np.pi * _GAIN
    scene.add_light_ambient("/light/all", intensity=float((1.0 - _LAMP) * full))
    scene.add_light_directional(
        "/light/lamp", intensity=float(_LAMP * full), position=(-0.4, -2.0, 1.5)
    )


def reflecting(rgb: np.ndarray) -> np.ndarray:
    """What surfaces must reflect, uint8 (k, 3), to be seen in colours RGB from 0 to 1, (k, 3).

    The strongest yellow comes out paler than asked for: the curve cannot give it.
    """
    light = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    y = np.clip(np.linalg.solve(_OUT, light.T).T, 0.0, 0.97)
    # The curve's inverse: the positive root of a quadratic equation.
    a, b, c = _C * y - 1.0, _D * y - _A, _E * y + _B
    v = (-b - np.sqrt(b * b - 4.0 * a * c)) / (2.0 * a)
    share = _EXPOSURE * np.linalg.solve(_INTO, v.T).T / _GAIN
    return np.asarray(np.round(255.0 * np.clip(share, 0.0, 1.0)), dtype=np.uint8)
