"""Mouse and keys over the drawn bodies: take a vertex, pull it, let go."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hodsim.errors import InputError
from hodsim.viewer.live.panel import Event
from hodsim.viewer.live.view import View
from hodsim.viewer.live.world import World

if TYPE_CHECKING:
    from hodsim.viewer.live.presenter import Presenter


class Hand:
    """Holds a vertex while the left button is down. A button that went down beside the bodies turns
    the camera, which is polyscope's affair."""

    def __init__(self, presenter: Presenter) -> None:
        self._presenter = presenter
        self._place: np.ndarray | None = None  # where the held vertex was taken [m]
        self._cursor: tuple[float, float] | None = None
        self._down = False

    def follow(self, world: World, view: View) -> None:
        """Do what the mouse has done since the last frame."""
        import polyscope as ps
        import polyscope.imgui as psim

        io = psim.GetIO()
        cursor = float(io.MousePos[0]), float(io.MousePos[1])
        down, before = bool(io.MouseDown[0]), self._down
        self._down = down
        if down and not before and not io.WantCaptureMouse:
            self._grab(world, cursor)
        elif not down or psim.IsKeyPressed(psim.ImGuiKey_Escape):
            self.let_go()
        elif self._place is not None and cursor != self._cursor:
            self._cursor = cursor
            self._presenter.move(view.beside(cursor, self._place))
        if before and not down:
            ps.set_do_default_mouse_interaction(True)

    def _grab(self, world: World, cursor: tuple[float, float]) -> None:
        import polyscope as ps

        seen = world.body_at(cursor)
        if seen is None:
            return
        # The camera stays even where nothing can be pulled, and until the button is up again.
        ps.set_do_default_mouse_interaction(False)
        label, point = seen
        try:
            vertex = self._presenter.nearest(label, point)
        except InputError:  # the body has gone since it was drawn
            return
        if self._presenter.grab(label, vertex):
            self._place, self._cursor = world.vertex(label, vertex), cursor

    def let_go(self) -> None:
        """Release what is held."""
        if self._place is not None:
            self._place = None
            self._presenter.drop()


def pressed_keys(presenter: Presenter) -> list[Event]:
    """The buttons whose keys went down in this frame."""
    import polyscope.imgui as psim

    if psim.GetIO().WantTextInput:
        return []
    keys = (
        (psim.ImGuiKey_Space, presenter.buttons()[0]),
        (psim.ImGuiKey_RightArrow, "step"),
        (psim.ImGuiKey_R, "reset"),
    )
    return [("button", name, None) for key, name in keys if psim.IsKeyPressed(key, False)]
