"""Cells: what is compared, what is left out, and what a folder keeps of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from homes import make_home, variant
from small import SCENE

import hodsim
from hodsim import beam, write_mesh
from hodsim.cli.compared import thorough
from hodsim.comparison import Cell, Store, cases_of, cells_of, library, play, run_cells, study
from hodsim.comparison.library import Library
from hodsim.dynamics import Spec, parse_specs
from hodsim.errors import InputError
from hodsim.networks import HoDNet, Shape, save_network
from hodsim.scene import Region, Scene, read_scene
from hodsim.subspaces import Peer, load_model, save_peer


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return make_home(tmp_path_factory.mktemp("home"))


def cells_for(scenes: Sequence[Scene], names: str = "pca-2,hod-2") -> tuple[list[Cell], list[str]]:
    def folder_of(scene: Scene) -> Path:
        if scene.model is None:
            raise InputError("no model")
        return scene.model

    return cells_of(cases_of(scenes), folder_of, lambda model: parse_specs(names))


def test_a_tag_that_names_other_vertices_is_another_cell(tmp_path: Path) -> None:
    """The mesh's digest knows nothing of tags, but a load on one moves what the tag names."""
    mesh = beam((3, 1, 1), (0.6, 0.2, 0.2))

    def key(tip: float) -> str:
        chosen = np.flatnonzero(mesh.vertices[:, 0] > tip)
        write_mesh(replace(mesh, tags={"tip": chosen}), tmp_path / "bar.vtu")
        path = tmp_path / "tagged.toml"
        head, _, rest = SCENE.partition("[mesh]")
        path.write_text(
            f'{head}[mesh]\nfile = "bar.vtu"\n[material]{rest.partition("[material]")[2]}'
        )
        scene = read_scene(path)
        load = replace(scene.loads[0], region=Region("tag", tag="tip"))
        (case,) = cases_of([replace(scene, loads=(load,))])
        return Library().key(case, Spec("full"), tmp_path)

    assert key(0.5) == key(0.5)
    assert key(0.5) != key(0.3)


def test_full_space_first_and_labels_in_order(scene: Scene) -> None:
    cells, told = cells_for([scene])
    assert [cell.spec.label for cell in cells] == ["full", "pca-2", "hod-2"]
    assert told == []
    assert len({cell.key for cell in cells}) == 3


def test_a_case_given_twice_counts_once_and_namesakes_do_not_collide(
    scene: Scene, tmp_path: Path
) -> None:
    namesake = variant(scene, "small", 5.0)
    cells, _ = cells_for([scene, scene, namesake], "pca-2")
    assert [cell.case.scene.loads[0].values[1][1] for cell in cells] == [4.0, 4.0, 5.0, 5.0]
    assert len({cell.name for cell in cells}) == 4
    runs = run_cells(cells, Store(tmp_path))
    assert [run.scene for run in runs] == ["small"] * 4
    assert run_cells(cells, Store(tmp_path)) == runs
    assert runs[1].tip_position_error != runs[3].tip_position_error


def test_other_bodies_are_left_out_or_told_apart(scene: Scene, tmp_path: Path) -> None:
    heavier = replace(scene, name="heavy", material=replace(scene.material, density=900.0))
    homeless = replace(scene, name="homeless", model=tmp_path / "none")
    cells, told = cells_for([heavier, scene, homeless])
    assert {cell.case.scene.name for cell in cells} == {"small"}
    assert len(told) == 2
    assert told[0].startswith("heavy: left out: model: expected one trained for this body")
    assert "different material" in told[0]
    assert told[1].startswith("homeless: left out:")
    with pytest.raises(InputError, match="different material"):
        cells_for([heavier])
    # A model of its own, and it is another body in the report.
    model = load_model(scene.model)
    own = tmp_path / "model"
    shutil.copytree(scene.model, own)
    origin = {**model.card["origin"], "material": {**model.card["origin"]["material"]}}
    origin["material"]["density"] = 900.0
    save_network(own, model.network, {**model.card, "origin": origin})
    cells, told = cells_for([scene, replace(heavier, model=own)], "pca-2")
    assert [cell.body for cell in cells] == ["beam-3x1x1"] * 2 + ["beam-3x1x1 (2)"] * 2
    assert [run.body for run in run_cells(cells)] == [cell.body for cell in cells]
    assert len(told) == 1
    assert "several bodies" in told[0]


def test_a_rank_that_the_model_lacks_is_a_run_that_failed(scene: Scene) -> None:
    cells, told = cells_for([scene], "pca-2,pca-9")
    assert told == ["beam-3x1x1: pca-9: rank: expected 1 to 4 for pca, given 9"]
    runs = run_cells(cells)
    assert [run.label for run in runs] == ["full", "pca-2", "pca-9"]
    assert [run.converged for run in runs] == [True, True, False]
    assert runs[2].failure == "rank: expected 1 to 4 for pca, given 9"
    with pytest.raises(InputError, match="expected 1 to 4"):
        cells_for([scene], "pca-9")


def test_the_key_follows_the_files(scene: Scene, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(scene.model, folder)
    moved = replace(scene, model=folder)

    def keys() -> list[str]:
        return [cell.key for cell in cells_for([moved])[0]]

    # Where the same files lie does not matter.
    before = keys()
    assert before == [cell.key for cell in cells_for([scene])[0]]
    model = load_model(folder)
    save_network(folder, model.network, {**model.card, "note": "trained longer"})
    after = keys()
    assert after[0] == before[0]
    assert after[1] != before[1]
    assert after[2] != before[2]


def test_the_key_follows_the_code(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = [cell.key for cell in cells_for([scene])[0]]
    monkeypatch.setattr(library, "_CODE", "edited")
    after = [cell.key for cell in cells_for([scene])[0]]
    assert all(a != b for a, b in zip(after, before, strict=True))
    # Python and native sources count; rooms that decide no run do not.
    home = tmp_path / "hodsim"
    shutil.copytree(Path(hodsim.__file__).parent, home)
    whole = library._code(home)
    for name, counts in (
        ("dynamics/newton.py", True),
        ("kernels/block/solve.h", True),
        ("cli/compare.py", False),
        ("viewer/sheet.py", False),
        ("training/fit.py", False),
    ):
        text = (home / name).read_text()
        (home / name).write_text(text + "\n")
        assert (library._code(home) != whole) == counts, name
        (home / name).write_text(text)


@pytest.mark.parametrize("damage", [{"poses"}, {"options"}, set()])
def test_a_peer_fitted_otherwise_than_the_model_is_told(
    scene: Scene, tmp_path: Path, damage: set[str]
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(scene.model, folder)
    model = load_model(folder)
    fit = {"rank": 2, "epochs": 40, "rate": 0.01}
    own = {"poses": {"trained_on": 99, "sha256": "a"}, "options": {"fit": fit}}
    save_network(folder, model.network, model.card | own)
    facts = {"poses": own["poses"], "options": fit | {"rank": 3, "design": "hod"}}
    if "poses" in damage:
        facts["poses"] = {"trained_on": 99, "sha256": "b"}
    if "options" in damage:
        facts["options"] |= {"epochs": 7}
    network = HoDNet(Shape(model.network.shape.n_dofs, 3, (5,), (5,), 6)).double()
    save_peer(folder, model.card["origin"], Peer("hod", 3, network, {"seconds": 1.0} | facts))
    # Left behind by a training of another rank: the model has its own, and it plays no part.
    (folder / "peers" / "hod-2").mkdir()
    (folder / "peers" / "hod-2" / "model.json").write_text("{")
    cells, told = cells_for([replace(scene, model=folder)], "hod-2,hod-3")
    assert told == []
    wanted = {
        "poses": "fitted to other poses than the model (99 as well)",
        "options": "fitted with other options than the model (epochs 7, the model 40)",
    }
    assert [cell.unlike for cell in cells[:2]] == [None, None]
    assert [cells[2].unlike] == ([wanted[name] for name in damage] or [None])
    assert [cell.refusal for cell in cells] == [None] * 3


def test_a_damaged_basis_refuses_its_own_and_the_rest_goes_on(scene: Scene, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(scene.model, folder)
    (folder / "peers").mkdir()
    (folder / "peers" / "modal.safetensors").write_bytes(b"no")
    specs_of = thorough(["incremental"], False)
    moved = replace(scene, model=folder)
    cells, told = cells_of(cases_of([moved]), lambda scene: scene.model, specs_of)
    labels = {c.spec.label: c.refusal for c in cells}
    assert {"hod-2", "pca-2", "quadratic-2", "modal-2"} <= set(labels)
    assert [k for k, why in labels.items() if why] == [k for k in labels if k.startswith("modal")]
    assert all("modal.safetensors: expected bases of hodsim" in line for line in told)


def test_a_fault_in_one_case_is_told_and_the_others_go_on(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = variant(scene, "pull", 5.0)
    cells, _ = cells_for([scene, replace(other, model=scene.model)], "pca-2,hod-2")
    sound = study.play

    def faulty(scene: Scene, *more: Any, **options: Any) -> Any:
        if scene.name == "small":
            raise MemoryError("no room")
        return sound(scene, *more, **options)

    monkeypatch.setattr(study, "play", faulty)
    runs = run_cells(cells, Store(tmp_path / "cells"))
    assert [run.converged for run in runs] == [False] * 3 + [True] * 3
    assert {run.failure for run in runs[:3]} == {"MemoryError: no room"}
    monkeypatch.undo()
    assert all(run.converged for run in run_cells(cells, Store(tmp_path / "cells")))


@pytest.mark.parametrize("content", ["[]", "7", '{"key": "KEY", "run": []}', "[" * 9999, "{"])
def test_what_is_no_run_is_made_again(scene: Scene, tmp_path: Path, content: str) -> None:
    cells, _ = cells_for([scene], "pca-2")
    store = Store(tmp_path)
    text = content.replace("KEY", cells[1].key)
    (tmp_path / f"{cells[1].name}.json").write_text(text)
    assert store.read(cells[1]) is None
    assert store.commit_of(cells[1]) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("tip_position_error", "x"),
        ("tip_position_error", float("nan")),
        ("steps", None),
        ("steps", 1.5),
        ("converged", "no"),
        ("converged", 1),
        ("terms", [[1]]),
        ("rank", True),
        ("no_such", 1),
    ],
)
def test_a_stored_run_of_other_types_is_none(
    scene: Scene, tmp_path: Path, name: str, value: object
) -> None:
    cells, _ = cells_for([scene], "pca-2")
    store = Store(tmp_path)
    (run,) = run_cells(cells[1:], store)
    assert store.read(cells[1]) == replace(run, body=store.read(cells[1]).body)
    path = tmp_path / f"{cells[1].name}.json"
    told = json.loads(path.read_text())
    told["run"][name] = value
    path.write_text(json.dumps(told))
    assert store.read(cells[1]) is None


def test_a_file_that_cannot_be_read_refuses_its_own(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Path.read_bytes

    def refused(path: Path) -> bytes:
        if path.name == "rivals.safetensors":
            raise PermissionError(13, "Permission denied")
        return whole(path)

    monkeypatch.setattr(Path, "read_bytes", refused)
    with pytest.raises(InputError, match=r"rivals.safetensors: cannot read it \(Permission denied"):
        cells_for([scene])


def test_runs_are_kept_and_only_the_missing_are_made(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[tuple[str, tuple[str, ...]]] = []
    run_task = study.run_task

    def watched(task: study.Task, *rest: object) -> study.Outcome:
        made.append((task.case.scene.name, tuple(spec.label for spec in task.specs)))
        return run_task(task, *rest)

    monkeypatch.setattr(study, "run_task", watched)
    store = Store(tmp_path / "cells", "abc")
    two = [scene, variant(scene, "pull/2", 3.0)]
    first = run_cells(cells_for(two, "pca-2")[0], store)
    assert made == [("small", ("full", "pca-2")), ("pull/2", ("full", "pca-2"))]
    made.clear()
    cells, _ = cells_for(two, "pca-2,hod-2")
    runs = run_cells(cells, store)
    assert made == [("small", ("hod-2",)), ("pull/2", ("hod-2",))]
    assert runs[:2] + runs[3:5] == first
    made.clear()
    assert run_cells(cells, store) == runs
    assert made == []
    # A file cut short, or of another cell, is as good as none.
    victim = store.folder / f"{cells[4].name}.json"
    victim.write_text(victim.read_text()[:100])
    told = json.loads((store.folder / f"{cells[5].name}.json").read_text())
    (store.folder / f"{cells[5].name}.json").write_text(json.dumps({**told, "key": "0" * 64}))
    again = run_cells(cells, store)
    assert made == [("pull/2", ("pca-2", "hod-2"))]
    assert [r.tip_position_error for r in again] == [r.tip_position_error for r in runs]
    assert store.commit_of(cells[4]) == "abc"


def test_a_stopped_comparison_leaves_whole_files_and_goes_on(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells, _ = cells_for([variant(scene, f"pull-{k}", k) for k in (1, 2, 3)])
    plain = run_cells(cells)
    run_task, calls = study.run_task, iter(range(9))

    def stopping(task: study.Task, *rest: object) -> study.Outcome:
        if next(calls) == 1:
            raise KeyboardInterrupt
        return run_task(task, *rest)

    monkeypatch.setattr(study, "run_task", stopping)
    store = Store(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        run_cells(cells, store)
    kept = [store.read(cell) for cell in cells]
    assert [run is not None for run in kept] == [True] * 3 + [False] * 6
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".json"] * 3 + [".safetensors"] * 2
    runs = run_cells(cells, store)
    assert runs[0] == replace(kept[0], body=cells[0].body)
    assert [r.tip_position_error for r in runs] == [r.tip_position_error for r in plain]


def test_the_worst_frames_are_those_of_the_motions(scene: Scene, tmp_path: Path) -> None:
    cells, _ = cells_for([scene], "pca-2,pca-3,hod-2")
    store = Store(tmp_path)
    run_cells(cells, store)
    p = play(scene, load_model(scene.model), [Spec("pca", 2), Spec("hod", 2)])
    assert [store.worst(cell) is not None for cell in cells] == [False, True, False, True]
    for cell in (cells[1], cells[3]):
        worst, error = store.worst(cell), p.tip_error(cell.spec.label)
        assert worst.frame == np.argmax(error)
        assert worst.error == pytest.approx(error.max(), rel=1e-5)
        for name, positions in (("full", worst.full), (cell.spec.label, worst.reduced)):
            assert positions.dtype == np.float32
            assert positions == pytest.approx(p.positions(name, [worst.frame])[0], abs=1e-6)


def test_other_files_than_at_the_start_are_refused_and_the_rest_goes_on(scene: Scene) -> None:
    cells, _ = cells_for([scene], "pca-2,hod-2")
    specs = tuple(cell.spec for cell in cells)
    keys = (cells[0].key, "0" * 64, cells[2].key)
    full, changed, same = study.run_task(study.Task(cells[0].case, scene.model, specs, keys)).runs
    assert full.converged
    assert same.converged
    assert "expected the mesh, model and hodsim with which the comparison" in changed.failure
    gone = study.Task(cells[0].case, scene.model / "gone", specs, keys)
    outcome = study.run_task(gone)
    assert [run.converged for run in outcome.runs] == [False] * 3
    assert outcome.worst == {}
