"""The pages: their Python runs, their commands and scenes exist, every page is to be found."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest
from documents import ROOT, blocks, check, commands, inline_commands, run

from hodsim.scene import read_scene

DOCS = ROOT / "docs"
PAGES = {str(p.relative_to(DOCS)): p.read_text(encoding="utf-8") for p in DOCS.rglob("*.md")}
CODE = [(page, k) for page, text in PAGES.items() for k in range(len(blocks(text, "python")))]
SCENE = blocks(PAGES["start.md"], "toml")[0]


@pytest.mark.parametrize(("page", "number"), sorted(CODE))
def test_code_runs(page: str, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code = blocks(PAGES[page], "python")[number]
    if "import onnxruntime" in code:
        pytest.importorskip("onnx")
        pytest.importorskip("onnxruntime")
    run(code, f"{page}, block {number}")
    assert not list(tmp_path.iterdir())


def test_there_is_code() -> None:
    assert len(CODE) >= 10
    pages = {page for page, _ in CODE}
    guides = {page for page in PAGES if page.startswith("howto/")}
    assert {"start.md", *guides} <= pages


def test_commands_exist() -> None:
    known = []
    for text in PAGES.values():
        known += [check(words) for words in commands(text)]
        known += [check(words, whole=False) for words in inline_commands(text)]
    assert sum(known) > 40


@pytest.mark.parametrize(
    "line",
    [
        "hodsim train a.toml --out b --fast",
        "hodsim train a.toml",
        "hodsim simulate a.toml --steps 0",
        "hodsim fly",
        "python apps/none.py",
        "python apps/bent_beam.py --fast",
        "torchrun --nproc-per-node 2 -m hodsim.cli train a.toml --fast",
    ],
)
def test_commands_that_do_not_exist(line: str) -> None:
    (words,) = commands(f"```sh\n{line}  # told\n```\n")
    # typer may carry a click of its own.
    with pytest.raises(Exception) as caught:
        check(words)
    kinds = {kind.__name__ for kind in type(caught.value).__mro__}
    assert kinds & {"UsageError", "KeyError", "FileNotFoundError", "AssertionError"}


def test_inline_options_that_do_not_exist() -> None:
    (words,) = inline_commands("see `hodsim train --fast` for more")
    with pytest.raises(click.UsageError, match="--fast"):
        check(words, whole=False)


def test_scenes_are_read(tmp_path: Path) -> None:
    parts = [(page, block) for page, text in PAGES.items() for block in blocks(text, "toml")]
    assert len(parts) >= 4
    for page, block in parts:
        # Parts of a scene are read in place of those of the start page's.
        table = re.match(r"\[\[?(\w+)\]", block)
        rest = SCENE
        if table:
            rest = re.sub(rf"^\[\[{table[1]}\]\].*?(?=^\[|\Z)", "", SCENE, flags=re.M | re.S)
        (tmp_path / "my_scene.toml").write_text(block if block == SCENE else f"{rest}\n{block}")
        assert read_scene(tmp_path / "my_scene.toml").name == "my_scene", page


def test_every_page_is_in_the_navigation() -> None:
    told = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:\n")[2]
    named = re.findall(r"- (?:[^:\n]+: )?(\S+\.md)$", told, re.MULTILINE)
    assert sorted(named) == sorted(PAGES)


def test_every_picture_is_in_the_gallery() -> None:
    shown = set(re.findall(r"\(pictures/([^)]+)\)", PAGES["gallery.md"]))
    assert shown == {p.name for p in (ROOT / "apps" / "pictures").glob("*.png")}
