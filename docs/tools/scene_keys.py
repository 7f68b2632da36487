"""Every key of a scene file: its unit and what it means, beside the default that the reader has.

What must be given and what else holds comes from the dataclasses of `hodsim.scene`; a key that they
have and this file does not tell of ends the build.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hodsim.scene import (
    BeamSpec,
    Damping,
    Load,
    MaterialSpec,
    MeshSpec,
    NewtonSpec,
    Obstacle,
    RandomLoad,
    TimeSpec,
)

MUST = "required"

# Table -> what reads it, and for each key its value, its unit and what it means.
_Told = dict[str, tuple[str, str, str]]
_KIND = ("text", "", "`gravity`, `force` (a total force) or `torque` (a total torque).")
_WHERE = ("region", "", "The vertices that it acts on, in equal parts; not for gravity.")
_PARTS: dict[str, tuple[type, _Told]] = {
    "mesh": (
        MeshSpec,
        {
            "file": ("path", "", "A mesh of tets that meshio reads; see `scale`."),
            "scale": ("number", "m", "Length of the file's unit, above 0: 0.001 for millimetres."),
            "beam": ("table", "", "A beam made by formula, in place of a file."),
        },
    ),
    "mesh.beam": (
        BeamSpec,
        {
            "cells": ("3 whole numbers", "1", "Cells along x, y and z, each at least 1."),
            "size": ("3 numbers", "m", "Size along x, y and z, each above 0."),
        },
    ),
    "material": (
        MaterialSpec,
        {
            "law": ("text", "", "`stvk`, `neo-hookean` or `corotational`."),
            "young": ("number", "Pa", "Young's modulus, above 0."),
            "poisson": ("number", "1", "Poisson's ratio, above -1 and below 0.5."),
            "density": ("number", "kg/m³", "At least 0; above 0 where nothing is clamped."),
        },
    ),
    "damping": (
        Damping,
        {
            "mass": ("number", "1/s", "Factor of the mass matrix, at least 0."),
            "stiffness": ("number", "s", "Factor of the stiffness matrix at rest, at least 0."),
        },
    ),
    "load": (
        Load,
        {
            "kind": _KIND,
            "times": ("numbers", "s", "Strictly increasing; the load is linear between them."),
            "values": ("3 numbers a time", "m/s², N or N m", "The load's vector at each time."),
            "region": _WHERE,
        },
    ),
    "obstacle": (
        Obstacle,
        {
            "shape": ("shape", "", "The solid, at rest in space."),
            "stiffness": ("number", "N/m³", "Pressure a depth, above 0."),
            "friction": ("number", "1", "Coulomb's coefficient, at least 0."),
            "smoothing": ("number", "m", "Depth over which the pressure sets in, at least 0."),
            "slip": ("number", "m/s", "Speed below which friction is not full, above 0."),
            "name": ("text", "", "What reports call it; no two have the same."),
        },
    ),
    "time": (
        TimeSpec,
        {
            "step": ("number", "s", "Time step, above 0."),
            "steps": ("whole number", "1", "How many of them, at least 1."),
            "integrator": ("text", "", "`implicit-euler` or `bdf2`."),
        },
    ),
    "newton": (
        NewtonSpec,
        {
            "tolerance": ("number", "1", "Residual over the forces in it, above 0 and below 1."),
            "max_iterations": ("whole number", "1", "Most iterations a step, at least 1."),
        },
    ),
    "sampling": (
        RandomLoad,
        {
            "kind": _KIND,
            "magnitude": ("[low, high]", "m/s², N or N m", "Length of the vector, at least 0."),
            "direction": ("direction", "", "How its direction is drawn."),
            "ramp": ("[low, high]", "s", "Time in which it rises from 0, above 0."),
            "hold": ("[low, high]", "s", "Time for which it then stays, above 0."),
            "region": _WHERE,
            "probability": ("number", "1", "Chance that a motion has this load, 0 to 1."),
            "turn": ("[low, high]", "degrees", "Turned by so much in `hold`; not for a torque."),
            "release": ("true, false", "", "Whether it ends after `hold`, or stays."),
        },
    ),
}

# Tables that no dataclass reads: value, unit, default and meaning.
_PLAIN: dict[str, dict[str, tuple[str, str, str, str]]] = {
    "": {
        "name": ("text", "", "the file's name", "What reports call it."),
        "mesh": ("table", "", MUST, "[The body's mesh](#mesh)."),
        "material": ("table", "", MUST, "[What it is made of](#material)."),
        "mass": ("table", "", "lumped", "[Its mass matrix](#mass)."),
        "damping": ("table", "", "none", "[Rayleigh's damping](#damping)."),
        "clamp": ("tables", "", "none", "[Regions](#regions) whose vertices are fixed."),
        "load": ("tables", "", "none", "[Loads in time](#loads)."),
        "obstacle": ("tables", "", "none", "[What stands in its way](#obstacles)."),
        "time": ("table", "", MUST, "[Time step and integrator](#time)."),
        "newton": ("table", "", "below", "[When Newton's method stops](#newton)."),
        "subspace": ("table", "", "full space", "[The trained model](#subspace)."),
        "sampling": ("tables", "", "none", "[Random loads for training](#sampling)."),
    },
    "mass": {
        "kind": ("text", "", MUST, "`lumped` or `consistent`; lumped where there is no table."),
    },
    "subspace": {
        "model": ("path", "", MUST, "Folder of a trained model; full space without the table."),
    },
    "shape": {
        "half_space": ("table", "m", "one of these", "All below a plane: `point`, `normal`."),
        "sphere": ("table", "m", "one of these", "A ball: `center`, `radius`."),
        "box": ("table", "m", "one of these", "A box: `center`, `size`; `turn`, `rounding`."),
    },
    "shape.box": {
        "point": ("3 numbers", "m", "half_space: required", "A point of the plane."),
        "normal": ("3 numbers", "1", "half_space: required", "Its normal, out of the solid."),
        "center": ("3 numbers", "m", "sphere, box: required", "The centre."),
        "radius": ("number", "m", "sphere: required", "The radius, above 0."),
        "size": ("3 numbers", "m", "box: required", "Size along its three edges, above 0."),
        "turn": ("3 numbers", "degrees", "box: not turned", "Axis, its length the angle."),
        "rounding": ("number", "m", "box: a tenth of its smallest size", "Radius of its edges."),
    },
    "region": {
        "box": ("table", "m", "one of these", "Vertices from `min` to `max`, both included."),
        "sphere": ("table", "m", "one of these", "Vertices within `radius` of `center`."),
        "plane": ("table", "m", "one of these", "Vertices near a plane."),
        "tag": ("text", "", "one of these", "All that a tag of the mesh's file names."),
        "vertices": (
            "whole numbers",
            "1",
            "one of these",
            "The vertices of these numbers, from 0.",
        ),
        "nearest": ("3 numbers", "m", "one of these", "The one vertex nearest to this point."),
    },
    "region.box": {
        "min": ("3 numbers", "m", MUST, "The corner of the smallest coordinates."),
        "max": ("3 numbers", "m", MUST, "The corner of the largest coordinates."),
    },
    "region.sphere": {
        "center": ("3 numbers", "m", MUST, "The centre."),
        "radius": ("number", "m", MUST, "The radius, above 0."),
    },
    "region.plane": {
        "point": ("3 numbers", "m", MUST, "A point of the plane."),
        "normal": ("3 numbers", "1", MUST, "Its normal, of any length above 0."),
        "within": ("number", "m", MUST, "The largest distance from it, at least 0."),
    },
    "direction": {
        "any": ("true", "", "one of these", "Uniform on the sphere."),
        "axis": ("3 numbers", "1", "one of these", "Along this vector, forwards or backwards."),
        "plane": ("3 numbers", "1", "one of these", "Uniform in the plane of this normal."),
        "around": ("3 numbers", "1", "one of these", "The same, said of an axis to turn about."),
    },
}

# Keys that may be missing only where something else is said.
_DEPENDS = {
    "mesh.file": "or beam",
    "mesh.beam": "or file",
    "obstacle.name": "obstacle- and its number",
    "load.region": "none for gravity, else required",
    "sampling.region": "none for gravity, else required",
}


@dataclass(frozen=True)
class Key:
    """A key of a table (`""`: of the file itself), and what the reference says of it.

    `default` is as TOML writes it, or words; "required" where there is none.
    """

    table: str
    name: str
    value: str
    unit: str
    default: str
    meaning: str


def tables() -> tuple[str, ...]:
    """The tables of a scene file that have keys, "" for the file itself."""
    return (*_PLAIN, *_PARTS)


def keys_of(table: str) -> tuple[Key, ...]:
    """The keys of a table, those that must be given first."""
    if table in _PLAIN:
        return tuple(Key(table, name, *told) for name, told in _PLAIN[table].items())
    kind, told = _PARTS[table]
    fields = {field.name: field for field in dataclasses.fields(kind)}
    if fields.keys() != told.keys():
        odd = ", ".join(sorted(fields.keys() ^ told.keys()))
        raise KeyError(f"docs/tools/scene_keys.py: [{table}] and its class differ in {odd}")
    keys = []
    for name, (value, unit, meaning) in told.items():
        default = _DEPENDS.get(f"{table}.{name}") or in_toml(fields[name].default)
        keys.append(Key(table, name, value, unit, default, meaning))
    return tuple(keys)


def in_toml(value: Any) -> str:
    """A default as a scene file would write it."""
    if value is dataclasses.MISSING:
        return MUST
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(in_toml(item) for item in value)}]"
    if isinstance(value, str | Path):
        return f'"{value}"'
    return repr(value)
