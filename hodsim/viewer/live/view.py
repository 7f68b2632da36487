"""A perspective camera as numbers: where points fall in a window, and where to stand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class View:
    """A camera and its window.

    Attributes
    ----------
    matrix
        From the world [m] to the eye, which looks along -z, (4, 4).
    slope
        Tangent of half the vertical angle of view.
    size
        Of the window: width and height [pixels].
    """

    matrix: np.ndarray
    slope: float
    size: tuple[int, int]

    def project(self, points: np.ndarray) -> np.ndarray:
        """Pixels from the left and from the top, (k, 2), of points [m] (k, 3); nan behind the
        eye."""
        width, height = self.size
        eye = points @ self.matrix[:3, :3].T + self.matrix[:3, 3]
        depth = np.where(eye[:, 2] < 0.0, -eye[:, 2], np.nan)
        scale = height / (2.0 * self.slope * depth)
        return np.stack([width / 2 + eye[:, 0] * scale, height / 2 - eye[:, 1] * scale], axis=1)

    def beside(self, pixel: tuple[float, float], point: np.ndarray) -> np.ndarray:
        """The point [m] (3,) that falls on a pixel, as far from the window as `point` (3,) is."""
        width, height = self.size
        rotation, shift = self.matrix[:3, :3], self.matrix[:3, 3]
        deep = float((rotation @ point + shift)[2])
        metres = -2.0 * self.slope * deep / height
        x, y = (pixel[0] - width / 2) * metres, (height / 2 - pixel[1]) * metres
        return np.asarray(rotation.T @ (np.array([x, y, deep]) - shift))


@dataclass(frozen=True)
class Area:
    """A part of a window: its edges [pixels] from the left and from the top."""

    left: float
    top: float
    right: float
    bottom: float


def stand(
    points: np.ndarray, forward: np.ndarray, slope: float, size: tuple[int, int], area: Area
) -> np.ndarray:
    """The nearest eye (3,) that looks along `forward` (z is up) and sees all `points` [m] (k, 3)
    within a part of its window."""
    width, height = size
    forward = forward / np.linalg.norm(forward)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    up = np.cross(right, forward)
    x, y, z = (points @ np.stack([right, up, forward], axis=1)).T
    half = height / 2.0
    # Edges of the area as slopes of rays: a point is inside where x - X lies between both slopes
    # times z - Z, for an eye at X, Z.
    spans = [
        (x, (area.left - width / 2) / half * slope, (area.right - width / 2) / half * slope),
        (y, (half - area.bottom) / half * slope, (half - area.top) / half * slope),
    ]
    lows = [float(np.min(v - a * z)) for v, a, _ in spans]
    highs = [float(np.max(v - b * z)) for v, _, b in spans]
    away = min((lo - hi) / (b - a) for lo, hi, (_, a, b) in zip(lows, highs, spans, strict=True))
    across = [
        (lo + a * away + hi + b * away) / 2.0
        for lo, hi, (_, a, b) in zip(lows, highs, spans, strict=True)
    ]
    return np.asarray(across[0] * right + across[1] * up + away * forward)
