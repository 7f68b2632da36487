"""Remake meshes/: each shipped body by its formula, the same file bit for bit."""

from __future__ import annotations

from pathlib import Path

from hodsim.mesh import arm, beam, pierced, starfish, torus, write_mesh

MESHES = Path(__file__).parent.parent / "meshes"


def main() -> None:
    for make in (beam, torus, arm, starfish, pierced):
        mesh = make()
        write_mesh(mesh, MESHES / f"{make.__name__}.vtu")
        print(f"{make.__name__}.vtu: {mesh!r}")


if __name__ == "__main__":
    main()
