"""Scenes from TOML files. Every key is known or refused; messages name the file and the key."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from hodsim.errors import InputError
from hodsim.scene.checks import flag, nearest, text
from hodsim.scene.loads import Direction, Load, RandomLoad
from hodsim.scene.obstacles import SHAPES, Obstacle, Shape
from hodsim.scene.regions import Region
from hodsim.scene.scene import (
    BeamSpec,
    Damping,
    MaterialSpec,
    MeshSpec,
    NewtonSpec,
    Scene,
    TimeSpec,
)

T = TypeVar("T")
Table = Mapping[str, Any]

# Tables of a scene file -> whether a scene must have them.
_TABLES = {
    "name": False,
    "mesh": True,
    "material": True,
    "mass": False,
    "damping": False,
    "clamp": False,
    "load": False,
    "obstacle": False,
    "time": True,
    "newton": False,
    "subspace": False,
    "sampling": False,
}


def read_scene(path: str | Path) -> Scene:
    """Read and check a scene file; paths in it are taken from the file's own folder.

    Raises
    ------
    InputError
        No such file, not TOML, a key missing or unknown, or a value out of range; the message
        begins with the file and the key.
    """
    path = Path(path)
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            f"{path}: expected a scene file that can be read ({error.strerror}); check the path"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: expected TOML, but {error}") from error
    except RecursionError as error:
        raise InputError(f"{path}: expected a scene, given brackets nested too deeply") from error
    try:
        return _scene(data, path)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def load_from_dict(data: Table) -> Load:
    """A load from the form that `load_to_dict` gives and scene files use. Raises InputError."""
    return _load(data, "load")


def _scene(data: Table, path: Path) -> Scene:
    _check_keys(data, "", _TABLES, required=[name for name, must in _TABLES.items() if must])
    optional: dict[str, Any] = {}
    if "mass" in data:
        _check_keys(data["mass"], "mass", ("kind",), required=("kind",))
        optional["mass"] = data["mass"]["kind"]
    if "subspace" in data:
        _check_keys(data["subspace"], "subspace", ("model",), required=("model",))
        optional["model"] = path.parent / text(data["subspace"]["model"], "subspace.model")
    return Scene(
        name=data.get("name", path.stem),
        path=path,
        mesh=_mesh(data["mesh"], path.parent),
        material=_build(MaterialSpec, data["material"], "material"),
        damping=_build(Damping, data.get("damping", {}), "damping"),
        clamps=_each(data, "clamp", _region),
        loads=_each(data, "load", _load),
        obstacles=_obstacles(data),
        time=_build(TimeSpec, data["time"], "time"),
        newton=_build(NewtonSpec, data.get("newton", {}), "newton"),
        sampling=_each(data, "sampling", _random_load),
        **optional,
    )


def _mesh(table: Any, folder: Path) -> MeshSpec:
    _check_keys(table, "mesh", ("file", "scale", "beam"))
    parts: dict[str, Any] = {}
    if "file" in table:
        parts["file"] = folder / text(table["file"], "mesh.file")
    if "scale" in table:
        parts["scale"] = table["scale"]
    if "beam" in table:
        parts["beam"] = _build(BeamSpec, table["beam"], "mesh.beam")
    return _build(MeshSpec, parts, "mesh")


def _load(table: Any, where: str) -> Load:
    return _build(Load, table, where, region=_region)


def _obstacles(data: Table) -> tuple[Obstacle, ...]:
    """Those without a name are called by their number."""
    made = _each(data, "obstacle", lambda table, at: _build(Obstacle, table, at, shape=_shape))
    given = data.get("obstacle", [])
    return tuple(
        obstacle if "name" in table else dataclasses.replace(obstacle, name=f"obstacle-{k}")
        for k, (obstacle, table) in enumerate(zip(made, given, strict=True))
    )


def _shape(table: Any, where: str) -> Shape:
    kind = _only_key(table, where, SHAPES)
    known = [f.name for f in dataclasses.fields(Shape) if f.name != "kind"]
    _check_keys(table[kind], f"{where}.{kind}", known)
    return _within(f"{where}.{kind}", lambda: Shape(kind, **table[kind]))


def _random_load(table: Any, where: str) -> RandomLoad:
    return _build(RandomLoad, table, where, region=_region, direction=_direction)


def _region(table: Any, where: str) -> Region:
    kind = _only_key(table, where, ("box", "sphere", "plane", "tag", "vertices", "nearest"))
    value = table[kind]
    if kind in ("vertices", "nearest", "tag"):
        return _within(where, lambda: Region(kind, **{kind: value}))
    keys = {
        "box": ("min", "max"),
        "sphere": ("center", "radius"),
        "plane": ("point", "normal", "within"),
    }[kind]
    _check_keys(value, f"{where}.{kind}", keys, required=keys)
    return _within(f"{where}.{kind}", lambda: Region(kind, **value))


def _direction(table: Any, where: str) -> Direction:
    kind = _only_key(table, where, ("any", "axis", "plane", "around"))
    if kind == "any":
        if not flag(table["any"], f"{where}.any"):
            raise InputError(f"{where}.any: expected true, or axis or plane in its place")
        return Direction("any")
    # "around an axis" says the same as "in the plane perpendicular to it".
    return _within(
        f"{where}.{kind}",
        lambda: Direction("plane" if kind == "around" else kind, table[kind]),
        field="vector",
    )


def _build(kind: Callable[..., T], table: Any, where: str, **parts: Callable[[Any, str], Any]) -> T:
    """Make the dataclass `kind` of a table with its fields; `parts` make those that are tables."""
    fields = dataclasses.fields(kind)  # type: ignore[arg-type]
    required = [f.name for f in fields if f.default is dataclasses.MISSING]
    _check_keys(table, where, [f.name for f in fields], required)
    made = {name: parts[name](v, f"{where}.{name}") for name, v in table.items() if name in parts}
    return _within(where, lambda: kind(**{**table, **made}))


def _each(data: Table, name: str, make: Callable[[Any, str], T]) -> tuple[T, ...]:
    tables = data.get(name, [])
    if not isinstance(tables, list):
        raise InputError(f"{name}: expected [[{name}]] tables, in double brackets")
    return tuple(make(table, f"{name}[{i}]") for i, table in enumerate(tables))


def _only_key(table: Any, where: str, known: tuple[str, ...]) -> str:
    _check_keys(table, where, known)
    if len(table) != 1:
        raise InputError(
            f"{where}: expected exactly one of {', '.join(known)}; "
            f"given {', '.join(table) or 'none'}"
        )
    key: str = next(iter(table))
    return key


def _check_keys(table: Any, where: str, known: Any, required: Any = ()) -> None:
    if not isinstance(table, Mapping):
        raise InputError(f"{where}: expected a table with {', '.join(known)}; given {table!r}")
    prefix = f"{where}." if where else ""
    for key in table:
        if key not in known:
            shown = key if key.isprintable() else repr(key)
            raise InputError(
                f"{prefix}{shown}: unknown key; expected {', '.join(known)}{nearest(key, known)}"
            )
    for key in required:
        if key not in table:
            raise InputError(f"{prefix}{key}: missing; add it to the scene")


def _within(where: str, make: Callable[[], T], field: str = "") -> T:
    """Put `where` before the field that an error names, or in the place of `field`."""
    try:
        return make()
    except InputError as error:
        said = str(error)
        raise InputError(
            where + said.removeprefix(field) if field else f"{where}.{said}"
        ) from error
