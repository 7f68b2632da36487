"""A scene as pure data: what is simulated, under which loads, with which step. Units are SI."""

from __future__ import annotations

from hodsim.scene.loads import Direction, Load, RandomLoad, load_to_dict, value_at
from hodsim.scene.obstacles import Obstacle, Shape, obstacle_to_dict
from hodsim.scene.reading import load_from_dict, read_scene
from hodsim.scene.regions import Region, select
from hodsim.scene.scene import (
    BeamSpec,
    Damping,
    MaterialSpec,
    MeshSpec,
    NewtonSpec,
    Scene,
    TimeSpec,
)

__all__ = [
    "BeamSpec",
    "Damping",
    "Direction",
    "Load",
    "MaterialSpec",
    "MeshSpec",
    "NewtonSpec",
    "Obstacle",
    "RandomLoad",
    "Region",
    "Scene",
    "Shape",
    "TimeSpec",
    "load_from_dict",
    "load_to_dict",
    "obstacle_to_dict",
    "read_scene",
    "select",
    "value_at",
]
