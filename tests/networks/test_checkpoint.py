"""Networks on disk: what comes back, and what is refused."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from hodsim import InputError
from hodsim.networks import HoDNet, Shape, load_network, save_network

CARD, WEIGHTS = "model.json", "weights.safetensors"


def _network(seed: int = 0, **shape: Any) -> HoDNet:
    torch.manual_seed(seed)
    return HoDNet(Shape(**{"n_dofs": 12, "rank": 2, "decoder": (4, 5), "projected": 6, **shape}))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_network(tmp_path / "model", _network(), {"losses": [1.0, 0.5], "seed": 3})
    return tmp_path / "model"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_round_trip(tmp_path: Path, dtype: torch.dtype) -> None:
    network = _network(activation="tanh", encoder=(3,)).to(dtype)
    save_network(tmp_path / "a" / "b", network, {"seed": 3})
    again, card = load_network(tmp_path / "a" / "b")
    assert again.shape == network.shape
    assert card["seed"] == 3
    for (name, before), (same, after) in zip(
        network.state_dict().items(), again.state_dict().items(), strict=True
    ):
        assert name == same
        assert after.dtype == torch.float64
        assert torch.equal(after, before.double())
    assert not again.training
    assert not any(p.requires_grad for p in again.parameters())
    u = torch.randn(5, 12, dtype=torch.float64)
    assert torch.equal(again(u), network.double()(u))


def test_files(folder: Path) -> None:
    """JSON and safetensors, nothing that runs code when read, and nothing left over."""
    assert sorted(p.name for p in folder.iterdir()) == [CARD, WEIGHTS]
    assert json.loads((folder / CARD).read_text())["losses"] == [1.0, 0.5]
    header = (folder / WEIGHTS).read_bytes()
    size = int.from_bytes(header[:8], "little")
    assert set(json.loads(header[8 : 8 + size])) >= set(_network().state_dict())


def test_a_pickle_is_never_read(folder: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (folder / "exploded",)

    torch.save(Bomb(), folder / "bomb.pt")
    shutil.copy(folder / "bomb.pt", folder / WEIGHTS)
    _sign(folder)
    with pytest.raises(InputError, match="cannot read this model"):
        load_network(folder)
    assert not (folder / "exploded").exists()
    torch.load(folder / "bomb.pt", weights_only=False)
    assert (folder / "exploded").exists()  # it would have gone off


def _cut(name: str, keep: float) -> Callable[[Path], None]:
    def cut(folder: Path) -> None:
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[: int(keep * len(data))])

    return cut


def _sign(folder: Path) -> None:
    """Make the card name the weights that are there, so that what is in them is looked at."""
    _card(weights=hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest())(folder)


def _card(**changes: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        card = json.loads((folder / CARD).read_text())
        card.update(changes)
        (folder / CARD).write_text(json.dumps(card))

    return change


def _weights(change: Callable[[dict[str, torch.Tensor]], object]) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        weights = safetensors.torch.load_file(folder / WEIGHTS)
        change(weights)
        safetensors.torch.save_file(weights, folder / WEIGHTS)
        _sign(folder)  # not the digest, what is inside is to be refused

    return write


def _other_weights(folder: Path) -> None:
    """Stopped between the two files of a later save of the same shape."""
    save_network(folder.parent / "other", _network(1), {})
    shutil.copy(folder.parent / "other" / WEIGHTS, folder / WEIGHTS)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_cut(CARD, 0.5), "cannot read this model"),
        (_cut(CARD, 0.0), "cannot read this model"),
        (_cut(WEIGHTS, 0.9), "cannot read this model"),
        (_cut(WEIGHTS, 0.0), "cannot read this model"),
        (lambda f: (f / CARD).write_bytes(b"\xff\xfe\x00"), "cannot read this model"),
        (lambda f: (f / CARD).write_text("[1, 2]"), "cannot read this model"),
        (lambda f: (f / WEIGHTS).write_bytes(b"garbage" * 99), "cannot read this model"),
        (lambda f: (f / WEIGHTS).unlink(), f"found no {WEIGHTS}"),
        (lambda f: (f / CARD).unlink(), f"found no {CARD}"),
        (_card(format=2), "expected format 1, given 2"),
        (_card(shape={"n_dofs": 12, "rank": 3}), "size mismatch"),
        (_card(shape={"n_dofs": 12, "depth": 3}), "depth"),
        (_card(shape="large"), "cannot read this model"),
        (_card(shape={"n_dofs": 12, "activation": "relu"}), "given 'relu'"),
        (_other_weights, "expected the weights that model.json names"),
        (_weights(lambda w: w.pop("decoder.mix.weight")), "decoder.mix.weight"),
        (_weights(lambda w: w.update(more=torch.ones(2))), "more"),
        (_weights(lambda w: w.update({"decoder.mix.weight": torch.ones(2, 2)})), "size mismatch"),
        (_weights(lambda w: w["encoder.head.weight"].fill_(torch.nan)), "NaN or inf"),
        (_weights(lambda w: w["decoder.hidden.0.bias"].fill_(torch.inf)), "NaN or inf"),
    ],
)
def test_damaged_models_are_refused(
    folder: Path, damage: Callable[[Path], object], message: str
) -> None:
    damage(folder)
    with pytest.raises(InputError, match=message) as caught:
        load_network(folder)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_a_card_says_of_the_network_is_the_networks_own(folder: Path) -> None:
    """A loaded card, handed on with another network, does not bring back its old shape."""
    _, card = load_network(folder)
    other = _network(rank=3)
    save_network(folder, other, card)
    again, told = load_network(folder)
    assert again.shape == other.shape
    assert told["seed"] == 3


def test_a_save_that_fails_leaves_the_former_model(folder: Path) -> None:
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    with pytest.raises(TypeError):
        save_network(folder, _network(), {"not json": object()})
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before
