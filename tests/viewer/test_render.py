"""Pictures and films in three dimensions show what they were given, in place, size and colour."""

from __future__ import annotations

import subprocess
import sys
from itertools import combinations
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image, ImageSequence

from hodsim.errors import InputError
from hodsim.mesh import beam
from hodsim.viewer import Sheet, Shot, Solid, check_drawing, check_fps, film, film_kind, picture
from hodsim.viewer.render import Renderer, sharp_edges

MESH = beam((6, 1, 1), (1.0, 0.2, 0.2))
CLAMPED = np.flatnonzero(MESH.vertices[:, 0] < 1e-6)
BACK = np.array([0.5, MESH.vertices[:, 1].max(), MESH.vertices[:, 2].min()])  # out of sight
FRAMES = 5
WIDTH = 300
COLOUR = "distance from full space [m]"


@pytest.fixture(scope="module", autouse=True)
def _drawing() -> None:
    """Fails with a sentence that names the system package where VTK cannot draw."""
    check_drawing()


def bent(amount: float, title: str = "body", **more: object) -> Solid:
    """A beam bent downwards more and more, coloured by how far it moved."""
    x = np.repeat(MESH.vertices[None], FRAMES, axis=0)
    x[:, :, 2] -= np.linspace(0.0, amount, FRAMES)[:, None] * x[:, :, 0] ** 2
    return Solid(title, x, np.linalg.norm(x - MESH.vertices, axis=2), **more)


def shot(*solids: Solid, **more: object) -> Shot:
    times = np.linspace(0.0, 1.0, FRAMES)
    given = {"colour": "displacement [m]", "clamped": CLAMPED, **more}
    return Shot(vertices=MESH.vertices, surface=MESH.surface, times=times, solids=solids, **given)


def drawn(image: np.ndarray) -> np.ndarray:
    """Where the picture is not white."""
    return image.min(axis=2) < 250


def reddest(image: np.ndarray) -> int:
    """Largest lead of red over green: pale is below 60, the map's red end above 120."""
    colours = image.astype(int)
    return int((colours[..., 0] - colours[..., 1]).max())


def pixel_of(renderer: Renderer, point: np.ndarray) -> np.ndarray:
    """Row and column at which a point is to be seen, found by the projection alone."""
    low, high = renderer.shot.box()
    right, up = ((point @ renderer.shot.axes().T) - (low + high) / 2)[:2] * renderer.metre
    return np.array([renderer.height / 2 - up, renderer.width / 2 + right])


def nearest_of(colour: np.ndarray, image: np.ndarray, place: np.ndarray, reach: int) -> int:
    """Smallest distance in RGB from a colour within `reach` pixels of a place."""
    i, j = place.astype(int)
    part = image[max(i - reach, 0) : i + reach + 1, max(j - reach, 0) : j + reach + 1].astype(int)
    return int(np.abs(part - colour).sum(axis=2).min())


def test_a_body_stands_where_the_projection_puts_it() -> None:
    with Renderer(shot(bent(0.4), bent(0.1), outline=False, clamped=np.empty(0, int)), WIDTH) as r:
        for solid, frame in ((0, FRAMES - 1), (1, 2), (0, 0)):
            rows, columns = np.nonzero(drawn(r.draw(solid, frame)))
            places = np.array([pixel_of(r, x) for x in r.shot.solids[solid].positions[frame]])
            seen = [rows.min(), rows.max() + 1, columns.min(), columns.max() + 1]
            low, high = places.min(axis=0), places.max(axis=0)
            wanted = [low[0], high[0], low[1], high[1]]
            assert seen == pytest.approx(wanted, abs=2.0), (solid, frame)


def test_nothing_stays_of_what_was_drawn_before() -> None:
    with Renderer(shot(bent(0.4), bent(0.1), bent(0.4), outline=False), WIDTH) as r:
        first = r.draw(0, FRAMES - 1)
        other = r.draw(1, FRAMES - 1)
        assert (first != other).any(axis=2).mean() > 0.05
        assert np.array_equal(r.draw(2, FRAMES - 1), first)
        assert not np.array_equal(r.draw(0, 1), first)


def test_colour_is_by_value() -> None:
    still = Solid("still", bent(0.4).positions, np.zeros((FRAMES, MESH.n_vertices)))
    with Renderer(shot(bent(0.4), still, outline=False), WIDTH) as r:
        assert reddest(r.draw(0, FRAMES - 1)) > 120
        assert reddest(r.draw(0, 0)) < 60
        assert reddest(r.draw(1, FRAMES - 1)) < 60


def test_outline_is_the_first_bodys_over_the_others() -> None:
    blue = np.array([0x00, 0x5F, 0x9E])
    corner = int(np.argmin(MESH.vertices @ [-1.0, 0.0, 1.0]))  # of the tip, lowest
    with Renderer(shot(bent(0.5), bent(0.0)), WIDTH) as r:
        place = pixel_of(r, r.shot.solids[0].positions[-1, corner])
        assert nearest_of(blue, r.draw(1, FRAMES - 1), place, 3) < 60
        assert nearest_of(blue, r.draw(0, FRAMES - 1), place, 3) > 120
        # Also where the body itself hides them, as the lower edge at its back.
        hidden = pixel_of(r, BACK)
        assert nearest_of(blue, r.draw(1, 0), hidden, 3) < 60
    with Renderer(shot(bent(0.5), bent(0.0), outline=False), WIDTH) as r:
        assert nearest_of(blue, r.draw(1, FRAMES - 1), place, 3) > 120


def test_arrows_come_and_go() -> None:
    arrow = np.array([[[0.5, 0.0, 0.3], [0.5, 0.0, 0.6]]])
    arrows = (np.empty((0, 2, 3)), arrow, np.concatenate([arrow, arrow + 0.2]), arrow, 0 * arrow)
    green = np.array([0x00, 0x9E, 0x73])
    seen = []
    with Renderer(shot(bent(0.2, arrows=arrows)), WIDTH) as r:
        for frame in range(FRAMES):
            image = r.draw(0, frame)
            seen.append(int((image[..., 1].astype(int) - image[..., 0] > 60).sum()))
        tail = pixel_of(r, arrow[0].mean(axis=0))
        assert nearest_of(green, r.draw(0, 1), tail, 2) < 100
    assert seen[0] == seen[4] == 0
    assert seen[1] > 50
    assert seen[3] == seen[1]
    assert seen[2] > 1.5 * seen[1]


def test_clamped_vertices_are_marked() -> None:
    corner = int(np.argmin(MESH.vertices @ [9.0, 1.0, -1.0]))  # of the clamped end, in sight
    black = np.array([0x20, 0x20, 0x20])
    for clamped, marked in ((CLAMPED, True), (np.empty(0, int), False)):
        with Renderer(shot(bent(0.2), clamped=clamped), WIDTH) as r:
            image = r.draw(0, 2)
            i, j = pixel_of(r, MESH.vertices[corner]).astype(int)
            dark = (np.abs(image[i - 3 : i + 4, j - 3 : j + 4].astype(int) - black) < 50).all(
                axis=2
            )
            assert (dark.sum() >= 8) == marked


def test_sharp_edges_are_those_of_the_box() -> None:
    edges = sharp_edges(MESH.vertices, MESH.surface)
    assert len(edges) == 4 * (6 + 1 + 1)
    middle = MESH.vertices[edges].mean(axis=1)
    on_face = np.isclose(middle, MESH.vertices.min(axis=0)) | np.isclose(
        middle, MESH.vertices.max(axis=0)
    )
    assert (on_face.sum(axis=1) == 2).all()


def test_a_ball_has_no_sharp_edges_and_is_drawn() -> None:
    import pyvista

    ball = pyvista.Sphere()
    vertices, surface = np.asarray(ball.points, float), ball.faces.reshape(-1, 4)[:, 1:]
    assert len(sharp_edges(vertices, surface)) == 0
    solid = Solid("ball", vertices[None], np.zeros((1, len(vertices))))
    one = Shot(vertices, surface, np.empty(0, int), np.zeros(1), (solid, solid), "nothing [1]")
    with Renderer(one, WIDTH) as r:
        assert drawn(r.draw(1, 0)).mean() > 0.5


# Layout


@pytest.mark.parametrize("n", [1, 3, 6])
def test_texts_are_there_inside_and_apart(n: int) -> None:
    titles = [f"quadratic-{k} of a long name" for k in range(n)]
    note = "6 coordinates, tip 123.4 mm off, and stopped at 1.23 s"
    with Sheet(shot(*(bent(0.3, title, note=note) for title in titles), colour=COLOUR)) as sheet:
        image = sheet.draw(FRAMES - 1)
        figure = sheet.figure
        assert image.shape == (sheet.height, sheet.width, 3)
        assert sheet.height % 2 == sheet.width % 2 == 0
        texts = {text.get_text(): text.get_window_extent() for text in figure.texts}
        assert {*titles, note, "t = 1.00 s"} <= set(texts)
        assert figure.axes[0].get_ylabel().replace("\n", " ") == COLOUR
        every = [t.get_window_extent() for t in figure.texts if t.get_text()]
        for box in every:
            assert box.x0 >= 0
            assert box.y0 >= 0
            assert box.x1 <= sheet.width
            assert box.y1 <= sheet.height
        assert not any(a.overlaps(b) for a, b in combinations(every, 2))
        bar = figure.axes[0].get_tightbbox()
        assert bar.x1 <= sheet.width
        assert 0 <= bar.y0 < bar.y1 <= sheet.height
        # The scale's length in pixels is what it says.
        (line,) = figure.artists
        (said,) = [t for t in texts if t.endswith(" m")]
        length = np.ptp(line.get_xdata()) * sheet.width
        assert length == pytest.approx(float(said.split()[0]) * sheet.metre)


def test_picture_has_every_body(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "side.png"
    picture(path, shot(bent(0.4, "a"), bent(0.1, "b"), bent(0.3, "c")), FRAMES - 1)
    image = np.asarray(Image.open(path))
    for k in range(3):
        panel = image[60:-60, 480 * k + 5 : 480 * (k + 1) - 5]
        assert 0.02 < drawn(panel).mean() < 0.9
    assert list(path.parent.iterdir()) == [path]


# Films


def test_mp4_decodes_with_every_frame(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    told: list[tuple[int, int]] = []
    film(path, shot(bent(0.4, "a"), bent(0.1, "b")), 10.0, lambda *at: told.append(at))
    assert told == [(k + 1, FRAMES) for k in range(FRAMES)]
    reader = imageio_ffmpeg.read_frames(str(path))
    about = next(reader)
    width, height = about["size"]
    assert about["pix_fmt"].startswith("yuv420p")
    assert about["codec"] == "h264"
    assert about["fps"] == 10.0
    frames = [np.frombuffer(frame, np.uint8).reshape(height, width, 3) for frame in reader]
    assert len(frames) == FRAMES
    with Sheet(shot(bent(0.4, "a"), bent(0.1, "b"))) as sheet:
        assert (width, height) == (sheet.width, sheet.height)
        for k, frame in enumerate(frames):
            off = [np.abs(frame.astype(int) - sheet.draw(j)).mean() for j in range(FRAMES)]
            assert np.argmin(off) == k
            assert off[k] < 4.0
    assert list(tmp_path.iterdir()) == [path]


def test_gif_moves_with_one_palette(tmp_path: Path) -> None:
    path = tmp_path / "film.gif"
    arrow = np.array([[[0.5, 0.0, 0.3], [0.5, 0.0, 0.6]]])
    arrows = tuple(arrow if k == 1 else np.empty((0, 2, 3)) for k in range(FRAMES))
    given = shot(bent(0.4, "a", arrows=arrows), bent(0.1, "b"))
    film(path, given, 8.0)
    with Image.open(path) as found:
        assert found.n_frames == FRAMES
        assert found.info["duration"] == 120  # 125 ms in whole hundredths
        assert found.info["loop"] == 0
        frames = [np.asarray(f.convert("RGB")) for f in ImageSequence.Iterator(found)]
    used = np.unique(np.concatenate([f.reshape(-1, 3) for f in frames]), axis=0)
    assert 50 < len(used) <= 256
    for k, frame in enumerate(frames):
        assert drawn(frame).mean() > 0.05
        assert k == 0 or not np.array_equal(frame, frames[k - 1])
        assert (frame[:3] == 255).all()
        red, green, blue = np.moveaxis(frame.astype(int), 2, 0)
        assert (((green - red > 60) & (green > blue)).sum() > 50) == (k == 1)
    with Sheet(given, 960) as sheet:
        assert np.abs(frames[1].astype(int) - sheet.draw(1)).mean() < 2.0


@pytest.mark.parametrize("name", ["film.mp4", "film.gif"])
def test_stopped_film_leaves_what_was_there(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"before")

    def stop(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        film(path, shot(bent(0.4)), progress=stop)
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


# What cannot be drawn


def test_names_and_rates_are_checked(tmp_path: Path) -> None:
    assert film_kind(Path("A.MP4")) == film_kind(Path("a.gif")) == "film"
    assert film_kind(Path("a.png")) == "picture"
    for name in ("a.avi", "a", "a.mp4.gz"):
        with pytest.raises(InputError, match=r"expected a name ending in \.mp4, \.gif, \.png"):
            film_kind(Path(name))
    with pytest.raises(InputError, match=r"ending in \.png"):
        picture(tmp_path / "a.mp4", shot(bent(0.1)))
    with pytest.raises(InputError, match=r"ending in \.mp4 or \.gif"):
        film(tmp_path / "a.png", shot(bent(0.1)))
    for fps in (0.0, -1.0, 1e9, float("nan")):
        with pytest.raises(InputError, match="expected 1 to 100 frames a second"):
            check_fps(fps)
    assert not list(tmp_path.iterdir())


def test_shots_are_checked() -> None:
    good = bent(0.1)
    holed = good.positions.copy()
    holed[1, 2, 0] = np.nan
    for solids, more, told in (
        ((), {}, "at least one body"),
        ((Solid("a", good.positions[1:], good.values),), {}, "a: expected 5 frames of"),
        ((Solid("a", good.positions, good.values[:, 1:]),), {}, "values of"),
        ((Solid("a", good.positions, good.values, arrows=(np.empty((0, 2, 3)),)),), {}, "arrows"),
        ((Solid("a", holed, good.values),), {}, "finite"),
        ((good,), {"elevation": 90.0}, "elevation"),
    ):
        with pytest.raises(InputError, match=told):
            shot(*solids, **more)


def test_importing_the_viewer_loads_no_pyvista() -> None:
    code = "import sys, hodsim.viewer; print({'pyvista', 'vtkmodules', 'PIL'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
