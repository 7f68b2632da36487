"""A polyscope window: it draws what a presenter shows, and passes on what the user does."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import numpy as np

from hodsim.errors import InputError
from hodsim.files import atomic
from hodsim.viewer.live.filming import Film, next_name
from hodsim.viewer.live.hand import Hand, pressed_keys
from hodsim.viewer.live.overlay import draw_overlay
from hodsim.viewer.live.panel import Event, draw_panel, free_area
from hodsim.viewer.live.picture import Picture
from hodsim.viewer.live.probe import check_window
from hodsim.viewer.live.view import Area, View, stand
from hodsim.viewer.live.world import World

if TYPE_CHECKING:
    from hodsim.viewer.live.presenter import Presenter

_TOWARDS = np.array([0.15, 1.0, -0.3])  # where the camera looks at first
_EDGE, _HEAD = 24.0, 110.0  # pixels kept free around the bodies, and above them


def run_window(
    presenter: Presenter,
    *,
    headless: bool = False,
    frames: int | None = None,
    seconds: float | None = None,
    size: tuple[int, int] = (1440, 900),
    save: str | Path | None = None,
    on_frame: Callable[[Window], None] | None = None,
) -> None:
    """Show a window until it is closed, or Ctrl-C comes. A process can show one at a time.

    Parameters
    ----------
    presenter
        What is shown, and who hears of input.
    headless
        Draw into memory: for tests and pictures.
    frames
        How many to draw at most; None for no end.
    seconds
        For how long to show it at most [s], from its first frame, which prepares what draws; None
        for no end.
    size
        Width and height [pixels].
    save
        A picture of the window at the end, png.
    on_frame
        Called after each drawn frame.

    Raises
    ------
    InputError
        There is no display, no GL or no polyscope; or `save` cannot be written.
    """
    check_window(headless=headless)
    window = Window(presenter, headless, size)
    try:
        with _interrupts() as interrupted:
            end = math.inf
            while not (interrupted.is_set() or window.closed or window.frames == frames):
                if time.monotonic() > end:
                    break
                window.draw()
                if window.frames == 1 and seconds is not None:
                    end = time.monotonic() + seconds
                if on_frame is not None:
                    on_frame(window)
            if save is not None:
                window.save_picture(Path(save))
    finally:
        window.close()


@contextmanager
def _interrupts() -> Iterator[threading.Event]:
    """An event that Ctrl-C sets, for an exception in the middle of a frame would break drawing."""
    interrupted = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield interrupted
        return

    def note(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        interrupted.set()

    before = signal.signal(signal.SIGINT, note)
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, before)


class Window:
    """The window and its hand on the bodies.

    Attributes
    ----------
    frames
        How many have been drawn.
    picture
        What was drawn last.
    """

    def __init__(self, presenter: Presenter, headless: bool, size: tuple[int, int]) -> None:
        _open(headless, size)
        self._presenter, self._world, self._hand = presenter, World(), Hand(presenter)
        self._film: Film | None = None
        self._note = ""
        self._events: list[Event] = []
        self.frames = 0
        self.picture: Picture = presenter.picture()

    def draw(self) -> None:
        """Draw one frame, then act on input."""
        import polyscope as ps

        self.picture = self._presenter.picture()
        if self._world.show(self.picture):
            self.centre()
        # Taking a picture calls this again out of turn: it only draws and notes.
        ps.set_user_callback(self._in_frame)
        ps.frame_tick()
        self.frames += 1
        events, self._events = self._events + pressed_keys(self._presenter), []
        for event in events:
            self._act(event)
        self._hand.follow(self._world, self.view)
        if self._film is not None:
            self._film.take(self._image)

    def _in_frame(self) -> None:
        view, film = self.view, "film" if self._film is None else "end film"
        draw_overlay(self.picture, view, free_area(view.size), self._world.titles, self._note)
        own = ("centre", "picture", film)
        self._events += draw_panel(self.picture, self._presenter, view.size, own)

    def _act(self, event: Event) -> None:
        """Do what the user asked for; what cannot be done becomes a note in the window."""
        kind, name, value = event
        self._note = ""
        try:
            if kind == "slider":
                self._presenter.set(name, value)
            elif kind == "menu":
                self._presenter.choose(name, value)
            elif name == "centre":
                self.centre()
            elif name == "picture":
                self.save_picture(next_name("hodsim-view", ".png", self._presenter.folder))
            elif name == "film":
                self._film = Film(next_name("hodsim-film", ".mp4", self._presenter.folder))
                self._note = f"filming {self._film.path}"
            elif name == "end film":
                self._end_film()
            else:
                self._presenter.press_button(name)
        except (InputError, OSError) as error:
            self._note = str(error)

    @property
    def view(self) -> View:
        """The camera now."""
        import polyscope as ps

        slope = math.tan(math.radians(ps.get_vertical_fov_degrees()) / 2.0)
        return View(np.asarray(ps.get_camera_view_matrix()), slope, ps.get_window_size())

    def centre(self) -> None:
        """Look at all bodies."""
        import polyscope as ps

        if not len(self._world.points):
            return
        view = self.view
        area = free_area(view.size)
        inner = Area(area.left + _EDGE, area.top + _HEAD, area.right - _EDGE, area.bottom - _EDGE)
        eye = stand(self._world.points, _TOWARDS, view.slope, view.size, inner)
        middle, forward = self._world.points.mean(axis=0), _TOWARDS / np.linalg.norm(_TOWARDS)
        ps.look_at(eye, eye + forward * ((middle - eye) @ forward))

    def save_picture(self, path: Path) -> None:
        """Write the window as a png. Raises `InputError` for a place that cannot be written."""
        from PIL import Image

        with atomic(path) as temporary:
            Image.fromarray(self._image()).save(temporary)
        self._note = f"saved {path}"

    def _image(self) -> np.ndarray:
        """RGB of the window, uint8 (height, width, 3)."""
        import polyscope as ps

        pixels = ps.screenshot_to_buffer(transparent_bg=False, include_UI=True)
        return np.ascontiguousarray(pixels[:, :, :3])

    def _end_film(self) -> None:
        if self._film is not None:
            film, self._film = self._film, None
            self._note = film.stop()

    @property
    def closed(self) -> bool:
        """Whether the user has closed it."""
        import polyscope as ps

        return bool(ps.window_requests_close())

    def close(self) -> None:
        """Let go of all, finish a film, and give the window back."""
        import polyscope as ps

        self._hand.let_go()
        self._end_film()
        for note in (self._note, self._presenter.finish()):
            if note:
                print(note)
        self._world.clear()
        ps.clear_user_callback()
        ps.set_do_default_mouse_interaction(True)


def _open(headless: bool, size: tuple[int, int]) -> None:
    import polyscope as ps
    import polyscope.imgui as psim

    ps.set_program_name("hodsim")
    ps.set_verbosity(0)
    ps.set_use_prefs_file(False)
    ps.set_allow_headless_backends(headless)
    ps.set_build_default_gui_panels(False)
    ps.set_open_imgui_window_for_user_callback(False)
    ps.set_configure_imgui_style_callback(psim.StyleColorsLight)
    ps.set_ground_plane_mode("none")
    ps.set_automatically_compute_scene_extents(False)
    ps.set_background_color((1.0, 1.0, 1.0))
    ps.set_up_dir("z_up")
    ps.set_vertical_fov_degrees(25.0)  # bodies side by side look alike
    ps.set_window_size(*size)
    if not ps.is_initialized():
        ps.init("openGL3_egl" if headless else "openGL3_glfw")
    ps.set_window_size(*size)
    ps.set_frame_tick_limit_fps_mode("ignore_limits" if headless else "block_to_hit_target")
