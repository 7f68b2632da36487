"""A model's page: what it tells, what it keeps to itself, and a stranger's card on it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from homes import make_home
from small import SCENE, Run

from hodsim import InputError, load_model, read_scene
from hodsim.fem import make_mesh
from hodsim.files import data_dir
from hodsim.scene import Scene
from hodsim.subspaces import Model, save_model
from hodsim.training import PAGE, page_of, write_page
from hodsim.training.page import facts_of

SECTIONS = ["Body", "Data", "Training", "Accuracy", "Limits", "Licence"]


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return make_home(tmp_path)


def with_card(folder: Path, **changes: Any) -> Model:
    """The model again with these things in its card."""
    model = load_model(folder)
    save_model(folder, replace(model, card={**model.card, **changes}))
    return load_model(folder)


def titles(page: str) -> list[str]:
    return [line[3:] for line in page.splitlines() if line.startswith("## ")]


def rows(page: str) -> dict[str, str]:
    """First and second column of all its tables."""
    cells = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("|")]
    return {row[0]: row[1] for row in cells if len(row) > 1}


@pytest.mark.parametrize("name", ["beam", "arm", "torus", "starfish", "pierced"])
def test_shipped_pages_are_those_of_their_cards(name: str) -> None:
    folder = data_dir("trained_models") / name
    text = (folder / PAGE).read_text(encoding="utf-8")
    place = data_dir("scenes") / ("" if name == "beam" else name)
    scenes = [read_scene(place / f"{load}.toml") for load in ("bend", "twist", "swing")]
    assert text == page_of(load_model(folder), scenes, "As the project's: MIT.")
    assert titles(text) == SECTIONS


def test_what_it_tells(scene: Scene, tmp_path: Path) -> None:
    model = with_card(
        tmp_path / "model",
        scenes=["small"],
        trajectories_of_each_scene=12,
        poses={"trained_on": 300, "held_out": 25},
        reconstruction_error={"trained_on": 0.01, "held_out": 0.0234, "held_out_by_scene": {}},
        pca_reconstruction_error={"2": 0.5, "3": 0.25, "10": 0.001},
        command="hodsim train small.toml",
        seconds=12.5,
    )
    text = page_of(model, [scene])
    mesh, told = make_mesh(scene.mesh), rows(text)
    assert text.startswith("# HoD-2 of beam of the scene\n")
    assert titles(text) == SECTIONS
    assert told["vertices, tets"] == f"{mesh.n_vertices}, {mesh.n_tets}"
    assert told["extent"] == "0.6 x 0.2 x 0.2 m"
    assert told["volume"] == "0.024 m³"
    assert told["mesh, SHA-256"] == mesh.digest
    assert told["material law"] == "neo-hookean"
    assert told["Young's modulus"] == "50000 Pa"
    assert told["small"] == "force"  # the random load's row
    assert "5 to 10 N" in text
    assert "12 motions of each of the scenes small; 300 poses trained on, 25 held out" in text
    assert told["poses held out"] == "2.34 %"
    assert told["PCA-2 of the same poses, held out"] == "50 %"
    assert told["PCA-10 of the same poses, held out"] == "0.1 %"
    assert "PCA-3 of" not in text
    assert told["time to fit"] == "12.5 s"
    assert "```sh\nhodsim train small.toml\n```" in text
    assert "Not stated" in text


def test_from_the_card_alone(scene: Scene, tmp_path: Path) -> None:
    model = with_card(tmp_path / "model", **facts_of([scene]))
    assert page_of(model) == page_of(model, [scene])
    assert rows(page_of(model))["volume"] == "0.024 m³"


def test_of_what_it_does_not_know_it_is_silent(scene: Scene, tmp_path: Path) -> None:
    text = page_of(load_model(tmp_path / "model"))
    assert titles(text) == SECTIONS
    assert "None" not in text
    assert "extent" not in text
    assert "time to fit" not in text


def test_a_licence_stays(scene: Scene, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    path = write_page(folder)
    assert path == folder / PAGE
    assert "Not stated" in path.read_text()
    write_page(folder, licence="CC-BY-4.0")
    text = path.read_text()
    assert text.endswith("## Licence\n\nCC-BY-4.0\n")
    path.write_text(text.replace("CC-BY-4.0", "Ask me.\nBy post."))
    write_page(folder, [scene])
    assert path.read_text().endswith("## Licence\n\nAsk me.\nBy post.\n")
    path.write_bytes(b"\xff\xfe")
    write_page(folder)
    assert "Not stated" in path.read_text()


HUGE = 10**400  # JSON has whole numbers that no float holds
HOSTILE = "<script>x</script> [a](b) | ` \n# head"


@pytest.mark.parametrize(
    "changes",
    [
        {"scenes": [HOSTILE, 3], "command": f"```\n{HOSTILE}", "made_by": HOSTILE},
        {"scenes": 3, "poses": [], "options": HOSTILE, "versions": 7, "stopped_early": "x"},
        {"options": {"fit": 3, "seed": HOSTILE}, "poses": {"trained_on": HOSTILE}},
        {"body": {"mesh": HOSTILE, "extent": ["a"], "volume": "b"}, "loads": [3, {"kind": 1}]},
        {"body": [], "loads": [{"kind": HOSTILE, "magnitude": [1], "ramp": "x"}]},
        {"reconstruction_error": {"held_out": HOSTILE, "held_out_by_scene": {HOSTILE: 1.0}}},
        {"pca_reconstruction_error": {HOSTILE: HOSTILE, "2": None}, "licence": HOSTILE},
        {"reconstruction_error": {"held_out": HUGE}, "seconds": HUGE},
        {"body": {"extent": [HUGE] * 3, "volume": HUGE}, "loads": [{"magnitude": [HUGE, 1]}]},
    ],
)
def test_a_strangers_card_is_text(scene: Scene, tmp_path: Path, changes: dict[str, Any]) -> None:
    text = page_of(with_card(tmp_path / "model", **changes))
    assert titles(text) == SECTIONS
    outside = "".join(text.split("```")[::2])
    assert "<script>" not in outside.replace("\\<script", "")
    assert "[a](b)" not in outside
    assert not [line for line in text.splitlines() if line.startswith("# head")]


def test_another_mesh_is_refused(scene: Scene, tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text(SCENE.replace("[3, 1, 1]", "[4, 1, 1]"))
    with pytest.raises(InputError, match="expected one of the model's mesh, given another"):
        write_page(tmp_path / "model", [read_scene(other)])


def test_the_command(run: Run, scene: Scene, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    with_card(folder, scenes=["small"])
    code, out, err = run("info", "--model", folder, "--page", "--licence", "MIT")
    assert (code, err) == (0, "")
    assert out == f"wrote {folder / PAGE}\n"
    assert "volume" not in (folder / PAGE).read_text()  # its scene is not a shipped one
    code, _, _ = run("info", scene.path, "--model", folder, "--page")
    assert code == 0
    text = (folder / PAGE).read_text()
    assert rows(text)["volume"] == "0.024 m³"
    assert text.endswith("## Licence\n\nMIT\n")
    for arguments in (("--page",), ("--model", folder, "--licence", "MIT")):
        code, out, err = run("info", *arguments)
        assert (code, out) == (2, "")
        assert "given one without the other" in err
    # A cubature fitted later is told of, where body and loads are in the card.
    with_card(folder, **facts_of([scene]))
    options = ("--trajectories", 2, "--workers", 1, "--subspaces", "hod", "--tets", 4)
    code, _, err = run("cubature", scene.path, "--model", folder, *options)
    assert (code, err) == (0, "")
    assert "Its cubature evaluates" in (folder / PAGE).read_text()
    assert json.loads((folder / "model.json").read_text())["body"]["tets"] > 0
