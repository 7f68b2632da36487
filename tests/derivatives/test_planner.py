"""Counted costs against counts by hand, and the choices that follow from them."""

from __future__ import annotations

from itertools import pairwise

import pytest

from hodsim import InputError
from hodsim.derivatives.planner import choose


def _dims(*widths: int) -> list[tuple[int, int]]:
    return list(pairwise(widths))


def test_costs_of_a_jacobian_by_hand() -> None:
    costs = choose(_dims(4, 7, 6, 5), k=0, free=1).costs
    # L_0 is the tangents' start and L_2 the adjoints': neither is a product.
    assert costs == {
        "forward": 4 * (7 * 6 + 6 * 5),
        "adjoint": 5 * (7 * 6 + 4 * 7),
        "bottleneck": 7 * (7 * 6 + 6 * 5) + 4 * 7 * 5,
    }


def test_costs_of_a_hessian_by_hand() -> None:
    costs = choose(_dims(4, 7, 6, 5), k=0, free=2).costs
    assert costs == {
        "forward": 10 * (42 + 30) + 4 * 42,
        "pairs": (4 + 5) * 42 + 5 * 10 * 13,
        "bottleneck": (7 + 5) * 42 + 5 * (28 * 13 + 49 * 4 + 7 * 10),
    }
    scalar = choose(_dims(4, 7, 6, 5), k=0, free=2, left=True).costs
    assert scalar["pairs"] == (4 + 1) * 42 + 10 * 13


def test_the_direction_follows_the_longer_side() -> None:
    tall, flat = _dims(40, *[200] * 7, 400), _dims(400, *[200] * 7, 40)
    assert choose(tall, 0, 1).scheme == "forward"
    assert choose(flat, 0, 1).scheme == "adjoint"
    assert choose(tall, 2, 1, lanes=4).scheme == "forward"
    assert choose(tall, 2, 1, left=True).scheme == "adjoint"
    assert choose(tall, 0, 2).scheme == "forward"
    assert choose(flat, 0, 2).scheme == "bottleneck"
    assert choose(tall, 0, 2, left=True).scheme == "pairs"
    assert choose(_dims(300, 20, 300, 200, 300), 0, 1).scheme == "bottleneck"
    assert choose(tall, 2, 0).scheme == "forward"


def test_costs_grow_with_lanes_and_batch() -> None:
    dims = _dims(4, 7, 6, 5)
    one, four = (choose(dims, 2, 1, lanes=lanes).costs["forward"] for lanes in (1, 4))
    assert four - one == 3 * 4 * 42
    assert choose(dims, 0, 1, batch=8).costs["adjoint"] == 8 * choose(dims, 0, 1).costs["adjoint"]


def test_layers_in_a_row_are_counted_one_by_one() -> None:
    assert choose([(4, 3, 7), (7, 6), (6,)], 0, 1).costs["adjoint"] == 6 * (7 * 6 + 12 + 21)


def test_a_choice_explains_itself_in_one_line() -> None:
    choice = choose(_dims(40, 200, 200, 400), 0, 1)
    assert choice.reason.startswith("forward: fewest multiply-adds (forward 4.8 M, ")
    assert "\n" not in choice.reason
    forced = choose(_dims(40, 200, 200, 400), 0, 1, scheme="adjoint")
    assert (forced.scheme, forced.costs) == ("adjoint", choice.costs)
    assert "forced" in forced.reason


def test_a_scheme_that_does_not_apply_is_refused() -> None:
    with pytest.raises(InputError, match=r"expected one of forward, pairs, bottleneck .*'adjoint'"):
        choose(_dims(4, 7, 5), 0, 2, scheme="adjoint")
    with pytest.raises(InputError, match=r"expected one of forward for k=1, free=0, got 'pairs'"):
        choose(_dims(4, 7, 5), 1, 0, scheme="pairs")
