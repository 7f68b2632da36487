"""Commands of the pages, typed one after the other as a reader would, where they take seconds."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from documents import ROOT, commands
from small import Run

from hodsim.files import data_dir

PAGES = ("exchange", "guard", "obstacles")
SHORTER = {"simulate": ["--steps", "20"], "film": ["--quick"]}
LEFT_OUT = {"pip", "python", "view"}  # installations, long runs, windows


def typed(page: str) -> list[list[str]]:
    text = (ROOT / "docs" / "howto" / f"{page}.md").read_text(encoding="utf-8")
    lines = [words for words in commands(text) if not LEFT_OUT & set(words[:2])]
    assert all(words[0] == "hodsim" for words in lines)
    return [words[1:] for words in lines]


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_followed(
    page: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if page == "exchange":
        pytest.importorskip("onnx")
        pytest.importorskip("onnxruntime")
    monkeypatch.chdir(tmp_path)
    shutil.copytree(data_dir("trained_models") / "beam", "my_model")
    mesh = str(data_dir("meshes") / "beam.vtu")
    scene = (data_dir("scenes") / "bend.toml").read_text(encoding="utf-8")
    scene = scene.replace("../../meshes/beam.vtu", mesh)
    Path("my_scene.toml").write_text(scene.replace("../../trained_models/beam", "my_model"))
    lines = typed(page)
    assert lines
    for words in lines:
        code, _, err = run(*words, *SHORTER.get(words[0], []))
        assert (code, err) == (0, ""), words
        for option in ("--out", "--onnx"):
            if option in words:
                assert Path(words[words.index(option) + 1]).stat().st_size > 0
