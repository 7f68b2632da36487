"""`hodsim export`: motions for ParaView, decoders for other runtimes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from hodsim.cli import output
from hodsim.cli.options import JsonOption, check_file
from hodsim.errors import InputError


def export(
    source: Annotated[
        Path,
        typer.Argument(help="A motion that `hodsim simulate --out` wrote (.h5, .npz)."),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE",
            help="The motion as a series, .xdmf or .pvd, or as .h5 or .npz.",
        ),
    ] = None,
    surface: Annotated[
        bool, typer.Option("--surface", help="The boundary's triangles in place of the tets.")
    ] = False,
    moved: Annotated[
        bool,
        typer.Option("--moved", help="Points where they are at each time, in place of at rest."),
    ] = False,
    every: Annotated[
        int, typer.Option("--every", min=1, help="Only each so many-th frame of a series.")
    ] = 1,
    json: JsonOption = None,
) -> None:
    """Turn a stored motion into a series that ParaView opens.

    Displacements [m] and velocities [m/s] go with every frame. A scene is exported by `hodsim
    simulate SCENE --out FILE`, which knows the same names.
    """
    check_file(out)
    check_file(json)
    if out is None:
        raise InputError("export: expected a file to write, given none; name one by --out")
    told = _motion(source, out, surface, moved, every)
    if json is not None:
        whole = output.report_of("export", [], [], [])
        del whole["runs"]
        output.write_json(json, output.finite(whole | told))
        output.console().print(f"wrote {json}", soft_wrap=True)


def _motion(source: Path, out: Path, surface: bool, moved: bool, every: int) -> dict[str, Any]:
    from dataclasses import replace

    from hodsim.viewer import SERIES, check_suffix, read_motion, write_motion

    check_suffix(out)
    if source.suffix.lower() == ".toml" or not source.suffix:
        raise InputError(
            f"{source}: expected a stored motion, .h5 or .npz; play a scene by `hodsim simulate "
            f"{source} --out {out}`"
        )
    if out.absolute() == source.absolute():
        raise InputError(f"{out}: expected another file than the source; choose another --out")
    motion = read_motion(source)
    if every > 1:
        if out.suffix.lower() not in SERIES:
            raise InputError("export: --every is of a series, .xdmf or .pvd; leave it out")
        names = ("times", "displacement", "velocity")
        motion = replace(motion, **{name: getattr(motion, name)[::every] for name in names})
    with output.progress() as report:
        written = write_motion(out, motion, surface, moved, lambda k, n: report("frames", k, n))
    files = [str(path) for path in written]
    output.console().print(f"wrote {', '.join(files)}", soft_wrap=True)
    return {
        "source": str(source),
        "files": files,
        "frames": len(motion.times),
        "surface": surface,
        "moved": moved,
        "about": motion.about,
    }
