"""What the code itself tells, put in place of `<!-- made: WHAT -->` when the site is built.

A hook of mkdocs. WHAT is `keys TABLE` (of a scene file), `commands`, `names` (the public ones) or
`source NAME` (of a function or class, by its full name).
"""

from __future__ import annotations

import ast
import re
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
# Hooks are loaded by path: what stands beside this one and the repository are to be found.
sys.path[:0] = [str(Path(__file__).parent), str(ROOT)]

import scene_keys  # noqa: E402

_MARK = re.compile(r"^<!-- made: (?P<what>\w+) ?(?P<which>[\w.]*) -->$", re.MULTILINE)


def rows(head: tuple[str, ...], lines: list[tuple[str, ...]]) -> str:
    """A table in Markdown."""
    shown = [head, ("---",) * len(head), *lines]
    return "\n".join(
        "| " + " | ".join(c.replace("|", "\\|") for c in line) + " |" for line in shown
    )


def keys(table: str) -> str:
    """The keys of one table of a scene file."""
    words = {scene_keys.MUST, "none", "below", "lumped", "full space", "the file's name"}

    def shown(default: str) -> str:
        plain = default in words or (" " in default.strip("[]") and default[0] not in '"[')
        return default if plain or default.startswith("or ") else f"`{default}`"

    return rows(
        ("key", "value", "unit", "default", "meaning"),
        [
            (f"`{k.name}`", k.value, k.unit, shown(k.default), k.meaning)
            for k in scene_keys.keys_of(table)
        ],
    )


def commands(_: str) -> str:
    """Every command with its arguments and options, from the command line itself."""
    import typer

    from hodsim.cli import app

    parts = []
    for name, command in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]
        context = command.make_context(name, [], resilient_parsing=True)
        records = [p.get_help_record(context) for p in command.get_params(context)]
        # A link to Markdown, a range or a default to the reader.
        lines = [
            (f"`{used}`", " ".join(told.split()).replace("[", "\\["))
            for used, told in filter(None, records)
        ]
        told = command.help.replace("\f", "")
        parts.append(f"## hodsim {name}\n\n{told}\n\n{rows(('', ''), lines)}")
    return "\n\n".join(parts)


def names(_: str) -> str:
    """The names that `import hodsim` gives, and where they are at home."""
    import hodsim

    lines = []
    for name in hodsim.__all__:
        value = getattr(hodsim, name)
        first = " ".join((value.__doc__ or "").split("\n\n")[0].split())
        lines.append((f"[`{name}`][{value.__module__}.{name}]", first))
    return rows(("name", "what it is"), lines)


def source(name: str) -> str:
    """The source of a function or class of `hodsim`, folded up under its name."""
    place, text = found(name)
    folded = textwrap.indent(f"```python\n{text}\n```", "    ")
    return f'??? quote "{name} ({place})"\n\n{folded}'


def found(name: str) -> tuple[str, str]:
    """Where in the repository a function or class stands ("hodsim/mesh/files.py"), and its text.

    The name may be that of a room which exports it: "hodsim.mesh.read_mesh".
    """
    path, parts = _module(name)
    if not parts:
        raise KeyError(f"{name}: expected a function or class, given a module")
    text = path.read_text(encoding="utf-8")
    node: Any = ast.parse(text)
    for part in parts:
        inside = [child for child in node.body if getattr(child, "name", None) == part]
        if not inside:
            return found(".".join([_imported(node, part, name), *parts[1:]]))
        node = inside[0]
    lines = text.splitlines()[node.lineno - 1 : node.end_lineno]
    return str(path.relative_to(ROOT)), textwrap.dedent("\n".join(lines))


def _module(name: str) -> tuple[Path, list[str]]:
    """The file of the longest module that a name begins with, and the rest of the name."""
    parts = name.split(".")
    for k in range(len(parts), 0, -1):
        place = ROOT.joinpath(*parts[:k])
        for path in (place.with_suffix(".py"), place / "__init__.py"):
            if path.is_file():
                return path, parts[k:]
    raise KeyError(f"{name}: expected a module of hodsim before the name")


def _imported(node: ast.AST, part: str, name: str) -> str:
    """The full name of what a module imports as `part`."""
    for line in ast.walk(node):
        if isinstance(line, ast.ImportFrom) and part in [alias.name for alias in line.names]:
            return f"{line.module}.{part}"
    raise KeyError(f"{name}: there is no {part}")


_MAKERS: dict[str, Callable[[str], str]] = {
    "keys": keys,
    "commands": commands,
    "names": names,
    "source": source,
}


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace every mark."""
    return _MARK.sub(lambda found: _MAKERS[found["what"]](found["which"]), markdown)
