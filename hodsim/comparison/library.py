"""The files that cases are played from: each is read once, and known by its digest."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import hodsim
from hodsim.comparison.cases import Case
from hodsim.cubature import Cubature, Scheme, load_schemes
from hodsim.dynamics import Spec
from hodsim.errors import InputError
from hodsim.fem import Body, Loads, body_of
from hodsim.files import sha256_of
from hodsim.scene import Scene
from hodsim.snapshots import origin_of
from hodsim.subspaces import Model, load_model

T = TypeVar("T")
# Of a model's folder, what decides the subspaces that training itself leaves.
_FILES = ("model.json", "weights.safetensors", "rivals.safetensors")
# Rooms that show what came out, or have no part in it: a change there makes no other run.
_APART = ("cli", "viewer", "learning", "optimizers", "training", "sampling")


class Library:
    """Bodies, models and cubatures by where they come from. Methods raise `InputError`."""

    def __init__(self) -> None:
        self._read: dict[Any, Any] = {}

    def body(self, scene: Scene) -> Body:
        """The body of a scene; scenes of the same body share it."""
        parts = (scene.mesh, scene.material, scene.mass, scene.damping, scene.clamps)
        return self._once(("body", *parts), lambda: body_of(scene))

    def model(self, folder: Path) -> Model:
        return self._once(("model", folder), lambda: load_model(folder))

    def cubatures(self, folder: Path) -> dict[str, Scheme]:
        return self._once(("cubatures", folder), lambda: load_schemes(folder))

    def origin(self, scene: Scene) -> str:
        """What tells the body of a scene from others: digest of mesh, clamps, material, mass."""
        return sha256_of(origin_of(self.body(scene)))

    def check(self, scene: Scene, folder: Path) -> None:
        """Raise `InputError` unless scene, model and cubatures can be read and fit together."""
        body = self.body(scene)
        self.model(folder).check(body)
        self.cubatures(folder)
        Loads(body, scene.loads)

    def key(self, case: Case, spec: Spec, folder: Path, solver: str = "auto") -> str:
        """SHA-256 of all that decides a run: loads, mesh, model, cubature, spec, code."""
        told: dict[str, Any] = {
            "case": case.digest(self.body(case.scene).mesh.digest),
            "tags": self._tags(case.scene),
            "spec": asdict(spec),
            "solver": solver,
            "hodsim": _CODE,
        }
        if spec.kind != "full":
            told["model"] = self._model_digest(folder, spec)
        if spec.compiled and not spec.polynomial:
            cubature = self.cubatures(folder).get(f"{spec.kind}-{spec.rank}")
            told["cubature"] = (
                _cubature_digest(cubature) if isinstance(cubature, Cubature) else None
            )
        return sha256_of(told)

    def _tags(self, scene: Scene) -> dict[str, list[int]]:
        """Vertices of the tags that a scene's regions name: the mesh's digest has none of them."""
        tags = self.body(scene).mesh.tags
        regions = (*scene.clamps, *(load.region for load in scene.loads))
        named = {str(r.tag) for r in regions if r is not None and r.kind == "tag"}
        return {name: tags[name].tolist() for name in sorted(named) if name in tags}

    def _model_digest(self, folder: Path, spec: Spec) -> str:
        """Digest of the files of a model's folder that decide one of its subspaces."""
        peers = folder / "peers"
        paths = [folder / name for name in _FILES]
        for name in (spec.kind, f"{spec.kind}-{spec.rank}"):
            # A file for a basis, a folder for a network.
            paths += [peers / f"{name}.safetensors", *sorted((peers / name).glob("*"))]
        return sha256_of([self._file_digest(path) for path in paths if path.is_file()])

    def _file_digest(self, path: Path) -> str:
        return self._once(("file", path), lambda: _digest_of(path))

    def _once(self, what: Any, read: Callable[[], T]) -> T:
        if what not in self._read:
            self._read[what] = read()
        found: T = self._read[what]
        return found


def _code(home: Path) -> str:
    """Digest of hodsim's own sources, without the rooms that decide no run."""
    paths = sorted(p.relative_to(home).as_posix() for p in home.rglob("*.[ph]*"))
    used = [p for p in paths if p.endswith((".py", ".h")) and p.partition("/")[0] not in _APART]
    return sha256_of([(p, hashlib.sha256((home / p).read_bytes()).hexdigest()) for p in used])


# Once, as they are loaded: what is written into them later runs nowhere in this process.
_CODE = _code(Path(hodsim.__file__).parent)


def _digest_of(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise InputError(f"{path}: cannot read it ({error.strerror}); check its rights") from error


def _cubature_digest(cubature: Cubature) -> str:
    return hashlib.sha256(cubature.tets.tobytes() + cubature.weights.tobytes()).hexdigest()
