"""Ask every outside link of pages, README and CONTRIBUTING whether it is there.

    python docs/tools/external.py

Prints those that are not, and exits with 1 if there are any. Needs the network, so it is no test.
"""

from __future__ import annotations

import re
import sys
import urllib.request
from pathlib import Path

ROOT = Path(__file__).parents[2]
_LINK = re.compile(r"https?://[^\s)>\]\"'`]+")
_PATIENCE = 20.0  # s


def links() -> dict[str, list[str]]:
    """Every outside link, and the files that have it."""
    found: dict[str, list[str]] = {}
    for path in (*sorted((ROOT / "docs").rglob("*.md")), *sorted(ROOT.glob("*.md"))):
        for link in _LINK.findall(path.read_text(encoding="utf-8")):
            found.setdefault(link.rstrip(".,;"), []).append(str(path.relative_to(ROOT)))
    return found


def wrong(link: str) -> str | None:
    """Why a link is not there; None if it is."""
    request = urllib.request.Request(link, headers={"User-Agent": "hodsim-docs"})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=_PATIENCE) as answer:  # noqa: S310
            return None if answer.status < 400 else f"status {answer.status}"
    except (OSError, ValueError) as error:
        return str(error)


def main() -> None:
    """Ask them all."""
    found = links()
    bad = {link: why for link in found if (why := wrong(link)) is not None}
    for link, why in bad.items():
        print(f"{link} ({', '.join(dict.fromkeys(found[link]))}): {why}")
    print(f"{len(found) - len(bad)} of {len(found)} links are there")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
