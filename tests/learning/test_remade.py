"""Sets made of others, and sets in three parts."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from finetuning import images

from hodsim.errors import InputError
from hodsim.learning import Images, grey, parted, rotated
from hodsim.learning.images.remade import turned


@pytest.mark.parametrize("size", [4, 7])
def test_quarter_turns_move_pixels(size: int) -> None:
    x = torch.rand(4, 2, size, size, generator=torch.Generator().manual_seed(1))
    angles = torch.tensor([0.0, 0.5 * math.pi, math.pi, 1.5 * math.pi], dtype=torch.float64)
    found = turned(x, angles)
    for k in range(4):
        torch.testing.assert_close(found[k], torch.rot90(x[k], k, (1, 2)), atol=1e-5, rtol=0)


def test_half_a_turn_of_what_is_not_square() -> None:
    x = torch.rand(1, 1, 3, 6, generator=torch.Generator().manual_seed(1))
    found = turned(x, torch.tensor([math.pi], dtype=torch.float64))
    torch.testing.assert_close(found, x.flip((2, 3)), atol=1e-5, rtol=0)


def test_a_small_turn_keeps_lengths_whatever_the_sides() -> None:
    """A dot in the middle row of a wide image moves by its distance times the sine."""
    x = torch.zeros(1, 1, 21, 41)
    x[0, 0, 10, 30] = 1.0
    found = turned(x, torch.tensor([0.3], dtype=torch.float64))[0, 0]
    rows, columns = torch.meshgrid(torch.arange(21.0), torch.arange(41.0), indexing="ij")
    up = 10.0 - float((rows * found).sum() / found.sum())
    across = float((columns * found).sum() / found.sum()) - 20.0
    assert up == pytest.approx(10.0 * math.sin(0.3), abs=0.15)
    assert across == pytest.approx(10.0 * math.cos(0.3), abs=0.15)


def test_rotated_digits_are_of_their_seed() -> None:
    there = images()
    made, again, other = rotated(there, 3), rotated(there, 3), rotated(there, 4)
    assert torch.equal(made.train_x, again.train_x)
    assert torch.equal(made.test_x, again.test_x)
    assert not torch.equal(made.train_x, other.train_x)
    assert torch.equal(made.train_y, there.train_y)
    assert made.name == "corners-rot"
    assert made.note == "regenerated from corners, seed 3"
    assert rotated(replace(there, note="scanned"), 3).note.endswith(", scanned")
    with pytest.raises(InputError, match="seed"):
        rotated(there, -1)


def test_greys_are_luma() -> None:
    x = torch.zeros(4, 3, 2, 2)
    x[0, 0], x[1, 1], x[2, 2], x[3] = 1.0, 1.0, 1.0, 1.0
    y = torch.arange(4)
    made = grey(Images(x, y, x[:2], y[:2], "CIFAR-10", "JPEG"))
    assert made.train_x.shape == (4, 1, 2, 2)
    assert made.train_x[:, 0, 0, 0].tolist() == pytest.approx([0.299, 0.587, 0.114, 1.0])
    assert made.test_x[:, 0, 1, 1].tolist() == pytest.approx([0.299, 0.587])
    assert (made.name, made.note) == ("CIFAR-bw", "regenerated from CIFAR-10, JPEG")
    with pytest.raises(InputError, match="3 channels to make grey, got 1"):
        grey(images())


def test_parts_share_no_image_and_have_all_classes() -> None:
    there = images(100, 24)
    there = replace(
        there, train_x=torch.linspace(0, 1, 100).reshape(-1, 1, 1, 1).expand(-1, 1, 4, 4)
    )
    there = replace(there, train_y=there.train_y.sort().values)
    parts = parted(there, 60, 20, 8)
    train, validation = parts.images.train_x[:, 0, 0, 0], parts.validation_x[:, 0, 0, 0]
    assert (len(train), len(validation), len(parts.images.test_x)) == (60, 20, 8)
    assert len({*train.tolist(), *validation.tolist()}) == 80
    assert parts.validation_y.bincount().tolist() == [5, 5, 5, 5]
    assert parts.images.train_y.bincount().tolist() == [15, 15, 15, 15]
    assert parts.pixels == 16
    whole = parted(there, 80, 20, 100)
    assert sorted([*whole.images.train_y.tolist(), *whole.validation_y.tolist()]) == [
        k for k in range(4) for _ in range(25)
    ]
    assert parts.digest != whole.digest
    assert parts.digest == parted(there, 60, 20, 8).digest


def test_bad_parts_are_refused() -> None:
    for train, validation, test, told in (
        (60, 5, 8, "corners: expected 60 images to train on and 5 to validate on"),
        (0, 5, 8, "expected 0 images to train on"),
        (10, 0, 8, "validation images"),
        (10, 5, 0, "test images"),
    ):
        with pytest.raises(InputError, match=told):
            parted(images(), train, validation, test)
