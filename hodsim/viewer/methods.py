"""What subspaces are called, described and drawn like."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Method:
    """A kind of subspace: its title, a sentence, and its colour, marker and line in plots."""

    title: str
    words: str
    colour: str
    marker: str
    dash: str


# Okabe and Ito's colours but for their yellow, which white paper swallows: here black and brown.
METHODS = {
    "full": Method(
        "full space",
        "Every free vertex moves: the reference of all errors.",
        "#555555",
        "",
        "-",
    ),
    "hod": Method(
        "HoD",
        "HoD-Net: a decoder with a linear skip, the network of the paper.",
        "#D55E00",
        "*",
        "-",
    ),
    "pca": Method("PCA", "Principal directions of the snapshots, r of them.", "#0072B2", "o", "-"),
    "evenpca": Method(
        "even PCA",
        "Principal directions of the snapshots, which weigh as in the loss of the networks.",
        "#4B3FA8",
        "p",
        ":",
    ),
    "masspca": Method(
        "mass PCA", "Principal directions in the inner product of the mass.", "#56B4E9", "s", "--"
    ),
    "stiffpca": Method(
        "stiffness PCA",
        "Principal directions in the inner product of the stiffness at rest.",
        "#009E73",
        "^",
        "-.",
    ),
    "modal": Method(
        "modal",
        "Vibration modes and their derivatives (Barbič and James 2005); it sees no snapshots.",
        "#E69F00",
        "v",
        ":",
    ),
    "quadratic": Method(
        "quadratic",
        "Quadratic manifold: PCA coordinates, and the rest as squares and products of them.",
        "#CC79A7",
        "D",
        "--",
    ),
    "evenquadratic": Method(
        "even quadratic",
        "Quadratic manifold fitted to snapshots that weigh as in the loss of the networks.",
        "#9A4FA0",
        "d",
        "-.",
    ),
    "autoencoder": Method(
        "autoencoder",
        "Autoencoder over PCA coordinates (Fulton et al. 2019).",
        "#000000",
        "P",
        "-.",
    ),
    "hybrid": Method(
        "hybrid",
        "Half the coordinates are PCA's, the rest feed a network (Shen et al. 2021).",
        "#8B6B3D",
        "X",
        ":",
    ),
}
_KINDS = list(METHODS)


def method(kind: str) -> Method:
    """How a kind is shown; a kind unknown here goes by its own name, in grey."""
    return METHODS.get(kind, Method(kind, "", "#888888", "h", "-"))


def body_title(label: str) -> str:
    """A label as readers know it: "PCA-6" of "pca-6", "HoD-6 lagrangian" of "hod-6 lagrangian"."""
    name, space, variant = label.partition(" ")
    kind, dash, rank = name.partition("-")
    return method(kind).title + dash + rank + space + variant


def order(kind: str, rank: int | None, label: str) -> tuple[int, int, str]:
    """Sorts labels: full space first, then by method and rank."""
    place = _KINDS.index(kind) if kind in METHODS else len(_KINDS)
    return place, rank or 0, label
