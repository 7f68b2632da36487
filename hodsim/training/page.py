"""A model's card as a page that a person reads: README.md beside model.json."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from hodsim.cubature import load_cubatures
from hodsim.errors import InputError
from hodsim.fem import make_mesh
from hodsim.files import atomic
from hodsim.networks import Shape
from hodsim.scene import Scene
from hodsim.subspaces import Model, load_model
from hodsim.training.markdown import (
    is_number,
    listed,
    number_in,
    percent,
    range_of,
    table,
    table_of,
    with_unit,
    word,
)

PAGE: Final = "README.md"
_LICENCE = "## Licence"
_NOT_STATED = (
    "Not stated. Weights belong to who made them: write here how they may be used, before you pass "
    "them on. This section is kept when the page is written again."
)
_UNITS = {"force": "N", "torque": "N m", "gravity": "m/s²"}


def facts_of(scenes: Sequence[Scene]) -> dict[str, Any]:
    """What a card tells of the body and the random loads of its scenes, ready for JSON."""
    spec, mesh = scenes[0].mesh, make_mesh(scenes[0].mesh)
    body = {
        "mesh": spec.file.name if spec.file else "beam of the scene",
        "digest": mesh.digest,
        "vertices": mesh.n_vertices,
        "tets": mesh.n_tets,
        "extent": np.ptp(mesh.vertices, axis=0).tolist(),
        "volume": float(mesh.volumes.sum()),
    }
    loads = [
        {
            "scene": scene.name,
            "kind": load.kind,
            "magnitude": list(load.magnitude),
            "ramp": list(load.ramp),
            "hold": list(load.hold),
            "probability": load.probability,
        }
        for scene in scenes
        for load in scene.sampling
    ]
    return {"body": body, "loads": loads}


def write_page(
    folder: str | Path, scenes: Sequence[Scene] = (), licence: str | None = None
) -> Path:
    """Write the page of a model's folder in one move, and say where.

    `scenes` are those it was trained on, for a card of before body and loads were in it. The
    licence is `licence`, or what a former page says. Raises `InputError` for a folder that cannot
    be read, or a scene of another mesh.
    """
    folder = Path(folder)
    path = folder / PAGE
    text = page_of(load_model(folder), scenes, licence or _licence_in(path))
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def page_of(model: Model, scenes: Sequence[Scene] = (), licence: str | None = None) -> str:
    """The page, in Markdown."""
    card = dict(model.card)
    if scenes:
        facts = facts_of(scenes)
        if facts["body"]["digest"] != card["origin"].get("mesh"):
            raise InputError(
                f"scene {scenes[0].name}: expected one of the model's mesh, given another; name "
                "those that it was trained on"
            )
        card |= facts
    shape = model.network.shape
    mesh = table_of(card.get("body")).get("mesh")
    name = f"HoD-{shape.rank}" + (f" of {word(mesh)}" if mesh else "")
    said = licence or word(card.get("licence", "")) or _NOT_STATED
    summary = (
        f"A HoD-Net: {shape.rank} latent coordinates that stand for the {shape.n_dofs} free "
        "degrees of freedom of one elastic body. An encoder-decoder was trained on simulated "
        "poses; `hodsim simulate SCENE --model DIR` moves the body in its latent space. Units are "
        "SI."
    )
    sections = {
        "Body": _body(card, shape.n_dofs),
        "Data": _data(card),
        "Training": _training(card, shape),
        "Accuracy": _accuracy(card, model),
        "Limits": _limits(model),
    }
    parts = [f"# {name}", summary]
    for title, section in sections.items():
        parts += [f"## {title}", *section]
    return "\n\n".join([*parts, _LICENCE, said]) + "\n"


def _body(card: Mapping[str, Any], n_dofs: int) -> Iterable[str]:
    origin, body = card["origin"], table_of(card.get("body"))
    material, damping = table_of(origin.get("material")), table_of(origin.get("damping"))
    extent = body.get("extent")
    size = None
    if isinstance(extent, list) and all(map(is_number, extent)):
        size = " x ".join(f"{x:.4g}" for x in extent) + " m"
    rows: list[tuple[str, object]] = [
        ("mesh", body.get("mesh")),
        ("vertices, tets", listed(body.get("vertices"), body.get("tets"))),
        ("extent", size),
        ("volume", with_unit(body.get("volume"), "m³")),
        ("free degrees of freedom", n_dofs),
        ("mesh, SHA-256", origin.get("mesh")),
        ("free vertices, SHA-256", origin.get("free_vertices")),
        ("material law", material.get("law")),
        ("Young's modulus", with_unit(material.get("young"), "Pa")),
        ("Poisson's ratio", material.get("poisson")),
        ("density", with_unit(material.get("density"), "kg/m³")),
        ("mass matrix", origin.get("mass")),
        ("Rayleigh damping, mass", with_unit(damping.get("mass"), "1/s")),
        ("Rayleigh damping, stiffness", with_unit(damping.get("stiffness"), "s")),
    ]
    yield table(("", ""), rows)


def _data(card: Mapping[str, Any]) -> Iterable[str]:
    poses, names = table_of(card.get("poses")), card.get("scenes")
    named = ", ".join(map(word, names)) if isinstance(names, list) else "not told"
    yield (
        f"Poses of full-space simulations under random loads: "
        f"{word(card.get('trajectories_of_each_scene', 'an untold number of'))} motions of each "
        f"of the scenes {named}; {word(poses.get('trained_on', 'untold'))} poses trained on, "
        f"{word(poses.get('held_out', 'untold'))} held out by whole motions. Nothing was measured "
        "on a real body."
    )
    stopped = card.get("stopped_early")
    if isinstance(stopped, list) and stopped:
        yield (
            f"{len(stopped)} motions stopped early, as a step of theirs did not converge; their "
            "poses until then were used."
        )
    loads = card.get("loads")
    if isinstance(loads, list) and loads:
        head = ("scene", "random load", "magnitude", "ramp", "hold", "chance")
        yield table(head, [_load(table_of(load)) for load in loads])


def _load(load: Mapping[str, Any]) -> tuple[object, ...]:
    kind = str(load.get("kind"))
    return (
        load.get("scene"),
        kind,
        range_of(load.get("magnitude"), _UNITS.get(kind, "")),
        range_of(load.get("ramp"), "s"),
        range_of(load.get("hold"), "s"),
        load.get("probability"),
    )


def _training(card: Mapping[str, Any], shape: Shape) -> Iterable[str]:
    options = table_of(card.get("options"))
    fit = table_of(options.get("fit"))
    rows = [
        (
            "widths of the decoder",
            listed(shape.rank, *shape.decoder, shape.projected, shape.n_dofs),
        ),
        ("activation", shape.activation),
        ("initial weights", fit.get("init")),
        ("epochs", fit.get("epochs")),
        ("batch, learning rate", listed(fit.get("batch"), fit.get("rate"))),
        ("seed", options.get("seed")),
        ("time to fit", with_unit(card.get("seconds"), "s")),
        ("versions", listed(*(f"{k} {v}" for k, v in table_of(card.get("versions")).items()))),
        ("weights, SHA-256", card.get("weights")),
    ]
    yield table(("", ""), rows)
    command = word(card.get("command", ""), code=True)
    if command:
        yield f"Made by\n\n```sh\n{command}\n```"


def _accuracy(card: Mapping[str, Any], model: Model) -> Iterable[str]:
    rank = model.network.shape.rank
    errors = table_of(card.get("reconstruction_error"))
    yield (
        "How far decoded poses are from encoded ones, RMS over RMS of the displacement, every "
        "motion weighing alike:"
    )
    linear = table_of(card.get("pca_reconstruction_error"))
    rows = [
        ("poses trained on", percent(errors.get("trained_on"))),
        ("poses held out", percent(errors.get("held_out"))),
        *(
            (f"held out of {scene}", percent(error))
            for scene, error in table_of(errors.get("held_out_by_scene")).items()
        ),
        *(
            (f"PCA-{k} of the same poses, held out", percent(error))
            for k, error in sorted(linear.items(), key=lambda item: number_in(item[0]))
            if k in {str(rank), str(2 * rank), max(linear, key=number_in)}
        ),
    ]
    yield table(("", "error"), rows)
    found = load_cubatures(model.folder) if model.folder else {}
    own = found.get(f"hod-{rank}")
    if own is not None:
        yield (
            f"Its cubature evaluates {len(own.tets)} of {own.n_tets} tets; the displacements that "
            f"this misplaces are {percent(own.held_out_error)} of a held-out pose's (RMS), the "
            f"forces {percent(own.force_error)}."
        )
    yield (
        "Errors of motions, which decide, depend on the loads: `hodsim compare` measures them on "
        "scenes that training never saw."
    )


def _limits(model: Model) -> Iterable[str]:
    reach = model.reach("hod")
    told = "Where training has been is not told, so that nothing warns of it."
    if reach is not None:
        told = (
            "`reach.safetensors` tells where training has been; `hodsim view` shows how far "
            "outside of it a body is."
        )
    items = (
        "One body: another mesh, clamp, material or density is another model, and refused.",
        f"Poses far from those of the random loads decode to nonsense, without a sign. {told}",
        "What those loads did not do to the body, it never learnt to show.",
        "Simulated, not measured: whether a real body follows the material law was not tested.",
    )
    yield "\n".join(f"- {item}" for item in items)


def _licence_in(path: Path) -> str | None:
    """What a former page says of its licence; None where there is none, or it says nothing."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    _, found, after = text.partition(f"\n{_LICENCE}\n")
    said = after.partition("\n## ")[0].strip()
    return said if found and said and said != _NOT_STATED else None
