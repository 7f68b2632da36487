"""A model's decoder for other runtimes, with what they must know of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hodsim.cli import output
from hodsim.cli.options import open_scene
from hodsim.errors import InputError

if TYPE_CHECKING:
    from hodsim.fem import Body
    from hodsim.subspaces import Model


def export_decoder(
    folder: Path, path: Path, name: str, scene: str | None, dtype: str
) -> dict[str, Any]:
    """Write the decoder of a model's network as an ONNX graph, and say what was written.

    Raises `InputError` for a subspace that is no network, a scene of another body, and as
    `save_onnx` does.
    """
    import numpy as np

    from hodsim.dynamics import parse_spec
    from hodsim.fem import body_of
    from hodsim.networks import save_onnx
    from hodsim.subspaces import HoD, load_model

    if path.suffix.lower() != ".onnx":
        raise InputError(f"{path}: expected a name ending in .onnx, given {path.suffix!r}")
    model, spec = load_model(folder), parse_spec(name)
    subspace = None if spec.kind == "full" else model.subspace(spec.kind, spec.rank)
    if not isinstance(subspace, HoD):
        raise InputError(
            f"export: expected a network for --onnx, such as hod, given {spec.label}, which is a "
            "matrix product; choose another --subspace"
        )
    body = None if scene is None else body_of(open_scene(scene))
    if body is not None:
        model.check(body)
    network, reach = subspace.network, model.reach(spec.kind, spec.rank)
    poses = None
    if reach is not None:
        drawn = np.random.default_rng(0).uniform(reach.low, reach.high, (64, subspace.rank))
        poses = np.vstack([np.zeros((1, subspace.rank)), drawn])
    told = _metadata(model, subspace, body)
    rows = None if body is None else body.pattern.free
    off = save_onnx(path, network.decoder, network.shape, told, dtype, rows, poses)
    console = output.console()
    console.print(
        f"{subspace.kind}-{subspace.rank} in {dtype}: onnxruntime is within {off:.2g} units of "
        "rounding of the decoder in float64",
        soft_wrap=True,
    )
    console.print(f"wrote {path}", soft_wrap=True)
    return {
        "source": str(folder),
        "files": [str(path)],
        "dtype": dtype,
        "metadata": told,
        "rounding_units": off,
    }


def _metadata(model: Model, subspace: Any, body: Body | None) -> dict[str, str]:
    """Units, sizes and origin, as ONNX holds them: text by name."""
    from hodsim import __version__
    from hodsim.subspaces import peer_name

    origin, rank = model.card["origin"], subspace.rank
    card = model.card
    if not model.owns(subspace.kind, rank):
        card = dict(model.peers[peer_name(subspace.kind, rank)].facts)
    whole = "x, y, z of every vertex of the mesh, 0 where it is clamped"
    free = "x, y, z of each vertex that is not clamped, in the order of the mesh"
    told = {
        "hodsim.version": __version__,
        "hodsim.subspace": f"{subspace.kind}-{rank}",
        "hodsim.latent.dimension": str(rank),
        "hodsim.latent.unit": "1",
        "hodsim.latent.rest": "0",
        "hodsim.displacement.unit": "m",
        "hodsim.displacement.layout": free if body is None else whole,
        "hodsim.mesh.sha256": str(origin.get("mesh")),
        "hodsim.free_vertices.sha256": str(origin.get("free_vertices")),
        "hodsim.material": json.dumps(origin.get("material"), sort_keys=True),
        "hodsim.weights.sha256": str(card.get("weights")),
    }
    reach = model.reach(subspace.kind, rank)
    if reach is not None:
        told["hodsim.latent.low"] = json.dumps(reach.low.tolist())
        told["hodsim.latent.high"] = json.dumps(reach.high.tolist())
    return told
