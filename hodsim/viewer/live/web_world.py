"""Bodies, clamps, arrows and words of a picture as viser's nodes, the same for all who look."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import numpy as np

from hodsim.viewer.live.halves import CORNERS, FACE, Halves, halves
from hodsim.viewer.live.picture import Arrow, BodyPicture, Picture
from hodsim.viewer.live.web_light import add_lights, reflecting
from hodsim.viewer.obstacles import GREY, Surface

ARROWS = {"drag": (0.84, 0.37, 0.0), "load": (0.0, 0.62, 0.45)}  # Okabe and Ito's
_DARK = (34, 34, 34)

# Hears of a drag: the body's label and viser's event.
OnDrag = Callable[[str, Any], Coroutine[Any, Any, None]]


class WebWorld:
    """What viser's scene shows of a picture. Nodes are added once and then only updated.

    Attributes
    ----------
    points
        Corners of a box [m], (8, 3), in which the bodies of this scene stand and move a little.
    """

    def __init__(self, server: Any, on_drag: OnDrag) -> None:
        self._scene, self._on_drag = server.scene, on_drag
        self._surface = self._clamped = np.empty((0, 3), dtype=np.intp)
        self._box: np.ndarray | None = None  # ends of the first body's box without its offset
        self._size = 1.0
        self._bodies: dict[str, Any] = {}
        self._clouds: dict[str, Any] = {}
        self._titles: dict[str, Any] = {}
        self._stand: tuple[Surface, ...] = ()
        self._others: list[Any] = []
        self._arrows: dict[str, Any] = {}
        self._drawn: dict[str, BodyPicture] = {}
        self.points = np.zeros((0, 3))
        add_lights(self._scene)

    def show(self, picture: Picture) -> bool:
        """Take up a picture; gives whether its bodies are others, or of another scene."""
        fresh = self._renew(picture)
        for body in picture.bodies:
            self._update(body)
        for kind in ARROWS:
            self._show_arrows(kind, [a for a in picture.arrows if a.kind == kind])
        return fresh

    def _update(self, body: BodyPicture) -> None:
        before = self._drawn.get(body.label)
        self._drawn[body.label] = body
        self._titles[body.label].text = _title(body)
        moved = before is None or not np.array_equal(before.positions, body.positions)
        if not moved and before is not None and np.array_equal(before.colours, body.colours):
            return
        parts = self._parts(body)
        mesh = self._bodies[body.label]
        mesh.batched_positions, mesh.batched_wxyzs = parts.places, parts.turns
        mesh.batched_scales, mesh.batched_colors = parts.sizes, parts.colours
        if body.label in self._clouds:
            self._clouds[body.label].points = body.positions[self._clamped]

    def _parts(self, body: BodyPicture) -> Halves:
        parts = halves(body.positions, self._surface, body.colours)
        return replace(parts, colours=reflecting(parts.colours))

    def _renew(self, picture: Picture) -> bool:
        same = np.array_equal(self._surface, picture.surface) and np.array_equal(
            self._clamped, picture.clamped
        )
        same = same and self._stand == picture.obstacles
        if same and [body.label for body in picture.bodies] == list(self._bodies):
            return False
        # All anew: a body's place depends on which others there are.
        self.clear()
        if not same:
            self._surface, self._clamped, self._box = picture.surface, picture.clamped, None
            self._stand = picture.obstacles
        if picture.bodies:
            self._measure(picture.bodies)
            self._scale(picture)
        for body in picture.bodies:
            self._add(body)
        return True

    def _measure(self, bodies: tuple[BodyPicture, ...]) -> None:
        if self._box is None:
            x = bodies[0].positions - bodies[0].offset
            self._box = np.stack([x.min(axis=0), x.max(axis=0)])
        low, high = self._box
        self._size = float((high - low).max())
        room = self._size * np.array([0.04, 0.1, 0.35])
        offsets = np.array([body.offset for body in bodies])
        ends = np.stack([low - room + offsets.min(axis=0), high + room + offsets.max(axis=0)])
        self.points = np.stack(np.meshgrid(*ends.T, indexing="ij"), axis=-1).reshape(-1, 3)

    def _add(self, body: BodyPicture) -> None:
        assert self._box is not None
        parts = self._parts(body)
        mesh = self._scene.add_batched_meshes_simple(
            f"/bodies/{body.label}",
            CORNERS,
            FACE,
            batched_wxyzs=parts.turns,
            batched_positions=parts.places,
            batched_scales=parts.sizes.astype(np.float32),
            batched_colors=parts.colours,
            lod="off",
            flat_shading=True,
            side="double",
            cast_shadow=False,
            receive_shadow=False,
        )

        async def heard(event: Any) -> None:
            await self._on_drag(body.label, event)

        mesh.on_drag("left")(heard)
        self._bodies[body.label] = mesh
        low, high = self._box
        top = np.array([(low + high)[0] / 2, (low + high)[1] / 2, high[2] + 0.2 * self._size])
        self._titles[body.label] = self._scene.add_label(
            f"/titles/{body.label}",
            _title(body),
            position=top + body.offset,
            anchor="bottom-center",
        )
        if len(self._clamped):
            self._clouds[body.label] = self._scene.add_point_cloud(
                f"/clamped/{body.label}",
                body.positions[self._clamped],
                _DARK,
                point_size=0.014 * self._size,
                point_shape="circle",
                point_shading="flat",
                precision="float32",
            )

        for k, obstacle in enumerate(self._stand):
            node = self._scene.add_mesh_simple(
                f"/obstacles/{body.label}/{k}",
                obstacle.vertices + body.offset,
                obstacle.triangles,
                color=reflecting(np.array([GREY]))[0],
                flat_shading=True,
                side="double",
                cast_shadow=False,
                receive_shadow=False,
            )
            self._others.append(node)

    def _scale(self, picture: Picture) -> None:
        start = picture.scale_start
        along = np.array([picture.scale, 0.0, 0.0])
        self._others = [
            self._scene.add_line_segments(
                "/scale/bar",
                np.array([[start, start + along]]),
                _DARK,
                thickness=4.0,
                thickness_units="screen",
            ),
            self._scene.add_label(
                "/scale/length",
                f"{picture.scale:g} m",
                position=start + along / 2 - [0.0, 0.0, 0.03 * self._size],
                anchor="top-center",
            ),
        ]

    def _show_arrows(self, kind: str, arrows: list[Arrow]) -> None:
        node = self._arrows.get(kind)
        if not arrows:
            if node is not None:
                self._arrows.pop(kind).remove()
            return
        points = np.array([(a.start, a.end) for a in arrows])
        if node is not None:
            node.points = points
            return
        self._arrows[kind] = self._scene.add_arrows(
            f"/arrows/{kind}",
            points,
            reflecting(np.array([ARROWS[kind]]))[0],
            shaft_radius=0.008 * self._size,
            head_radius=0.022 * self._size,
            head_length=0.06 * self._size,
        )

    def clear(self) -> None:
        """Take everything away."""
        groups = (self._bodies, self._clouds, self._titles, self._arrows)
        for node in [*self._others, *(node for group in groups for node in group.values())]:
            node.remove()
        for group in (*groups, self._drawn):
            group.clear()
        self._others = []


def _title(body: BodyPicture) -> str:
    return f"{body.title}\n{body.warning}" if body.warning else body.title
