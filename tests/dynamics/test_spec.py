"""Short names of ways to simulate."""

from __future__ import annotations

import pytest

from hodsim.dynamics import Spec, Terms, parse_spec, parse_specs
from hodsim.errors import InputError


def test_names() -> None:
    assert parse_spec("full") == Spec("full")
    assert parse_spec(" PCA-12 ") == Spec("pca", 12)
    assert parse_spec("hod", "lagrangian") == Spec("hod", None, "lagrangian")
    assert parse_spec("pca-12:polynomial") == Spec("pca", 12, polynomial=True)
    assert parse_spec("hod:polynomial", reference=True) == Spec(
        "hod", None, reference=True, polynomial=True
    )
    # Full space has neither formulation nor terms: one reference, whatever the rest is run with.
    assert parse_spec("full", "incremental", Terms(third=False)) == Spec("full")


def test_lists_name_each_once() -> None:
    assert parse_specs("pca-6, hod-6,pca-6,") == (Spec("pca", 6), Spec("hod", 6))


@pytest.mark.parametrize(
    "name", ["", "pca-", "pca-0", "pcb-6", "full-6", "hod-6-6", "6", "pca--6", "pca-6:poly"]
)
def test_refused_names(name: str) -> None:
    with pytest.raises(InputError, match="subspace: expected"):
        parse_spec(name)


def test_full_space_has_no_polynomial() -> None:
    with pytest.raises(InputError, match="polynomial: expected a subspace such as pca-12"):
        parse_spec("full:polynomial")


def test_unknown_formulation() -> None:
    with pytest.raises(InputError, match="formulation: expected incremental or lagrangian"):
        parse_spec("hod-6", "lagrange")


def test_labels_tell_variants_apart() -> None:
    specs = [
        Spec("full"),
        Spec("hod", 6),
        Spec("hod", 6, terms=Terms(third=False)),
        Spec("hod", 6, terms=Terms(False, False)),
        Spec("hod", 6, "lagrangian"),
        Spec("pca", 6, reference=True, polynomial=True),
    ]
    assert [spec.label for spec in specs] == [
        "full",
        "hod-6",
        "hod-6 without third",
        "hod-6 without second and third",
        "hod-6 lagrangian",
        "pca-6 reference polynomial",
    ]
