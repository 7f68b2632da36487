"""A page in a browser, or in several: it shows what a presenter shows, and passes on input."""

from __future__ import annotations

import asyncio
import contextlib
import io
import math
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from hodsim.errors import InputError
from hodsim.viewer.live.picture import Picture
from hodsim.viewer.live.view import Area, stand
from hodsim.viewer.live.web_panel import WebPanel
from hodsim.viewer.live.web_plots import WebPlots
from hodsim.viewer.live.web_world import WebWorld

if TYPE_CHECKING:
    from hodsim.viewer.live.presenter import Presenter

_TOWARDS = np.array([0.15, 1.0, -0.3])  # where the camera looks at first
_ANGLE = 25.0  # degrees, upright: bodies side by side look alike
_PANEL, _PLOTS = 0.1, 0.2  # seconds between updates
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_STANDS = 8  # places of a camera that a browser may still speak of


def serve(
    presenter: Presenter,
    *,
    host: str = "127.0.0.1",
    port: int = 8080,
    frames_per_second: float = 30.0,
    ready: Callable[[str], None] | None = None,
    stop: threading.Event | None = None,
) -> None:
    """Show a page until Ctrl-C comes or `stop` is set. All who open it steer one simulation.

    Parameters
    ----------
    presenter
        What is shown, and who hears of input.
    host
        The address to listen at. Whoever reaches it can steer; by default this machine alone.
    port
        Where to listen; 0 for any that is free. One that is taken is an error.
    frames_per_second
        How often to draw at most.
    ready
        Called with the page's address once it can be opened.
    stop
        Ends it from another thread.

    Raises
    ------
    InputError
        viser is not installed, or the address cannot be listened at.
    """
    stop = stop or threading.Event()
    with _listening(host, port) as server:
        named = host if host in _LOOPBACK else socket.gethostname() if _is_any(host) else host
        url = f"http://{f'[{named}]' if ':' in named else named}:{server.get_port()}"
        page = Page(server, presenter)
        page.draw()
        warning = "" if host in _LOOPBACK else "; anyone who reaches this address can steer it"
        print(f"hodsim is at {url}{warning}; Ctrl-C ends it", flush=True)
        if ready is not None:
            ready(url)
        try:
            with contextlib.suppress(KeyboardInterrupt):
                while not stop.is_set():
                    begun = time.monotonic()
                    page.draw()
                    stop.wait(max(1e-3, begun + 1.0 / frames_per_second - time.monotonic()))
        finally:
            page.let_go()


class Page:
    """What all browsers show, and their hands on the bodies."""

    def __init__(self, server: Any, presenter: Presenter) -> None:
        self._server, self._presenter = server, presenter
        self._holding: set[str] = set()
        # Where each client's camera was put [m], (3,), the latest last.
        self._stands: dict[int, tuple[np.ndarray, ...]] = {}
        self._panel_due = self._plots_due = 0.0
        self._world = WebWorld(server, self._dragged)
        self._panel = WebPanel(server, presenter, self._centre)
        self._plots = WebPlots(server)
        server.initial_camera.fov = math.radians(_ANGLE)
        server.on_client_connect(self._came)
        server.on_client_disconnect(self._went)

    def draw(self) -> None:
        """Show one frame."""
        picture = self._presenter.picture()
        with self._server.atomic():
            fresh = self._world.show(picture)
        if fresh:
            self._server.initial_camera.position, self._server.initial_camera.look_at = self._view()
            for client in self._server.get_clients().values():
                self._centre(client)
        if time.monotonic() >= self._panel_due:
            loop = self._server.get_event_loop()
            asyncio.run_coroutine_threadsafe(self._follow(picture), loop).result()

    async def _follow(self, picture: Picture) -> None:
        now = time.monotonic()
        self._panel_due = now + _PANEL
        for client in self._server.get_clients().values():
            self._fit(client)
        with self._server.atomic():
            self._panel.follow(picture)
            if now >= self._plots_due:
                self._plots_due = now + _PLOTS
                self._plots.follow(picture)

    def _view(self, aspect: float = 1.2) -> tuple[np.ndarray, np.ndarray]:
        """From where all bodies are seen, and the point to look at [m], (3,) each."""
        points = self._world.points if len(self._world.points) else np.zeros((1, 3))
        size = round(1000 * aspect), 1000
        area = Area(0.03 * size[0], 30.0, 0.97 * size[0], 970.0)
        eye = stand(points, _TOWARDS, math.tan(math.radians(_ANGLE) / 2.0), size, area)
        forward = _TOWARDS / np.linalg.norm(_TOWARDS)
        return eye, eye + forward * ((points.mean(axis=0) - eye) @ forward)

    def _centre(self, client: Any) -> None:
        """Let a client look at all bodies."""
        if not _sees(client):
            return
        eye, middle = self._view(client.camera.aspect)
        before = self._stands.get(client.client_id, ())
        self._stands[client.client_id] = (*before, eye)[-_STANDS:]
        with client.atomic():
            client.camera.fov = math.radians(_ANGLE)
            client.camera.up_direction = (0.0, 0.0, 1.0)
            client.camera.position, client.camera.look_at = eye, middle

    def _fit(self, client: Any) -> None:
        """Who has not moved yet sees all bodies, also after panels came or the window changed.

        What a browser says of its camera and what it is told cross on their way: it may stand at
        any place that it was ever sent to.
        """
        if not _sees(client):
            return

        def stands_at(eye: np.ndarray) -> bool:
            return np.allclose(client.camera.position, eye, rtol=1e-4)

        sent = any(map(stands_at, self._stands.get(client.client_id, ())))
        if sent and not stands_at(self._view(client.camera.aspect)[0]):
            self._centre(client)

    async def _came(self, client: Any) -> None:
        self._stands[client.client_id] = (self._server.initial_camera.position,)
        self._centre(client)

    async def _went(self, client: Any) -> None:
        self._drop(_hand(client.client_id))
        self._stands.pop(client.client_id, None)

    async def _dragged(self, label: str, event: Any) -> None:
        """A hand pulls at a body. As a coroutine it hears of start, moves and end in order."""
        hand = _hand(event.client_id)
        if event.phase == "start":
            self._panel.act(lambda: self._grab(label, hand, event))
        if hand not in self._holding:
            return
        if event.phase == "end":
            self._drop(hand)
        else:
            self._presenter.move(np.array(event.end_position), by=hand)

    def _grab(self, label: str, hand: str, event: Any) -> None:
        vertex = self._presenter.nearest(label, np.array(event.start_position))
        if self._presenter.grab(label, vertex, by=hand):
            self._holding.add(hand)

    def _drop(self, hand: str) -> None:
        if hand in self._holding:
            self._holding.discard(hand)
            self._presenter.drop(by=hand)

    def let_go(self) -> None:
        """Release what anyone holds, and finish a recording."""
        for hand in tuple(self._holding):
            self._drop(hand)
        note = self._presenter.finish()
        if note:
            print(note, flush=True)


def _sees(client: Any) -> bool:
    """Whether a page has room for the scene: panels may cover it whole."""
    return bool(client.camera.image_width and client.camera.image_height)


def _hand(client_id: int) -> str:
    return f"web-{client_id}"


def _is_any(host: str) -> bool:
    return host in ("0.0.0.0", "::", "")  # noqa: S104


def check_browser(host: str, port: int) -> None:
    """Raise `InputError` where viser is not installed, or the address cannot be listened at."""
    try:
        import viser  # noqa: F401
    except ImportError:
        raise InputError("viser is not installed; pip install 'hodsim[web]'") from None
    _check_free(host, port)


@contextmanager
def _listening(host: str, port: int) -> Iterator[Any]:
    """A server that listens there."""
    check_browser(host, port)
    import viser

    class Server(viser.ViserServer):
        """Any page could ask for a tunnel to a public address; here none is given."""

        def request_share_url(self, verbose: bool = True) -> str | None:  # noqa: ARG002
            return None

    # viser's own words say the address in a frame, and ours say it too.
    with contextlib.redirect_stdout(io.StringIO()):
        server = Server(host=host, port=port, label="hodsim", verbose=False)
    try:
        # Taken since it was looked at: viser has then gone on to the next one.
        if port and server.get_port() != port:
            raise _taken(host, port, "address already in use")
        yield server
    finally:
        with contextlib.redirect_stdout(io.StringIO()):
            server.stop()


def _check_free(host: str, port: int) -> None:
    """viser would try a thousand ports in turn and say nothing."""
    if not 0 <= port <= 65535:
        raise InputError(f"port: expected 0 to 65535, given {port}; choose another")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen()
    except OSError as error:
        raise _taken(host, port, error.strerror or str(error)) from None


def _taken(host: str, port: int, why: str) -> InputError:
    return InputError(
        f"browser viewer: expected to listen at {host}:{port}, but: {why}; choose another --port "
        "or --host"
    )
