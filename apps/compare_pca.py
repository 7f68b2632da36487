"""HoD-Net against PCA of rising rank, over all held-out loads: the paper's main claim as a table.

    python apps/compare_pca.py [DIR]

writes report.html, results.json, results.csv and error.png into DIR (hodsim-pca unless given).
Takes a minute or two. It is `hodsim compare` with these subspaces; `hodsim compare --help` tells
what else can be asked.
"""

from __future__ import annotations

import sys

from hodsim.cli import main

RANKS = (6, 9, 12, 15, 18, 20)

if __name__ == "__main__":
    subspaces = ",".join([*(f"pca-{r}" for r in RANKS), "hod-6"])
    main(["compare", "--subspaces", subspaces, "--out", *(sys.argv[1:] or ["hodsim-pca"])])
