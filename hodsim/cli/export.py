"""`hodsim export`: motions for ParaView, decoders for other runtimes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from hodsim.cli import output
from hodsim.cli.decoders import export_decoder
from hodsim.cli.options import JsonOption, check_file
from hodsim.errors import InputError


def export(
    source: Annotated[
        Path,
        typer.Argument(
            help="A motion that `hodsim simulate --out` wrote (.h5, .npz), or a model's folder."
        ),
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
    onnx: Annotated[
        Path | None,
        typer.Option("--onnx", metavar="FILE", help="A model's decoder as an ONNX graph."),
    ] = None,
    dtype: Annotated[
        str, typer.Option("--dtype", help="Of the graph: float32 or float64.")
    ] = "float32",
    subspace: Annotated[
        str, typer.Option("--subspace", help="Which network of the model: hod, autoencoder-6.")
    ] = "hod",
    scene: Annotated[
        str | None,
        typer.Option(
            "--scene",
            help="A scene of the model's body: the graph then gives all vertices, (n, 3) each, and "
            "not the free degrees of freedom alone.",
        ),
    ] = None,
    json: JsonOption = None,
) -> None:
    """Turn a stored motion into a series that ParaView opens, or a decoder into an ONNX graph.

    Displacements [m] and velocities [m/s] go with every frame. A scene is exported by `hodsim
    simulate SCENE --out FILE`, which knows the same names. A graph is checked in onnxruntime before
    it takes its place.
    """
    for file in (out, onnx, json):
        check_file(file)
    if (out is None) == (onnx is None):
        raise InputError(
            "export: expected a file to write, --out for a motion or --onnx for a model, given "
            f"{'none' if out is None else 'both'}; name one"
        )
    if onnx is not None:
        if surface or moved or every > 1:
            raise InputError(
                "export: --surface, --moved and --every are of a motion, given a model; leave them "
                "out"
            )
        told = export_decoder(source, onnx, subspace, scene, dtype)
    else:
        assert out is not None
        if scene is not None or (subspace, dtype) != ("hod", "float32"):
            raise InputError(
                "export: --scene, --subspace and --dtype are of a model, given a motion; leave "
                "them out"
            )
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
    # The numbers of motion.xdmf are in motion.xdmf.h5.
    for path in (out, out.with_name(f"{out.name}.h5")):
        if path.exists() and source.exists() and path.samefile(source):
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
