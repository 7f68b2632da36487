"""The built site: no warning, nothing from other servers, every formula and public name there."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from documents import ROOT

import hodsim

for _name in ("mkdocs", "material", "mkdocstrings", "latex2mathml"):
    pytest.importorskip(_name)

TOOLS = ROOT / "docs" / "tools"
sys.path.insert(0, str(TOOLS))


def test_the_site(tmp_path: Path) -> None:
    """Built once, for it takes half a minute; a warning ends the build."""
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    told = done.stdout + done.stderr
    assert done.returncode == 0, told
    assert "WARNING" not in told
    pages = {str(p.relative_to(tmp_path)): p.read_text("utf-8") for p in tmp_path.rglob("*.html")}
    for name, text in pages.items():
        assert not asked_of_others(text), name
    for path in tmp_path.rglob("*.css"):
        assert not re.search(r"url\(['\"]?(https?:)?//", path.read_text(encoding="utf-8")), path
    check_formulas(pages)
    check_public_names(pages)
    check_docstrings(pages["api/derivatives.html"])


def asked_of_others(text: str) -> list[str]:
    """What a page would load from another server."""
    asked = re.findall(r"<(?:script|img|iframe|source)\b[^>]*\bsrc=\"(?:https?:)?//", text)
    return asked + re.findall(r"<link\b[^>]*\bhref=\"(?:https?:)?//", text)


def check_formulas(pages: dict[str, str]) -> None:
    for name, text in pages.items():
        assert 'class="arithmatex"' not in text, name
        assert "<!-- made:" not in text, name
    for page in ("motion", "multicomplex", "backpropagation", "contractions", "incremental"):
        text = pages[f"theory/{page}.html"]
        assert len(re.findall(r'<math [^>]*display="block"', text)) >= 2, page
        # What latex2mathml does not know it leaves as it is.
        assert not re.search(r"<m[ion][^>]*>\\", text), page


def check_public_names(pages: dict[str, str]) -> None:
    anchors = set(re.findall(r'\bid="(hodsim\.[^"]+)"', "\n".join(pages.values())))
    missing = []
    for room in {p.parent.name for p in (ROOT / "hodsim").glob("*/__init__.py")} - {"cli"}:
        for name in importlib.import_module(f"hodsim.{room}").__all__:
            # A function named as its file stands below it.
            entries = {f"hodsim.{room}.{name}", f"hodsim.{room}.{name}.{name}"}
            if not entries & anchors:
                missing.append(f"hodsim.{room}.{name}")
    missing += [n for n in hodsim.__all__ if not any(a.endswith(f".{n}") for a in anchors)]
    assert not missing


def check_docstrings(text: str) -> None:
    entry = text[text.index('id="hodsim.derivatives.complex_step.complex_step"') :]
    # "directions : n >= 1 of them, each of x's shape" is a description, not a type.
    told = re.search(r"directions</code></b>.*?</li>", entry, re.DOTALL)
    assert told is not None
    assert "each of x's shape" in told[0]
    assert "Sequence" in told[0]


def test_what_other_servers_are_asked() -> None:
    assert asked_of_others('<script defer src="https://unpkg.com/x"></script>')
    assert asked_of_others('<link rel="stylesheet" href="//fonts.googleapis.com/css">')
    assert not asked_of_others('<a href="https://example.org"> <script src="../a.js"></script>')


def test_what_is_made_of_the_code() -> None:
    import tables

    place, text = tables.found("hodsim.dynamics.newton.newton")
    assert place == "hodsim/dynamics/newton.py"
    assert text.startswith("def newton(")
    assert tables.found("hodsim.dynamics.reduced._Step.matrix")[1].startswith("def matrix(")
    # By the room that exports it, wherever it stands there.
    place, text = tables.found("hodsim.mesh.TetMesh.volumes")
    assert place == "hodsim/mesh/tetmesh.py"
    assert text.startswith("def volumes(")
    with pytest.raises(KeyError, match="no_such"):
        tables.found("hodsim.dynamics.newton.no_such")
    assert "| `--quick` |" in tables.commands("")


def test_every_source_that_a_page_shows_is_there() -> None:
    import tables

    names = []
    for page in (ROOT / "docs").rglob("*.md"):
        marks = re.findall(r"^<!-- made: source (\S+) -->$", page.read_text("utf-8"), re.MULTILINE)
        names += marks
        for name in marks:
            assert tables.found(name)[1], page
    assert len(names) > 30


def test_a_formula() -> None:
    import formulas

    made = formulas.on_page_content(
        r'<p>a <span class="arithmatex">\(J^T R &lt; 0\)</span></p>'
        r'<div class="arithmatex">\[\sum_i x_i\]</div>'
    )
    assert made.count("<math ") == 2
    assert "&lt;" in made
    assert 'display="block"' in made
    assert "arithmatex" not in made
