"""Pictures of the repository, copied into the site when it is built: `pictures/NAME` in a page.

A hook of mkdocs. They stay in apps/pictures, where the commands that make them write.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

FOLDER = Path(__file__).parents[2] / "apps" / "pictures"


def on_files(files: Files, config: MkDocsConfig, **_: Any) -> Files:
    """Add every picture."""
    for path in sorted(FOLDER.glob("*.png")):
        files.append(File.generated(config, f"pictures/{path.name}", abs_src_path=str(path)))
    return files
