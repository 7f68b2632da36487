"""`python -m hodsim.cli`."""

from __future__ import annotations

from hodsim.cli import main

main()
