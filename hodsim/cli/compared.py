"""What `hodsim compare` compares: bodies and scenes, loads, subspaces by names and ranges."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hodsim.cli.options import find_scene, model_folder, open_scene
from hodsim.errors import InputError
from hodsim.files import data_dir

if TYPE_CHECKING:
    from hodsim.dynamics import Spec
    from hodsim.scene import Scene
    from hodsim.subspaces import Model

USUAL = "pca-6,pca-12,pca-15,pca-20,quadratic-6,hod-6"
_MOST = 200  # names in a range: a slip of the key should not start thousands of runs
_ALL = "all"
_PLAIN = "beam"  # the body whose scenes lie in the folder of scenes itself


def scenes_named(names: Sequence[str] | None, loads: Sequence[str] | None) -> list[Scene]:
    """The scenes that the arguments name: files, shipped scenes, bodies with all their loads.

    A body is "beam", "torus" or any other folder of scenes with a folder `heldout`; "all" are those
    with a trained model; nothing means the beam. Loads of another kind come from the folder `other`
    beside `heldout`, where `loads` asks for them. Raises `InputError` where nothing is found.
    """
    found: list[Scene] = []
    for name in names or [_PLAIN]:
        if name == _ALL:
            bodies = [body for body in _bodies() if _trained(body)]
            if not bodies:
                raise InputError("all: expected shipped bodies with a trained model, found none")
            found += [scene for body in bodies for scene in _of_body(body, loads)]
        elif name in _bodies() and not Path(name).is_file():
            found += _of_body(name, loads)
        else:
            found.append(open_scene(str(find_scene(name))))
    return found


def one_of_each(scenes: Sequence[Scene]) -> list[Scene]:
    """The first scene of each family of each body."""
    from hodsim.comparison import family_of

    return list({(s.mesh, family_of(s.name)): s for s in reversed(scenes)}.values())[::-1]


def names_in(text: str) -> list[str]:
    """Names in a list with commas, a range "pca-4..20" written out. Raises `InputError`."""
    names: list[str] = []
    for part in filter(None, (part.strip().lower() for part in text.split(","))):
        match = re.fullmatch(r"([a-z]+)-([0-9]{1,6})\.\.([0-9]{1,6})(:[a-z]+)?", part)
        if match is None:
            names.append(part)
            continue
        low, high = int(match[2]), int(match[3])
        if not low <= high < low + _MOST:
            raise InputError(
                f"subspaces: expected a range of ascending ranks, at most {_MOST}, such as "
                f"pca-4..20; given {part!r}"
            )
        names += [f"{match[1]}-{rank}{match[4] or ''}" for rank in range(low, high + 1)]
    return names


def specs_for(
    names: Sequence[str], formulations: Sequence[str], reference: bool
) -> Callable[[Model], list[Spec]]:
    """The specs of these names for a model, whose own rank stands where a name has none.

    Raises `InputError` for what no model could have.
    """
    from dataclasses import replace

    from hodsim.dynamics import parse_specs

    specs = [s for f in formulations for s in parse_specs(names, f, reference)]
    if all(spec.kind == "full" for spec in specs):
        raise InputError("subspaces: expected at least one besides full, given none; name some")

    def of(model: Model) -> list[Spec]:
        own = model.network.shape.rank
        named = [s if s.rank or s.kind == "full" else replace(s, rank=own) for s in specs]
        return list(dict.fromkeys(named))

    return of


def thorough(formulations: Sequence[str], reference: bool) -> Callable[[Model], list[Spec]]:
    """All that a model offers; of linear subspaces the ranks that have cubatures."""
    from hodsim.cubature import PCA_RANKS
    from hodsim.subspaces import KINDS, NESTED

    def of(model: Model) -> list[Spec]:
        several = sorted({model.network.shape.rank, *PCA_RANKS})
        names = []
        for kind in KINDS:
            try:
                ranks = model.ranks(kind)
            except InputError:
                ranks = tuple(several)  # Each is refused by name, and the others go on.
            if kind in ("pca", *NESTED):
                ranks = tuple(r for r in ranks if r in several)
            names += [f"{kind}-{rank}" for rank in ranks]
        return specs_for(names, formulations, reference)(model)

    return of


def ablation(model: Model) -> list[Spec]:
    """HoD-Net in both forms, with all terms of Newton's matrix and with fewer."""
    from hodsim.dynamics import Spec, Terms

    rank = model.network.shape.rank
    return [
        Spec("hod", rank, "incremental", reference=True),
        Spec("hod", rank, "incremental", Terms(second=False, third=False)),
        Spec("hod", rank, "lagrangian"),
        Spec("hod", rank, "lagrangian", Terms(third=False)),
        Spec("hod", rank, "lagrangian", Terms(second=False, third=False)),
    ]


def _bodies() -> list[str]:
    """The shipped bodies: those with a folder of held-out scenes."""
    scenes = data_dir("scenes")
    return [_PLAIN, *sorted(p.parent.name for p in scenes.glob("*/heldout") if p.is_dir())]


def _of_body(body: str, loads: Sequence[str] | None) -> list[Scene]:
    folder = data_dir("scenes") / ("" if body == _PLAIN else body)
    paths = [] if loads == ["other"] else sorted((folder / "heldout").glob("*.toml"))
    if loads is not None and "other" in loads:
        others = sorted((folder / "other").glob("*.toml"))
        if not others:
            raise InputError(f"{body}: expected scenes of other loads, found none; leave out other")
        paths += others
    if not paths:
        raise InputError(f"{body}: expected held-out scenes in this installation, found none")
    return [open_scene(str(path)) for path in paths]


def _trained(body: str) -> bool:
    first = _of_body(body, None)[0]
    return first.model is not None and (model_folder(first, None) / "model.json").is_file()
