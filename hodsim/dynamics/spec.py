"""How a body is simulated: in full, or in which subspace and how."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from hodsim.dynamics.reduced import FORMULATIONS, Terms
from hodsim.errors import InputError
from hodsim.subspaces import KINDS

_FORM = re.compile(r"([a-z]+)(?:-([0-9]+))?(:polynomial)?")


@dataclass(frozen=True)
class Spec:
    """One way to simulate a body.

    `kind` is "full" or a subspace (one of `subspaces.KINDS`), `rank` its number of coordinates
    (None: the model's own). `formulation` and `terms` are `ReducedSpace`'s. `reference` asks for
    the readable integrator over all tets instead of the compiled step over a cubature; the
    lagrangian formulation and a matrix with fewer terms have no other. `polynomial` takes the
    elastic forces of a St. Venant-Kirchhoff body as the polynomial that they are, in either
    integrator, in place of a cubature or all tets. Raises `InputError`.
    """

    kind: str
    rank: int | None = None
    formulation: str = FORMULATIONS[0]
    terms: Terms = field(default_factory=Terms)
    reference: bool = False
    polynomial: bool = False

    def __post_init__(self) -> None:
        kinds = ("full", *KINDS)
        if self.kind not in kinds:
            raise InputError(
                f"subspace: expected one of {', '.join(kinds)}, with a rank if any, "
                f"such as pca-12; given {self.kind!r}"
            )
        if self.rank is not None and (self.kind == "full" or self.rank < 1):
            wanted = "no rank for full" if self.kind == "full" else "a rank of at least 1"
            raise InputError(f"subspace: expected {wanted}, given {self.kind}-{self.rank}")
        if self.polynomial and self.kind == "full":
            raise InputError("polynomial: expected a subspace such as pca-12, given full")
        if self.formulation not in FORMULATIONS:
            raise InputError(
                f"formulation: expected {' or '.join(FORMULATIONS)}, given {self.formulation!r}"
            )

    @property
    def compiled(self) -> bool:
        """Whether the compiled step takes it."""
        plain = self.formulation == FORMULATIONS[0] and self.terms == Terms()
        return self.kind != "full" and plain and not self.reference

    @property
    def label(self) -> str:
        """A name for tables and plots: "pca-12", "hod-6 without third", "hod-6 lagrangian"."""
        name = self.kind if self.rank is None else f"{self.kind}-{self.rank}"
        lost = [k for k in ("second", "third") if not getattr(self.terms, k)]
        variant = [self.formulation] if self.formulation != FORMULATIONS[0] else []
        variant += ["reference"] if self.reference and self.kind != "full" else []
        variant += ["polynomial"] if self.polynomial else []
        return " ".join([name, *variant, *([f"without {' and '.join(lost)}"] if lost else [])])


def parse_spec(
    text: str,
    formulation: str = FORMULATIONS[0],
    terms: Terms | None = None,
    reference: bool = False,
) -> Spec:
    """The spec that a short name says: "full", "pca-12", "hod" (of the model's own rank), or
    "pca-12:polynomial".

    Raises `InputError` for another form, an unknown subspace, or a rank below 1.
    """
    match = _FORM.fullmatch(text.strip().lower())
    if match is None:
        raise InputError(
            f"subspace: expected a name such as full, pca-12, quadratic-6 or hod-6; given {text!r}"
        )
    kind, rank = match[1], None if match[2] is None else int(match[2])
    polynomial = match[3] is not None
    if kind == "full":
        return Spec(kind, rank, polynomial=polynomial)
    return Spec(kind, rank, formulation, terms or Terms(), reference, polynomial)


def parse_specs(
    texts: str | Sequence[str], formulation: str = FORMULATIONS[0], reference: bool = False
) -> tuple[Spec, ...]:
    """Specs of a list of short names, or of one string with commas; each named once."""
    parts = texts.split(",") if isinstance(texts, str) else texts
    return tuple(
        dict.fromkeys(
            parse_spec(part, formulation, None, reference) for part in parts if part.strip()
        )
    )
