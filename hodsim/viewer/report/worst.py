"""Pictures of the frames in which a subspace is farthest from full space."""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from hodsim.viewer.methods import body_title, order
from hodsim.viewer.report.measures import number
from hodsim.viewer.report.rows import LOADS, ordered
from hodsim.viewer.sheet import Sheet
from hodsim.viewer.shot import Shot, Solid

_LINE = 960  # pixels that full space and the subspace share


@dataclass(frozen=True)
class Picture:
    """A picture as the bytes of a png, of which body, and what is said below it."""

    body: str
    caption: str
    png: bytes


@dataclass(frozen=True)
class WorstFrame:
    """One frame of a run and of its reference.

    Attributes
    ----------
    body, load, scene, label
        As in the row of the run.
    time, error
        [s], and the tip error there over the RMS of full space's motion: 0.01 is 1 %.
    vertices, surface, clamped
        Rest positions [m] (n_vertices, 3), boundary triangles (m, 3), indices of clamped vertices.
    full, positions
        Positions [m] in full space and in the subspace, (n_vertices, 3).
    """

    body: str
    load: str
    scene: str
    label: str
    time: float
    error: float
    vertices: np.ndarray
    surface: np.ndarray
    clamped: np.ndarray
    full: np.ndarray
    positions: np.ndarray


def worst_frames(frames: Iterable[WorstFrame]) -> tuple[Picture, ...]:
    """Pictures of the worst frame of each body, load and label, over all scenes.

    They come by body, load and method. Full space stands on the left, the subspace on the right
    with the outline of full space over it, coloured by its distance from full space. Raises
    `InputError` for arrays that do not fit.
    """
    worst: dict[tuple[str, str, str], WorstFrame] = {}
    for frame in frames:
        key = frame.body, frame.load, frame.label
        if key not in worst or frame.error > worst[key].error:
            worst[key] = frame
    bodies = list(dict.fromkeys(body for body, _, _ in worst))
    far = ordered((load for _, load, _ in worst), LOADS)

    def place(key: tuple[str, str, str]) -> tuple[int, int, tuple[int, int, str]]:
        body, load, label = key
        kind, _, rank = label.partition(" ")[0].partition("-")
        return bodies.index(body), far.index(load), order(kind, int(rank or 0), label)

    return tuple(
        Picture(
            frame.body,
            f"{body_title(frame.label)}, {frame.scene} ({frame.load}): tip off by "
            f"{number(100.0 * frame.error)} % at {frame.time:.2f} s",
            _drawn(frame),
        )
        for frame in (worst[key] for key in sorted(worst, key=place))
    )


def _drawn(frame: WorstFrame) -> bytes:
    from PIL import Image

    distance = np.linalg.norm(frame.positions - frame.full, axis=1)
    shot = Shot(
        vertices=frame.vertices,
        surface=frame.surface,
        clamped=frame.clamped,
        times=np.array([frame.time]),
        solids=(
            Solid(body_title("full"), frame.full[None], np.zeros((1, len(frame.full)))),
            Solid(body_title(frame.label), frame.positions[None], distance[None]),
        ),
        colour="distance from full space [m]",
    )
    held = io.BytesIO()
    with Sheet(shot, _LINE) as sheet:
        image = Image.fromarray(sheet.draw(0))
    # A palette halves the file, and shading needs no more colours.
    image.quantize(128, dither=Image.Dither.NONE).save(held, "png", optimize=True)
    return held.getvalue()
