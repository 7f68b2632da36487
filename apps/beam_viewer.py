"""Take the beam by its tip, pull, let go: full space, PCA-6 and HoD-6 under the same hand.

    python apps/beam_viewer.py [--web]

is `hodsim view beam`, whose options it takes.
"""

from __future__ import annotations

import sys

from hodsim.cli import main

if __name__ == "__main__":
    main(["view", "beam", *sys.argv[1:]])
