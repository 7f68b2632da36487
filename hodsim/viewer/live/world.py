"""Bodies, clamps and arrows of a picture as polyscope's structures."""

from __future__ import annotations

from typing import Any

import numpy as np

from hodsim.viewer.live.picture import BodyPicture, Picture
from hodsim.viewer.obstacles import GREY, Surface

DARK = (0.13, 0.13, 0.13)
ARROWS = {"drag": (0.84, 0.37, 0.0), "load": (0.0, 0.62, 0.45)}  # Okabe and Ito's
_CLAMPS, _COLOURS, _ARROWS, _OBSTACLE = "clamped", "colours", "arrows", "obstacle"


class World:
    """What polyscope shows of a picture; it is registered once, and then only updated.

    Attributes
    ----------
    points
        Corners of boxes [m], (k, 3), in which the bodies of this scene stand and move a little.
    titles
        Where the title of each body is written [m], (3,), by label.
    """

    def __init__(self) -> None:
        self._surface = self._clamped = self._used = self._faces = np.empty((0, 3), dtype=np.intp)
        self._bodies: dict[str, Any] = {}
        self._clouds: dict[str, Any] = {}
        self._obstacles: dict[str, Any] = {}
        self._stand: tuple[Surface, ...] = ()
        self._arrows: dict[str, Any] = {}
        self._ends: dict[str, np.ndarray] = {}
        self._drawn: dict[str, BodyPicture] = {}
        self._box: np.ndarray | None = None  # ends of the first body's box without its offset
        self.points = np.zeros((0, 3))
        self.titles: dict[str, np.ndarray] = {}

    def show(self, picture: Picture) -> bool:
        """Take up a picture; gives whether its bodies are others, or of another scene."""
        fresh = self._renew(picture)
        for body in picture.bodies:
            self._update(body)
        for kind in ARROWS:
            ends = [(a.start, a.end) for a in picture.arrows if a.kind == kind]
            self._show_arrows(kind, np.array(ends).reshape(-1, 2, 3))
        return fresh

    def _update(self, body: BodyPicture) -> None:
        """What stays as it is asks for no new drawing, which leaves the time to others."""
        before = self._drawn.get(body.label)
        mesh = self._bodies[body.label]
        if before is None or not np.array_equal(before.positions, body.positions):
            mesh.update_vertex_positions(body.positions[self._used])
            if body.label in self._clouds:
                clamps = body.positions[self._clamped]
                self._clouds[body.label].update_point_positions(clamps)
        if before is None or not np.array_equal(before.colours, body.colours):
            mesh.get_quantity_buffer(_COLOURS, "colors").update_data(body.colours[self._used])
        self._drawn[body.label] = body

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
            # Vertices inside a body are not seen: large ones draw several times faster without.
            self._used, faces = np.unique(picture.surface, return_inverse=True)
            self._faces = faces.reshape(-1, 3)
        if picture.bodies:
            self._measure(picture.bodies)
        for body in picture.bodies:
            self._register(body)
        return True

    def _measure(self, bodies: tuple[BodyPicture, ...]) -> None:
        """The size of the scene, of which polyscope makes its depth of view and line widths."""
        import polyscope as ps

        if self._box is None:
            x = bodies[0].positions - bodies[0].offset
            self._box = np.stack([x.min(axis=0), x.max(axis=0)])
        low, high = self._box
        size = float((high - low).max())
        top = np.array([(low + high)[0] / 2, (low + high)[1] / 2, high[2] + 0.2 * size])
        self.titles = {body.label: top + body.offset for body in bodies}
        room = size * np.array([0.04, 0.1, 0.35])
        offsets = np.array([body.offset for body in bodies])
        ends = np.stack([low - room + offsets.min(axis=0), high + room + offsets.max(axis=0)])
        self.points = np.stack(np.meshgrid(*ends.T, indexing="ij"), axis=-1).reshape(-1, 3)
        ps.set_length_scale(size)
        ps.set_bounding_box(ends[0] - size, ends[1] + size)

    def _register(self, body: BodyPicture) -> None:
        import polyscope as ps

        mesh = ps.register_surface_mesh(
            body.label,
            body.positions[self._used],
            self._faces,
            edge_width=0.6,
            edge_color=(0.25, 0.25, 0.25),
            material="flat",
            smooth_shade=False,
        )
        mesh.add_color_quantity(_COLOURS, body.colours[self._used], enabled=True)
        self._bodies[body.label] = mesh
        if len(self._clamped):
            self._clouds[body.label] = ps.register_point_cloud(
                f"{_CLAMPS} {body.label}",
                body.positions[self._clamped],
                radius=0.012,
                color=DARK,
                material="flat",
            )

        for k, obstacle in enumerate(self._stand):
            name = f"{_OBSTACLE} {k} {body.label}"
            self._obstacles[name] = ps.register_surface_mesh(
                name,
                obstacle.vertices + body.offset,
                obstacle.triangles,
                color=GREY,
                material="wax",
                smooth_shade=False,
            )

    def _show_arrows(self, kind: str, ends: np.ndarray) -> None:
        import polyscope as ps

        cloud = self._arrows.get(kind)
        if cloud is not None and cloud.n_points() != len(ends):
            self._arrows.pop(kind).remove()
            cloud = None
        if not len(ends):
            return
        along = ends[:, 1] - ends[:, 0]
        if cloud is None:
            # Points too small to see carry the arrows.
            cloud = ps.register_point_cloud(
                f"{_ARROWS} {kind}", ends[:, 0], radius=1e-5, color=ARROWS[kind]
            )
            cloud.add_vector_quantity(
                _ARROWS,
                along,
                vectortype="ambient",
                radius=0.012,
                color=ARROWS[kind],
                material="flat",
                enabled=True,
            )
            self._arrows[kind] = cloud
        elif np.array_equal(self._ends[kind], ends):
            return
        self._ends[kind] = ends
        cloud.update_point_positions(ends[:, 0])
        cloud.get_quantity_buffer(_ARROWS, "values").update_data(along)

    def body_at(self, pixel: tuple[float, float]) -> tuple[str, np.ndarray] | None:
        """The body that is seen at a pixel of the window and where [m], (3,); None beside them."""
        import polyscope as ps

        # An arrow may begin right where one wants to pull, and an obstacle stand before it.
        front = (*self._arrows.values(), *self._clouds.values(), *self._obstacles.values())
        for cloud in front:
            cloud.set_enabled(False)
        hit = ps.pick(screen_coords=pixel)
        for cloud in front:
            cloud.set_enabled(True)
        if not hit.is_hit or hit.structure_name not in self._bodies:
            return None
        return hit.structure_name, hit.position

    def vertex(self, label: str, vertex: int) -> np.ndarray:
        """Where a vertex of a body is drawn [m], (3,)."""
        return np.asarray(self._drawn[label].positions[vertex])

    def clear(self) -> None:
        """Take everything away."""
        for group in (self._bodies, self._clouds, self._arrows, self._obstacles):
            for structure in group.values():
                structure.remove()
            group.clear()
        self._drawn, self.titles = {}, {}
