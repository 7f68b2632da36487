"""What is measured, how it is written down, and what it means."""

from __future__ import annotations

from dataclasses import dataclass
from math import floor, log10


@dataclass(frozen=True)
class Measure:
    """A measure of a run, and its column in tables.

    Attributes
    ----------
    key
        Its name in a stored row.
    title
        The column's title.
    unit
        "%" for ratios, which are stored as 0.01 for 1 %; else what follows in the title, or "".
    words, formula
        Its definition; the formula is HTML.
    spread
        Whether the worst of the loads is written beside the mean.
    towards
        The best value is the one nearest to full space's, not the smallest.
    whole
        It counts: its means are written without decimals.
    """

    key: str
    title: str
    unit: str
    words: str
    formula: str
    spread: bool = False
    towards: bool = False
    whole: bool = False

    @property
    def head(self) -> str:
        """The column's title with its unit."""
        return f"{self.title} [{self.unit}]" if self.unit else self.title

    def text(self, value: float | None) -> str:
        """A value in the unit of the column, or a dash where there is none."""
        if value is not None and self.whole:
            return f"{value:,.0f}"
        return number(value if value is None or self.unit != "%" else 100.0 * value)


_POSITION = (
    "( &Sigma;<sub>n</sub> &Sigma;<sub>i</sub> |u<sub>i</sub><sup>n</sup> &minus; "
    "&ucirc;<sub>i</sub><sup>n</sup>|&sup2; / &Sigma;<sub>n</sub> &Sigma;<sub>i</sub> "
    "|&ucirc;<sub>i</sub><sup>n</sup>|&sup2; )<sup>&frac12;</sup>, i over the tip"
)
_VELOCITY = "the same with the velocities v<sub>i</sub><sup>n</sup>"

MEASURES = (
    Measure(
        "tip_position_error",
        "tip position",
        "%",
        "Difference of the displacements of the tip's vertices from full space's: RMS over steps "
        "and vertices, over the RMS of full space's motion.",
        _POSITION,
        spread=True,
    ),
    Measure("tip_velocity_error", "tip velocity", "%", "As tip position.", _VELOCITY, spread=True),
    Measure(
        "position_error",
        "body position",
        "%",
        "As tip position, over all vertices that move, weighted by mass.",
        (
            "( &Sigma;<sub>n</sub> &Vert;u<sup>n</sup> &minus; &ucirc;<sup>n</sup>"
            "&Vert;<sub>m</sub>&sup2; / &Sigma;<sub>n</sub> &Vert;&ucirc;<sup>n</sup>"
            "&Vert;<sub>m</sub>&sup2; )<sup>&frac12;</sup>, &Vert;u&Vert;<sub>m</sub>&sup2; = "
            "&Sigma;<sub>i</sub> m<sub>i</sub> |u<sub>i</sub>|&sup2;"
        ),
    ),
    Measure(
        "velocity_error",
        "body velocity",
        "%",
        "As body position.",
        "the same with the velocities v<sup>n</sup>",
    ),
    Measure(
        "worst_vertex_error",
        "worst vertex",
        "%",
        "Largest difference of any vertex at any step, over the largest displacement of any "
        "vertex at any step in full space.",
        (
            "max<sub>n,i</sub> |u<sub>i</sub><sup>n</sup> &minus; "
            "&ucirc;<sub>i</sub><sup>n</sup>| / max<sub>n,i</sub> |&ucirc;<sub>i</sub><sup>n</sup>|"
        ),
    ),
    Measure(
        "energy_error",
        "energy",
        "%",
        "Largest difference of the energy at any step, over the largest energy in full space; "
        "kinetic and elastic energy together, over all tets.",
        "max<sub>n</sub> |E<sup>n</sup> &minus; &Ecirc;<sup>n</sup>| / max<sub>n</sub> "
        "&Ecirc;<sup>n</sup>",
    ),
    Measure(
        "volume_change",
        "volume",
        "%",
        "Largest change of the body's volume at any step. Full space changes it too: best is what "
        "comes nearest to full space's.",
        "max<sub>n</sub> |V<sup>n</sup> / V<sup>0</sup> &minus; 1|",
        towards=True,
    ),
    Measure(
        "newton_iterations",
        "Newton",
        "",
        "Newton's iterations, mean over the steps.",
        "&Sigma;<sub>n</sub> k<sub>n</sub> / N",
    ),
    Measure(
        "step_ms",
        "step",
        "ms",
        "Wall time of a step, median over the steps of a run, one thread. In a subspace the "
        "positions of the mesh are not decoded in it: they are for display and for the errors.",
        "median<sub>n</sub> t<sub>n</sub>",
    ),
    Measure(
        "tets",
        "tets",
        "",
        "Tets at which the elastic forces are evaluated in a step: all in full space, a weighted "
        "few in a subspace that has a cubature.",
        "|{e : w<sub>e</sub> &gt; 0}|",
        whole=True,
    ),
    Measure(
        "training_seconds",
        "training",
        "s",
        "Wall time of fitting the subspace, without making the snapshots and without the cubature; "
        "a dash where it was not recorded.",
        "once a subspace, not once a run",
    ),
)
BY_KEY = {measure.key: measure for measure in MEASURES}
ERRORS = tuple(measure for measure in MEASURES[:6])


DASH = "-"


def number(value: float | None) -> str:
    """Three significant digits, written plainly; a dash for None."""
    if value is None:
        return DASH
    if value == 0.0:
        return "0"
    size = floor(log10(abs(value)))
    if size < -6 or size > 8:
        return f"{value:.1e}"
    return f"{value:,.{max(0, 2 - size)}f}"
