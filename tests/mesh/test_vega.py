"""VegaFEM's .veg files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hodsim import InputError, TetMesh
from hodsim.mesh import open_mesh

CORNERS = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]])
FILE = """# Vega mesh
*VERTICES
5 3 0 0
1 0 0 0
2 1 0 0
3 0 1 0   # a comment
4 0 0 1
5 1 1 1

*ELEMENTS
TET
2 4 0
1 1 2 3 4
2 5 2 3 4
*MATERIAL soft
ENU, 1000, 1e6, 0.45
*SET upper
2
*SET all
1, 2
*REGION
all, soft
"""


def _read(tmp_path: Path, text: str):
    (tmp_path / "a.veg").write_text(text)
    return open_mesh(tmp_path / "a.veg")


def _from_zero(text: str) -> str:
    """The same file with numbers from 0."""
    out, section = [], ""
    for line in text.splitlines():
        words = line.split("#")[0].replace(",", " ").split()
        if line.startswith("*"):
            section = line
        elif section == "*VERTICES" and len(words) == 4 and words[1:] != ["3", "0", "0"]:
            line = " ".join([str(int(words[0]) - 1), *words[1:]])
        elif (section == "*ELEMENTS" and len(words) == 5) or section.startswith("*SET"):
            line = " ".join(str(int(word) - 1) for word in words)
        out.append(line)
    return "\n".join(out)


@pytest.mark.parametrize("shape", [str, _from_zero])
def test_vertices_tets_and_sets(tmp_path: Path, shape) -> None:
    found = _read(tmp_path, shape(FILE))
    mesh = TetMesh(CORNERS, [[0, 1, 2, 3], [4, 1, 2, 3]])
    assert found.mesh.digest == mesh.digest
    assert {name: v.tolist() for name, v in found.mesh.tags.items()} == {
        "upper": [1, 2, 3, 4],
        "all": [0, 1, 2, 3, 4],
    }
    assert found.notes[0].startswith("ignored MATERIAL and REGION")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("*VERTICES", "*POINTS", r"one section \*VERTICES, found 0"),
        ("TET\n2 4 0", "CUBIC\n2 8 0", "type TET, given 'CUBIC'"),
        ("5 3 0 0", "6 3 0 0", r"\*VERTICES: expected as many lines as it says, 6 .* found 5"),
        ("5 3 0 0", "99999999999 3 0 0", "line 3: expected a whole number"),
        ("5 3 0 0", "-5 3 0 0", "as many lines"),
        ("2 1 0 0", "2 1 0", "line 5: expected a number and 3 values, found 3 words"),
        ("2 1 0 0", "2 1 0 x", "line 5: expected a number, given 'x'"),
        ("2 1 0 0", "2 1 0 nan", "vertex 1"),
        ("2 1 0 0", "7 1 0 0", "numbered one by one"),
        ("1 1 2 3 4", "1 1 2 3 9", "outside 0..4"),
        ("1 1 2 3 4", "1 0 2 3 4", "outside 0..4"),
        ("*SET upper\n2", "*SET upper\n3", "set upper: expected numbers of elements, given 3"),
        ("*SET upper", "*INCLUDE other.veg", "line 17: expected all in one file"),
        ("# Vega mesh", "Vega mesh", "line 1: expected a section"),
        (FILE, "", "found 0"),
    ],
)
def test_bad_files_are_refused_in_one_line(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert old in FILE
    with pytest.raises(InputError, match=message) as caught:
        _read(tmp_path, FILE.replace(old, new, 1))
    assert str(caught.value).startswith(f"{tmp_path / 'a.veg'}: ")
    assert str(caught.value).count("a.veg: ") == 1
    assert "\n" not in str(caught.value)
