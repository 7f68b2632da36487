"""One body of a shot as pixels: pyvista, off the screen, in software."""

from __future__ import annotations

from types import TracebackType
from typing import Any

import numpy as np

from hodsim.viewer.bodies import MAP
from hodsim.viewer.obstacles import GREY
from hodsim.viewer.shot import Shot
from hodsim.viewer.trial import in_software

OUTLINE = "#005f9e"
ARROW = "#009e73"  # Okabe and Ito's green, told apart from the map's yellow to red
_SHARP = 30.0  # degrees between the triangles of an edge that is drawn
_LEAST_HEIGHT = 200  # pixels: room for the texts of a colour bar
_SPARE = 0.05  # of the panel's width and height, left free on each side
_FINE = 2  # pixels drawn for one that `draw` gives, along each axis: edges without steps


class Renderer:
    """Draws any body of a shot at any frame, all by the same camera; a context manager.

    The projection is parallel: `metre` pixels are one metre, wherever it is. One plotter serves all
    bodies and frames, and only points, colours and arrows change.

    Attributes
    ----------
    width, height
        Of what `draw` gives [pixels]; `height` follows the bodies' outline.
    metre
        Pixels a metre [1/m].
    """

    def __init__(self, shot: Shot, width: int) -> None:
        low, high = shot.box()
        wide, tall = (high - low)[:2] + 1e-9
        self.shot, self.width = shot, width
        self.height = max(round(width * min(max(tall / wide, 0.5), 1.2) / 2) * 2, _LEAST_HEIGHT)
        self.metre = (1 - 2 * _SPARE) * min(width / wide, self.height / tall)
        self._middle, self._depth = (low + high) / 2, float(high[2] - low[2]) + 1e-6
        self._size = float(np.ptp(shot.vertices, axis=0).max())
        self._arrows: list[Any] = []
        self._shown = False
        self._open()

    def _open(self) -> None:
        import pyvista

        self._plotter = _plotter(_FINE * self.width, _FINE * self.height)
        shot = self.shot
        add = self._plotter.add_mesh
        faces = np.insert(shot.surface, 0, 3, axis=1).ravel()
        self._body: Any = pyvista.PolyData(shot.vertices.copy(), faces)
        self._body["values"] = np.zeros(len(shot.vertices))
        add(
            self._body,
            scalars="values",
            cmap=MAP,
            clim=(0.0, shot.colour_top),
            show_scalar_bar=False,
            show_edges=True,
            edge_color="#404040",
            edge_opacity=0.25,
            line_width=1.0,
            ambient=0.6,
            diffuse=0.45,
            specular=0.0,
        )
        for obstacle in shot.obstacles:
            faces = np.insert(obstacle.triangles, 0, 3, axis=1).ravel()
            solid = pyvista.PolyData(obstacle.vertices, faces)
            add(solid, color=GREY, ambient=0.5, diffuse=0.5, specular=0.0, opacity=0.6)
        edges = sharp_edges(shot.vertices, shot.surface)
        self._own = self._lines(edges, "#202020", 2.0)
        self._outline = self._lines(edges, OUTLINE, 3.0)
        if self._outline is not None:
            _in_front(self._outline[1].mapper)
        if len(shot.clamped):
            add(
                pyvista.PolyData(shot.vertices[shot.clamped]),  # they never move
                color="#202020",
                point_size=7.0 * _FINE * self.width / 480.0,
                render_points_as_spheres=True,
            )
        for _ in range(max((len(a) for s in shot.solids for a in s.arrows), default=0)):
            shape = pyvista.Arrow(tip_length=0.35, tip_radius=0.035, shaft_radius=0.014)
            arrow = add(shape, color=ARROW, ambient=0.4)
            _in_front(arrow.mapper)  # a load's arrow may begin inside the body
            self._arrows.append(arrow)
        self._aim()

    def _lines(self, edges: np.ndarray, colour: str, width: float) -> Any:
        """Edges of the body, whose points follow by `draw`; None where it has no sharp ones."""
        import pyvista

        if not len(edges):
            return None
        lines = pyvista.PolyData(self.shot.vertices.copy())
        lines.lines = np.insert(edges, 0, 2, axis=1).ravel()
        lines.verts = np.empty(0, dtype=np.int64)
        actor = self._plotter.add_mesh(lines, color=colour, line_width=width, lighting=False)
        return lines, actor

    def _aim(self) -> None:
        axes, camera = self.shot.axes(), self._plotter.camera
        middle = self._middle @ axes
        far = 2 * self._depth + self._size
        self._plotter.enable_parallel_projection()
        camera.focal_point, camera.position = middle, middle + far * axes[2]
        camera.up = (0.0, 0.0, 1.0)
        camera.parallel_scale = self.height / (2 * self.metre)
        camera.clipping_range = (far - self._depth - self._size, far + self._depth + self._size)

    def draw(self, solid: int, frame: int) -> np.ndarray:
        """RGB of body number `solid` at frame `frame`, uint8, (height, width, 3)."""
        shown = self.shot.solids[solid]
        x = shown.positions[frame]
        self._body.points = x
        self._body["values"] = shown.values[frame]
        if self._own is not None:
            self._own[0].points = x
            self._outline[0].points = self.shot.solids[0].positions[frame]
            self._outline[1].SetVisibility(self.shot.outline and solid > 0)
        arrows = shown.arrows[frame] if shown.arrows else np.empty((0, 2, 3))
        for k, actor in enumerate(self._arrows):
            there = k < len(arrows) and bool(np.ptp(arrows[k], axis=0).any())
            actor.SetVisibility(there)
            if there:
                actor.user_matrix = _placed(arrows[k][0], arrows[k][1], self._size)
        if self._shown:
            self._plotter.render()
        self._shown = True  # the first screenshot renders by itself, later ones do not
        pixels = self._plotter.screenshot(return_img=True)[..., :3].astype(np.uint16)
        # Sums of slices take a tenth of the time that the mean of a reshaped array does.
        rows = pixels[0::2] + pixels[1::2]
        return np.asarray(((rows[:, 0::2] + rows[:, 1::2]) // 4).astype(np.uint8))

    def close(self) -> None:
        """Give the window back."""
        self._plotter.close()

    def __enter__(self) -> Renderer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _plotter(width: int, height: int) -> Any:
    """An empty pyvista plotter off the screen, with one lamp."""
    import pyvista

    in_software()
    plotter: Any = pyvista.Plotter(
        off_screen=True,
        window_size=[width, height],
        theme=pyvista.themes.DocumentTheme(),  # whatever a user's script has set
    )
    window: Any = plotter.ren_win
    window.SetMultiSamples(0)
    plotter.disable_anti_aliasing()
    plotter.remove_all_lights()
    # From above the eye's left shoulder, so that three faces of a block differ.
    plotter.add_light(pyvista.Light(position=(-0.35, 0.55, 1.0), light_type="camera light"))
    return plotter


def _in_front(mapper: Any) -> None:
    """Draw lines and faces as if they stood nearer to the eye than anything else does."""
    mapper.SetResolveCoincidentTopologyToPolygonOffset()
    mapper.SetRelativeCoincidentTopologyLineOffsetParameters(0.0, -1e5)
    mapper.SetRelativeCoincidentTopologyPolygonOffsetParameters(0.0, -1e5)


def sharp_edges(vertices: np.ndarray, surface: np.ndarray) -> np.ndarray:
    """Edges (k, 2) at which the triangles of a closed surface meet at an angle."""
    corners = vertices[surface]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-300)
    edges = np.sort(np.concatenate([surface[:, [0, 1]], surface[:, [1, 2]], surface[:, [2, 0]]]))
    owner = np.tile(np.arange(len(surface)), 3)
    # On a closed surface each edge comes twice: neighbours in the sorted list share it.
    order = np.lexsort((edges[:, 1], edges[:, 0]))
    first, second = order[0::2], order[1::2]
    bend = (normals[owner[first]] * normals[owner[second]]).sum(axis=1)
    return np.asarray(edges[first][bend < np.cos(np.radians(_SHARP))])


def _placed(start: np.ndarray, end: np.ndarray, size: float) -> np.ndarray:
    """The matrix (4, 4) that makes an arrow from start to end of the unit one along x: its length
    is theirs, its thickness that of the body."""
    along = end - start
    length = float(np.linalg.norm(along))
    x = along / length
    side = np.cross(x, np.eye(3)[np.argmin(np.abs(x))])
    side /= np.linalg.norm(side)
    matrix = np.eye(4)
    matrix[:3, :3] = np.stack([along, size * side, size * np.cross(x, side)], axis=1)
    matrix[:3, 3] = start
    return matrix
