"""The page in headless Chromium, on a presenter without a simulation."""

from __future__ import annotations

import io
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from fakes import LABELS, FakePresenter

from hodsim.errors import InputError
from hodsim.viewer.live import browser
from hodsim.viewer.live.picture import Plot, Series
from hodsim.viewer.live.web_plots import aligned

CHROMIUM = Path("/usr/bin/chromium")
SIZE = {"width": 1440, "height": 900}
WAIT = 120.0  # s, against waiting for ever: the first picture alone may take 30 on a busy machine


def until(true: Callable[[], object], what: str) -> None:
    end = time.monotonic() + WAIT
    while not true():
        assert time.monotonic() < end, f"waited {WAIT:g} s until {what}"
        time.sleep(0.02)


@dataclass
class Served:
    """A page that is being served: its presenter, its address, and viser's server."""

    presenter: FakePresenter
    url: str
    server: Any
    thread: threading.Thread
    stop: threading.Event


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    servers, urls, ready, stop = [], [], threading.Event(), threading.Event()

    class Page(browser.Page):
        def __init__(self, server: Any, presenter: Any) -> None:
            servers.append(server)
            super().__init__(server, presenter)

    monkeypatch.setattr(browser, "Page", Page)
    presenter = FakePresenter()

    def tell(url: str) -> None:
        urls.append(url)
        ready.set()

    thread = threading.Thread(
        target=lambda: browser.serve(presenter, port=0, ready=tell, stop=stop)  # type: ignore[arg-type]
    )
    thread.start()
    assert ready.wait(WAIT)
    yield Served(presenter, urls[0], servers[0], thread, stop)
    stop.set()
    thread.join(WAIT)
    assert not thread.is_alive()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    if not CHROMIUM.exists():
        pytest.fail(f"{CHROMIUM} is missing: apt install chromium")
    graphics = ["--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
    with sync_playwright() as playwright:
        program = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", *graphics]
        )
        yield program
        program.close()


@dataclass
class Looker:
    """A browser's page, and viser's word for it."""

    page: Any
    client: Any
    requests: list[str]
    errors: list[str]

    def pixels(self) -> np.ndarray:
        """RGB of the page, (height, width, 3)."""
        from PIL import Image

        return np.asarray(Image.open(io.BytesIO(self.page.screenshot())).convert("RGB"))

    def project(self, points: np.ndarray) -> np.ndarray:
        """The pixels of the page, (..., 2), at which points [m] (..., 3) are seen."""
        camera, box = self.client.camera, self.canvas()
        w, x, y, z = camera.wxyz
        turn = np.array(
            [
                [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
                [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
                [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
            ]
        )
        eye = (points - camera.position) @ turn
        scale = box["height"] / 2.0 / np.tan(camera.fov / 2.0) / eye[..., 2:]
        middle = np.array([box["x"] + box["width"] / 2.0, box["y"] + box["height"] / 2.0])
        return np.asarray(middle + scale * eye[..., :2])

    def canvas(self) -> dict[str, float]:
        # All at once: one that goes in the meantime would be waited for.
        boxes = self.page.evaluate(
            "[...document.querySelectorAll('canvas')].map(x => x.getBoundingClientRect().toJSON())"
        )
        return dict(max(boxes, key=lambda x: x["width"] * x["height"]))

    def box(self, label: str) -> Any:
        """The text box of a slider."""
        name = self.page.get_by_text(label, exact=True)
        return name.locator("xpath=ancestor::*[.//input][1]").locator("input[type=text]").first


def look(chromium: Any, served: Served) -> Looker:
    """Open the page, and wait until the bodies are drawn and the camera stands."""
    page = chromium.new_page(viewport=SIZE)
    page.set_default_timeout(1e3 * WAIT)
    requests: list[str] = []
    errors: list[str] = []
    page.on("request", lambda x: requests.append(x.url))
    page.on("pageerror", lambda x: errors.append(str(x)))
    before = set(served.server.get_clients())
    page.goto(served.url)
    until(lambda: set(served.server.get_clients()) - before, "the page is connected")
    [new] = set(served.server.get_clients()) - before
    looker = Looker(page, served.server.get_clients()[new], requests, errors)
    last = np.inf

    def settled() -> bool:
        nonlocal last
        page.wait_for_timeout(700)
        place = np.append(looker.client.camera.position, looker.client.camera.aspect)
        same = np.allclose(place, last, rtol=1e-6)
        last = place
        return bool(same and colour_of_tip(looker, served.presenter, LABELS[-1]).min() < 200)

    until(settled, "the tip of the last body is drawn where it should be")
    return looker


def tip_of(presenter: FakePresenter, label: str) -> np.ndarray:
    """A point of a body near its tip's middle, a little inside of its outline [m]."""
    x = presenter.positions(label)
    return 0.97 * x[presenter.tip(label)] + 0.03 * presenter.offset(label)


def colour_of_tip(looker: Looker, presenter: FakePresenter, label: str) -> np.ndarray:
    """RGB (3,) of the page where a body's tip should be seen now; white where that is outside."""
    x, y = np.round(looker.project(tip_of(presenter, label))).astype(int)
    looker.page.wait_for_timeout(50)  # the page's own thread draws
    image = looker.pixels().astype(int)
    inside = 0 <= y < image.shape[0] and 0 <= x < image.shape[1]
    return image[y, x] if inside else np.full(3, 255)


def press_and_pull(looker: Looker, start: np.ndarray, ways: list[np.ndarray]) -> None:
    mouse = looker.page.mouse
    mouse.move(*start)
    looker.page.wait_for_timeout(200)
    mouse.down()
    for way in ways:
        mouse.move(*(start + way), steps=4)
        looker.page.wait_for_timeout(150)


def test_drag(chromium: Any, served: Served) -> None:
    """Take the tip, pull, let go: the presenter hears of it in order, at the cursor's place."""
    looker, presenter = look(chromium, served), served.presenter
    label = LABELS[1]
    start = looker.project(tip_of(presenter, label))
    before = looker.client.camera.position.copy()
    press_and_pull(looker, start, [np.array([10.0, -30.0]), np.array([20.0, -70.0])])
    until(lambda: presenter.named("move"), "the pull is heard of")
    by = f"web-{looker.client.client_id}"
    [(held, vertex, who)] = presenter.named("grab")
    assert (held, who) == (label, by)
    x = presenter.positions(label)
    assert np.linalg.norm(x[vertex] - x[presenter.tip(label)]) < 0.12
    assert presenter.grabbed(by) == (label, vertex)
    cursor = start + np.array([20.0, -70.0])

    def at_the_cursor() -> bool:
        looker.page.wait_for_timeout(50)
        point, who = presenter.named("move")[-1]
        # A pixel and a half: half of one for each end's rounding, and one for that of the canvas.
        return bool(who == by and np.abs(looker.project(point) - cursor).max() < 1.5)

    def arrow() -> bool:
        looker.page.wait_for_timeout(50)
        off = np.abs(looker.pixels().astype(int) - [214, 94, 0]).max(axis=2)
        return bool((off < 30).sum() > 30)

    until(at_the_cursor, "the pull is at the cursor")
    until(arrow, "the drag's arrow is seen")
    assert presenter.named("drop") == []
    looker.page.mouse.up()
    until(lambda: presenter.named("drop"), "the hand lets go")
    assert presenter.named("drop") == [(by,)]
    order = [name for name, *_ in presenter.events]
    assert order == ["grab", *["move"] * (len(order) - 2), "drop"]
    np.testing.assert_allclose(looker.client.camera.position, before, rtol=1e-6)
    assert looker.errors == []
    own = [served.url, "data:", "blob:"]
    assert [x for x in looker.requests if not x.startswith(tuple(own))] == []
    looker.page.close()


def test_all_bodies_are_in_view_in_their_colours(chromium: Any, served: Served) -> None:
    looker, presenter = look(chromium, served), served.presenter

    def in_view() -> bool:
        looker.page.wait_for_timeout(300)
        box = looker.canvas()
        low = np.array([box["x"], box["y"]])
        high = low + np.array([box["width"], box["height"]])
        seen = looker.project(np.concatenate([presenter.positions(x) for x in LABELS]))
        return bool((low < seen).all() and (seen < high).all())

    until(in_view, "all bodies are in view")
    looker.page.set_viewport_size({"width": 1100, "height": 900})
    until(lambda: looker.canvas()["width"] < 600, "the page is narrower")
    until(in_view, "all bodies are in view in a narrow page")
    for body in presenter.picture().bodies:
        # The lamp's part of the light, a quarter, is more or less than it is square to it.
        meant = 255.0 * body.colours[presenter.tip(body.label)]

        def coloured(body: Any = body, meant: np.ndarray = meant) -> bool:
            return bool(np.abs(colour_of_tip(looker, presenter, body.label) - meant)[:2].max() < 50)

        until(coloured, f"{body.label} has its colour")
    looker.page.close()


def test_drag_beside_the_bodies_turns_the_camera(chromium: Any, served: Served) -> None:
    looker = look(chromium, served)
    before = looker.client.camera.position.copy()
    box = looker.canvas()
    low = np.array([box["x"] + box["width"] / 2.0, box["y"] + 0.9 * box["height"]])
    press_and_pull(looker, low, [np.array([60.0, 0.0])])
    looker.page.mouse.up()
    until(lambda: not np.allclose(looker.client.camera.position, before), "the camera moves")
    assert served.presenter.named("grab") == []
    looker.page.get_by_text("centre", exact=True).click()
    until(lambda: np.allclose(looker.client.camera.position, before, rtol=1e-3), "it is back")
    looker.page.close()


def test_who_leaves_lets_go(chromium: Any, served: Served) -> None:
    looker, presenter = look(chromium, served), served.presenter
    start = looker.project(tip_of(presenter, LABELS[0]))
    press_and_pull(looker, start, [np.array([0.0, 40.0])])
    until(lambda: presenter.named("move"), "the pull is heard of")
    looker.page.close()
    until(lambda: presenter.named("drop"), "the hand of the closed page lets go")
    assert presenter.named("drop") == [(f"web-{looker.client.client_id}",)]
    assert presenter.held == {}


def test_two_lookers_share_sliders_and_hands(chromium: Any, served: Served) -> None:
    first, second = look(chromium, served), look(chromium, served)
    presenter = served.presenter
    first.box("mass [1/s]").fill("3.5")
    until(lambda: presenter.values["damping mass"] == 3.5, "the slider is heard of")
    until(
        lambda: second.page.wait_for_timeout(50) or second.box("mass [1/s]").input_value() == "3.5",
        "the second page shows what the first has set",
    )
    assert set(presenter.named("set")) <= {("damping mass", x) for x in (0.5, 3.0, 3.5)}
    for looker, label in ((first, LABELS[0]), (second, LABELS[2])):
        start = looker.project(tip_of(presenter, label))
        press_and_pull(looker, start, [np.array([0.0, -40.0])])
    until(lambda: len(presenter.held) == 2, "both hold a body")
    hands = {f"web-{x.client.client_id}": y for x, y in ((first, LABELS[0]), (second, LABELS[2]))}
    assert {by: held[0] for by, held in presenter.held.items()} == hands
    for looker in (first, second):
        looker.page.mouse.up()
    until(lambda: not presenter.held, "both let go")
    for looker in (first, second):
        looker.page.close()


def test_controls_follow_the_program_in_silence(chromium: Any, served: Served) -> None:
    """Values that the program sets are shown, and do not come back as if a user had set them."""
    looker, presenter = look(chromium, served), served.presenter
    box = looker.box("q1")
    for value, shown in ((0.123456, "0.12"), (-0.777777, "-0.78"), (5.0, "1")):
        presenter.values["q1"] = value
        until(
            lambda shown=shown: looker.page.wait_for_timeout(50) or box.input_value() == shown,
            f"{shown} is shown",
        )
    presenter.values["stiffness"] = 345.0
    presenter.chosen["scene"] = "twist"
    presenter.playing = False
    presenter.note = "<b>held</b> & heard"
    for text in ("stiffness [N/m]: 345", "play", "<b>held</b> & heard"):
        looker.page.get_by_text(text, exact=True).wait_for(timeout=1e3 * WAIT)
    looker.page.wait_for_timeout(500)
    assert presenter.events == []
    looker.page.get_by_text("play", exact=True).click()
    until(lambda: presenter.playing, "the button is heard of")
    looker.page.get_by_text("pause", exact=True).wait_for(timeout=1e3 * WAIT)
    assert presenter.events == [("press_button", "play")]
    looker.page.close()


def test_bodies_come_and_go(chromium: Any, served: Served) -> None:
    looker, presenter = look(chromium, served), served.presenter
    before = looker.client.camera.position.copy()
    presenter.labels = LABELS[:1]
    presenter.chosen["body 1"] = "another"  # one that is in no list
    until(lambda: not np.allclose(looker.client.camera.position, before), "the camera comes near")
    assert served.thread.is_alive()
    until(lambda: colour_of_tip(looker, presenter, LABELS[0]).min() < 200, "the body left is drawn")
    assert looker.errors == []
    looker.page.close()


@pytest.mark.parametrize(("width", "height"), [(0, 900), (1440, 0)])
def test_a_page_without_room_for_the_scene_ends_nothing(
    served: Served, width: int, height: int
) -> None:
    class Camera:
        position, image_width, image_height = np.zeros(3), width, height

        @property
        def aspect(self) -> float:
            return width / height

    client = SimpleNamespace(client_id=99, camera=Camera())
    page = browser.Page(served.server, served.presenter)
    page._stands[99] = (np.zeros(3),)
    page._fit(client)
    page._centre(client)


def test_what_cannot_be_done_is_said(chromium: Any, served: Served) -> None:
    def refuse(name: str) -> None:
        raise InputError(f"{name}: not today")

    looker = look(chromium, served)
    served.presenter.press_button = refuse  # type: ignore[method-assign]
    looker.page.get_by_text("reset", exact=True).click()
    looker.page.get_by_text("reset: not today", exact=True).wait_for(timeout=1e3 * WAIT)
    assert served.thread.is_alive()
    looker.page.close()


def test_no_tunnel(served: Served) -> None:
    assert served.server.request_share_url() is None


def test_taken_port_is_an_error() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(InputError, match=f"127.0.0.1:{port}.*in use.*--port"):
            browser.serve(FakePresenter(), port=port)  # type: ignore[arg-type]


@pytest.mark.parametrize(("host", "port"), [("127.0.0.1", 70000), ("no.such.host.invalid", 0)])
def test_bad_addresses(host: str, port: int) -> None:
    with pytest.raises(InputError, match="expected"):
        browser.serve(FakePresenter(), host=host, port=port)  # type: ignore[arg-type]


def test_without_viser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "viser", None)
    with pytest.raises(InputError, match=r"viser is not installed; pip install 'hodsim\[web\]'"):
        browser.serve(FakePresenter())  # type: ignore[arg-type]


def test_lines_of_a_plot_share_their_times() -> None:
    slow = Series("slow", np.array([0.0, 0.2]), np.array([1.0, 2.0]))
    fast = Series("fast", np.array([0.0, 0.1, 0.2, 0.3]), np.array([5.0, 6.0, 7.0, 8.0]))
    t, one, two = aligned(Plot("energy [J]", (slow, fast)))
    np.testing.assert_array_equal(t, fast.x)
    np.testing.assert_array_equal(one, [1.0, np.nan, 2.0, np.nan])
    np.testing.assert_array_equal(two, fast.y)
    nothing = Series("none", np.zeros(0), np.zeros(0))
    t, one = aligned(Plot("energy [J]", (nothing,)))
    assert len(t) == len(one) == 1
    assert np.isnan(one[0])
