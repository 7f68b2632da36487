"""Cubatures on disk: what goes in comes out, and what was never one is refused in one line."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.numpy

from hodsim import InputError
from hodsim.cubature import CUBATURES, Cubature, load_cubature, load_cubatures, save_cubatures


def scheme(kind: str = "hod", rank: int = 6, seed: int = 0) -> Cubature:
    rng = np.random.default_rng(seed)
    tets = np.sort(rng.choice(2048, 9, replace=False))
    weights, curve = rng.uniform(1, 50, 9), rng.uniform(0, 1, (20, 4))
    errors = rng.uniform(0, 1, 4).tolist()
    return Cubature(
        tets, weights, 2048, "ab" * 32, kind, rank, rng.normal(size=6), *errors, curve, seed, "make"
    )


def test_what_goes_in_comes_out(tmp_path: Path) -> None:
    schemes = {"hod-6": scheme(), "pca-12": scheme("pca", 12, 1)}
    save_cubatures(tmp_path / "model", schemes)
    assert [p.name for p in (tmp_path / "model").iterdir()] == [CUBATURES]
    found = load_cubatures(tmp_path / "model")
    assert list(found) == ["hod-6", "pca-12"]
    for name, wanted in schemes.items():
        for field in fields(Cubature):
            a, b = getattr(found[name], field.name), getattr(wanted, field.name)
            np.testing.assert_array_equal(a, b)
            assert type(a) is type(b)
            if isinstance(b, np.ndarray):
                assert a.dtype == b.dtype
                assert not a.flags.writeable
    assert load_cubature(tmp_path / "model", "pca", 12).seed == 1


def test_missing_ones_say_what_to_run(tmp_path: Path) -> None:
    assert load_cubatures(tmp_path) == {}
    with pytest.raises(InputError, match=r"for hod-6, found none; fit one with `hodsim cubature"):
        load_cubature(tmp_path, "hod", 6)
    save_cubatures(tmp_path, {"hod-6": scheme()})
    with pytest.raises(InputError, match=r"for pca-9, found hod-6; .* --subspaces pca-9`"):
        load_cubature(tmp_path, "pca", 9)
    with pytest.raises(InputError, match="expected the key 'hod-6'"):
        save_cubatures(tmp_path, {"hod-7": scheme()})


@pytest.mark.parametrize(
    "changes",
    [
        {"tets": np.array([3, 3])},
        {"tets": np.array([3, 2048])},
        {"tets": np.array([-1, 5])},
        {"tets": np.empty(0, dtype=int), "weights": np.empty(0)},
        {"weights": np.array([1.0, 0.0])},
        {"weights": np.array([1.0, np.nan])},
        {"weights": np.array([1.0, np.inf])},
        {"weights": np.array([1.0])},
        {"tets": np.array([[3, 5]])},
        {"curve": np.zeros((4, 3))},
        {"curve": np.zeros(4)},
    ],
)
def test_numbers_that_make_no_cubature(changes: dict[str, Any]) -> None:
    good = replace(scheme(), tets=np.array([3, 5]), weights=np.ones(2))
    with pytest.raises(InputError, match="expected ascending tets"):
        replace(good, **changes)


def rewritten(path: Path, change: Any) -> None:
    """The file again, after `change(arrays, facts)`."""
    with safetensors.safe_open(path, "np") as file:
        told = json.loads(file.metadata()["hodsim"])
        arrays = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118
    told = change(arrays, told) or told
    metadata = {"hodsim": told if isinstance(told, str) else json.dumps(told)}
    safetensors.numpy.save_file(arrays, path, metadata)


def fact(key: str, value: Any) -> Any:
    return lambda arrays, told: told["schemes"]["hod-6"].__setitem__(key, value)


def array(key: str, value: Any) -> Any:
    return lambda arrays, told: arrays.__setitem__(f"hod-6.{key}", value)


@pytest.mark.parametrize(
    "change",
    [
        fact("rank", "six"),
        fact("rank", True),
        fact("rank", 7),
        fact("n_tets", 10),
        fact("n_tets", 1e400),
        fact("mesh", None),
        fact("subspace", "../hod"),
        fact("seed", [1]),
        fact("seed", True),
        fact("training_error", "small"),
        array("tets", np.array([1.0, 2.0])),
        array("tets", np.array([5, 1])),
        array("weights", np.full(9, np.nan)),
        array("weights", np.ones(9, dtype=np.float32)),
        array("curve", np.zeros(3)),
        lambda arrays, told: arrays.pop("hod-6.weights").size * 0,
        lambda arrays, told: told["schemes"].__setitem__("hod-6", 3),
        lambda arrays, told: told.__setitem__("schemes", []),
        lambda arrays, told: told.__setitem__("format", 99),
        lambda arrays, told: "{",
        lambda arrays, told: "[" * 100_000,
        lambda arrays, told: "null",
        lambda arrays, told: '{"format": 1, "schemes": {"hod-6": {}}}',
    ],
)
def test_hostile_facts(tmp_path: Path, change: Any) -> None:
    save_cubatures(tmp_path, {"hod-6": scheme()})
    rewritten(tmp_path / CUBATURES, change)
    with pytest.raises(InputError, match=r"cannot read them .*`hodsim cubature`") as caught:
        load_cubature(tmp_path, "hod", 6)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "data", [b"", b"\x00" * 64, b"\xff" * 64, b"not a file", b"\x02" + b"\x00" * 7 + b"{}"]
)
def test_hostile_bytes(tmp_path: Path, data: bytes) -> None:
    (tmp_path / CUBATURES).write_bytes(data)
    with pytest.raises(InputError, match="cannot read them"):
        load_cubatures(tmp_path)


def test_cut_anywhere(tmp_path: Path) -> None:
    save_cubatures(tmp_path, {"hod-6": scheme()})
    whole = (tmp_path / CUBATURES).read_bytes()
    for k in range(0, len(whole), 97):
        (tmp_path / CUBATURES).write_bytes(whole[:k])
        with pytest.raises(InputError, match="cannot read them"):
            load_cubatures(tmp_path)


def test_a_folder_in_its_place(tmp_path: Path) -> None:
    (tmp_path / CUBATURES).mkdir()
    with pytest.raises(InputError, match="cannot read them"):
        load_cubatures(tmp_path)
