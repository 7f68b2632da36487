"""`hodsim init`: a commented scene for a mesh, or for a surface that it fills."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hodsim.cli import output
from hodsim.cli.options import JsonOption, check_file
from hodsim.errors import InputError

if TYPE_CHECKING:
    from hodsim.cli.proposal import Proposal
    from hodsim.mesh import TetMesh

EdgeOption = Annotated[
    float | None,
    typer.Option(
        "--edge",
        metavar="LENGTH",
        help="Of a surface: edge length of its tets, in the file's unit. [default: 0.08 of the "
        "bounding box's diagonal]",
    ),
]
MendOption = Annotated[
    bool,
    typer.Option("--mend", help="Take a surface with holes or overlaps: close and join them."),
]
JoinOption = Annotated[
    float | None,
    typer.Option(
        "--join",
        metavar="GAP",
        help="Bridge gaps between pieces of a surface, up to this wide in the file's unit.",
    ),
]
ScaleOption = Annotated[
    float,
    typer.Option("--scale", metavar="M", help="Length of the file's unit [m]: 0.001 for mm."),
]


@dataclass(frozen=True)
class Filling:
    """How a surface is filled: as `fill_surface` has it, lengths in the file's unit."""

    edge: float | None = None
    mend: bool = False
    join: float | None = None

    def __post_init__(self) -> None:
        for name in ("edge", "join"):
            length = getattr(self, name)
            if length is not None and not 0.0 < length < math.inf:
                raise InputError(f"{name}: expected a length, given {length:g}")


AS_IS = Filling()


@dataclass(frozen=True)
class Made:
    """What `make_scene` wrote: the mesh as it is in the scene [m], its proposal, what was said in
    reading it, the files, and the seconds it took.
    """

    mesh: TetMesh
    proposal: Proposal
    notes: tuple[str, ...]
    written: tuple[Path, ...]
    seconds: float


def init(
    mesh: Annotated[
        Path,
        typer.Argument(
            help="Tets (.msh, .vtk, .vtu, .mesh, .inp, .xdmf, .veg and others) or a closed surface "
            "(.obj, .stl, .ply, .off; needs hodsim[mesh])."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The scene to write.")] = Path(
        "scene.toml"
    ),
    edge: EdgeOption = None,
    mend: MendOption = False,
    join: JoinOption = None,
    scale: ScaleOption = 1.0,
    force: Annotated[
        bool,
        typer.Option("--force", help="Write over a scene and a surface's tets that are there."),
    ] = False,
    json: JsonOption = None,
) -> None:
    """Write a commented scene for a mesh: clamps, loads, stiffness, time step, random loads.

    The body is clamped at the lower end of its longest axis and as stiff as it takes to sag
    visibly. A surface is filled with tets, which are written beside the scene.
    """
    check_file(out)
    check_file(json)
    if out.suffix.lower() != ".toml":
        raise InputError(f"{out}: expected a name that ends in .toml; choose another")
    there = None if force else in_the_way(mesh, out)
    if there is not None:
        raise InputError(f"{there}: is there already; choose another --out, or use --force")
    with output.progress() as report:
        made = make_scene(mesh, out, report, filling=Filling(edge, mend, join), scale=scale)
    show(made)
    if json is not None:
        p = asdict(made.proposal)
        del p["clamp"], p["tip"]
        told = {
            "command": "init",
            "versions": output.versions(),
            "vertices": made.mesh.n_vertices,
            "tets": made.mesh.n_tets,
            "notes": list(made.notes),
            "seconds": made.seconds,
            "proposal": p,
        }
        output.write_json(json, told)
        output.console().print(f"wrote {json}", soft_wrap=True)


def make_scene(
    source: Path,
    out: Path,
    report: output.Report,
    *,
    filling: Filling = AS_IS,
    scale: float = 1.0,
    model: str | None = None,
) -> Made:
    """Write the scene file `out` for the mesh or surface `source`.

    A surface's tets go to a .vtu of the scene's name beside it. Raises `InputError` for a mesh that
    cannot be read, used or clamped.
    """
    from hodsim.cli.proposal import propose
    from hodsim.cli.scene_text import scene_text
    from hodsim.files import atomic
    from hodsim.mesh import fill_surface, is_surface, open_mesh, scaled, write_mesh
    from hodsim.scene import MeshSpec, read_scene

    MeshSpec(file=source, scale=scale)  # refuses a scale that is none
    began = time.perf_counter()
    file, written = source, []
    if is_surface(source):
        report("filling the surface", 0, 1)
        found = fill_surface(source, **asdict(filling))
        file = out.with_suffix(".vtu")
    elif filling != AS_IS:
        raise InputError(f"{source}: expected a surface for --edge, --mend and --join, given tets")
    else:
        report("reading the mesh", 0, 1)
        found = open_mesh(source)
    mesh = scaled(found.mesh, scale)
    report("responses to small loads", 0, 1)
    try:
        proposal = propose(mesh, scale)
    except InputError as error:
        raise InputError(f"{source}: {str(error).removeprefix('mesh: ')}") from error
    if file != source:
        write_mesh(found.mesh, file)
        written.append(file)
    text = scene_text(source.stem, mesh, proposal, file, scale, out, model)
    try:
        encoded = text.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"{file}: expected a name in UTF-8, as scenes are; rename the file or its folder"
        ) from error
    with atomic(out) as temporary:
        temporary.write_bytes(encoded)
        read_scene(temporary)
    seconds = time.perf_counter() - began
    return Made(mesh, proposal, found.notes, (*written, out), seconds)


def in_the_way(source: Path, out: Path) -> Path | None:
    """A file that `make_scene` would write over, if there is one."""
    from hodsim.mesh import is_surface

    written = [out, out.with_suffix(".vtu")] if is_surface(source) else [out]
    return next((path for path in written if path.exists()), None)


def show(made: Made) -> None:
    """Print what was found and derived."""
    console, p = output.console(), made.proposal
    for note in made.notes:
        console.print(note, soft_wrap=True, markup=False)
    console.print(
        f"{made.mesh.n_vertices} vertices, {made.mesh.n_tets} tets, {p.length:.3g} m long, "
        f"{p.mass:.3g} kg; {p.clamped} vertices clamped; E = {p.young:g} Pa for a sag of "
        f"{p.sag:.2g} m; lowest mode {p.period:.3g} s, step {p.step:g} s",
        soft_wrap=True,
        markup=False,
    )
    console.print("wrote " + ", ".join(map(str, made.written)), soft_wrap=True, markup=False)
