"""Cells of a comparison, one run each, and the folder that keeps those done."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy

from hodsim.comparison.cases import Case
from hodsim.comparison.library import Library
from hodsim.comparison.measure import Run, body_name
from hodsim.comparison.runs import FULL
from hodsim.cubature import check_law
from hodsim.dynamics import Spec
from hodsim.errors import InputError
from hodsim.files import atomic, file_name, sha256_of
from hodsim.scene import Scene
from hodsim.subspaces import Model, peer_name, unlike


@dataclass(frozen=True)
class Cell:
    """One run of a comparison: a case in full space or in a subspace.

    `folder` is the model's, `body` the name of the body in reports, `key` the digest of all that
    decides the run. `refusal` says why it cannot be made, where that is known beforehand, `unlike`
    how its subspace was fitted otherwise than the model (other poses, other options).
    """

    case: Case
    folder: Path
    spec: Spec
    body: str
    key: str
    refusal: str | None = None
    unlike: str | None = None

    @property
    def name(self) -> str:
        """What files of this run are called."""
        scene = self.case.scene
        integrator = scene.time.integrator.removeprefix("implicit-")
        told = f"{self.body}-{scene.name}-{self.case.load}-{integrator}-{self.spec.label}"
        return file_name(told, self.key)


@dataclass(frozen=True)
class Worst:
    """The frame at which a run is farthest from full space at the tip.

    `error` is the tip's there, as in `Run.error_over_time`; `full` and `reduced` are positions [m]
    of all vertices, (n_vertices, 3) float32.
    """

    frame: int
    error: float
    full: np.ndarray
    reduced: np.ndarray


def cells_of(
    cases: Iterable[Case],
    folder_of: Callable[[Scene], Path],
    specs_of: Callable[[Model], Sequence[Spec]],
    solver: str = "auto",
) -> tuple[list[Cell], list[str]]:
    """The cells of cases, each case's in the order of its specs after full space.

    A case that cannot be played, as its model is missing or of another body, is left out, and the
    second value says so, a line for each reason; a case given twice counts once. Raises
    `InputError`, one of the reasons, where nothing is left to compare.
    """
    library = Library()
    cells: list[Cell] = []
    told: dict[str, None] = {}
    left_out: dict[str, list[str]] = {}
    origins: dict[str, list[str]] = {}
    why_none = "scenes: expected some to compare in, given none"
    for case in cases:
        scene = case.scene
        try:
            folder = folder_of(scene).absolute()
            library.check(scene, folder)
        except InputError as error:
            left_out.setdefault(str(error), []).append(scene.name)
            why_none = str(error)
            continue
        name = body_name(scene.mesh)
        known, origin = origins.setdefault(name, []), library.origin(scene)
        if origin not in known:
            known.append(origin)
            if len(known) > 1:
                told[f"{name}: several bodies; {scene.name} is of {name} ({len(known)})"] = None
        number = known.index(origin)
        body = name if number == 0 else f"{name} ({number + 1})"
        model = library.model(folder)
        for spec in dict.fromkeys((FULL, *specs_of(model))):
            cell = _cell(library, case, folder, spec, body, solver)
            if cell.refusal is not None:
                why_none = cell.refusal
                told[f"{body}: {spec.label}: {cell.refusal}"] = None
            cells.append(cell)
    unique = list({(cell.key, cell.folder, cell.spec): cell for cell in cells}.values())
    if all(cell.refusal is not None for cell in unique if cell.spec != FULL):
        raise InputError(why_none)
    return unique, [*map(_left_out, left_out.items()), *told]


def _left_out(reason: tuple[str, list[str]]) -> str:
    why, names = reason
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"{names[0]}{more}: left out: {why}"


def _cell(library: Library, case: Case, folder: Path, spec: Spec, body: str, solver: str) -> Cell:
    model, why = library.model(folder), None
    try:
        if spec != FULL:
            model.subspace(spec.kind, spec.rank)
        if spec.polynomial:
            check_law(library.body(case.scene))
    except InputError as error:
        why = str(error)
    try:
        key = library.key(case, spec, folder, solver)
    except InputError as error:
        why, key = why or str(error), sha256_of([case.digest(""), str(error)])
    how = _unlike(model, spec) if why is None else None
    return Cell(case, folder, spec, body, key, why, how)


def _unlike(model: Model, spec: Spec) -> str | None:
    rank = spec.rank or model.network.shape.rank
    if spec == FULL or model.owns(spec.kind, rank):
        return None
    peer = model.peers.get(peer_name(spec.kind, rank))
    return None if peer is None else unlike(peer, model.card)


class Store:
    """A folder with a JSON file for each run done, and its worst frame beside it for some.

    Every file is written in one move, so that a comparison stopped at any time leaves whole ones.
    """

    def __init__(self, folder: str | Path, commit: str | None = None) -> None:
        self.folder = Path(folder)
        self.commit = commit

    def read(self, cell: Cell) -> Run | None:
        """The run of a cell; None where there is none of the same key, or it cannot be read."""
        try:
            told = json.loads((self.folder / f"{cell.name}.json").read_text(encoding="utf-8"))
            same = isinstance(told, dict) and told["key"] == cell.key
            return Run.from_dict(told["run"]) if same and isinstance(told["run"], dict) else None
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return None

    def write(self, cell: Cell, run: Run, worst: Worst | None = None) -> None:
        """Keep a run; the worst frame goes first, so that a run that is there has its frame."""
        if worst is not None:
            arrays = {"full": worst.full, "reduced": worst.reduced}
            facts = {"label": run.label, "scene": run.scene, "body": cell.body}
            facts |= {"frame": str(worst.frame), "error": f"{worst.error:.6g}"}
            with atomic(self.folder / f"{cell.name}.safetensors") as path:
                safetensors.numpy.save_file(arrays, path, facts)
        told = {"key": cell.key, "commit": self.commit, "run": run.to_dict()}
        with atomic(self.folder / f"{cell.name}.json") as path:
            path.write_text(json.dumps(told, allow_nan=False) + "\n", encoding="utf-8")

    def commit_of(self, cell: Cell) -> str | None:
        """The commit with which a stored run was made, where it is known."""
        try:
            told = json.loads((self.folder / f"{cell.name}.json").read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return None
        commit = told.get("commit") if isinstance(told, dict) else None
        return commit if isinstance(commit, str) else None

    def worst(self, cell: Cell) -> Worst | None:
        """The worst frame of a cell, where one is kept and can be read."""
        path = self.folder / f"{cell.name}.safetensors"
        try:
            with safetensors.safe_open(path, "np") as file:
                facts = file.metadata()
                full, reduced = (file.get_tensor(name) for name in ("full", "reduced"))
                return Worst(int(facts["frame"]), float(facts["error"]), full, reduced)
        except (OSError, ValueError, TypeError, KeyError, safetensors.SafetensorError):
            return None
