"""Lane plans: closure, order of rows, the short mixing tables; lanes in inference mode."""

from __future__ import annotations

from itertools import combinations_with_replacement
from math import comb

import pytest
import torch
from torch import nn

from hodsim import InputError
from hodsim.derivatives import LanePlan, push
from hodsim.derivatives.mixing import mixing_tables

CPU = torch.device("cpu")


def test_closure_holds_every_part_once_in_order() -> None:
    plan = LanePlan.closure([(2, 0, 0)], 3)
    assert plan.lanes == ((), (0,), (2,), (0, 0), (0, 2), (0, 0, 2))
    assert (plan.order, plan.n_lanes, plan.counts) == (3, 6, (1, 2, 2, 1))
    assert plan.row((2, 0)) == 4
    assert LanePlan.closure([(0, 2, 0), (0,)], 3).lanes == plan.lanes
    assert LanePlan.closure([(2, 0, 0)], 3) is plan
    assert LanePlan.closure([], 0).lanes == ((),)


@pytest.mark.parametrize(("n", "order"), [(1, 4), (4, 3), (5, 2), (3, 0)])
def test_symmetric_is_all_ascending_tuples(n: int, order: int) -> None:
    plan = LanePlan.symmetric(n, order)
    wanted = [lane for k in range(order + 1) for lane in combinations_with_replacement(range(n), k)]
    assert list(plan.lanes) == wanted
    assert plan.counts == tuple(comb(n + k - 1, k) for k in range(order + 1))


def test_the_integrators_lanes_are_each_carried_once() -> None:
    # D^3 f[v, v, e_i] for all i with all of D^2 f: 1 + 7 + 28 + 6 lanes, not 2^3 for each i.
    lanes = [(i, j) for i in range(7) for j in range(7)] + [(i, 6, 6) for i in range(6)]
    assert LanePlan.closure(lanes, 7).counts == (1, 7, 28, 6)


@pytest.mark.parametrize("v", [0, 2, 6])
def test_coinciding_partitions_merge_wherever_v_stands(v: int) -> None:
    others = [i for i in range(7) if i != v]
    plan = LanePlan.closure([(v, v, i) for i in others], 7)
    ((blocks, terms),) = mixing_tables(plan, CPU)[1].terms
    assert blocks == 2
    assert [term.coefficient for term in terms] == [1, 2]  # x_vv x_e + 2 x_ve x_v


def test_distinct_directions_do_not_merge() -> None:
    ((_, terms),) = mixing_tables(LanePlan.symmetric(3, 3), CPU)[1].terms
    assert [term.coefficient for term in terms] == [1, 1, 1]


def test_bad_lanes_are_refused() -> None:
    with pytest.raises(InputError, match=r"0\.\.1, got lane \(0, 2\)"):
        LanePlan.closure([(2, 0)], 2)
    with pytest.raises(InputError, match="n >= 1"):
        LanePlan.symmetric(0, 2)
    plan = LanePlan.closure([(0, 1)], 2)
    lanes = push(nn.Identity(), torch.zeros(3), torch.ones(2, 3), plan)
    with pytest.raises(InputError, match=r"got \(0, 0\)"):
        lanes[(0, 0)]
    with pytest.raises(InputError, match=r"0\.\.2"):
        lanes.order(3)


def test_zero_lanes_are_not_stored_but_read_as_zero() -> None:
    plan = LanePlan.closure([(0, 1)], 2)
    x, directions = torch.randn(4, 3), torch.randn(2, 3)
    lanes = push(nn.Linear(3, 5), x, directions, plan)
    assert lanes.filled == 1
    assert lanes.values.shape == (3, 4, 5)
    assert torch.equal(lanes[(0, 1)], torch.zeros(4, 5))
    assert torch.equal(lanes.order(2), torch.zeros(1, 4, 5))
    assert torch.equal(lanes.fill().values[:3], lanes.values)
    assert lanes.fill().values.shape == (4, 4, 5)


def test_lanes_side_by_side() -> None:
    plan = LanePlan.closure([(0, 1)], 2)
    x, directions = torch.randn(3), torch.randn(2, 3)
    q = push(nn.Identity(), x, directions, plan)
    z = push(nn.Tanh(), x, directions, plan)
    both = push(lambda t: torch.cat([torch.tanh(t), t]), x, directions, plan)
    assert both.filled == 2
    close = torch.testing.assert_close
    close(both[(0, 1)], torch.cat([z[(0, 1)], torch.zeros(3)]))
    close(both[(1,)], torch.cat([z[(1,)], directions[1]]))
    close((z + q)[(1,)], z[(1,)] + directions[1])
    close((z + q)[(0, 1)], z[(0, 1)])
    assert bool((z[(0, 1)] != 0).all())
    other = push(nn.Tanh(), x, directions, LanePlan.symmetric(2, 2))
    with pytest.raises(InputError, match="share one LanePlan"):
        q + other


def test_sums_of_highest_lanes_travel_as_one() -> None:
    symmetric = LanePlan.symmetric(3, 2)
    weights = torch.tensor([[1.0, 0, 0, 1, 0, 1], [0, 2.0, 0, 0, -1, 0]])  # trace, 2 xy - yz
    plan = symmetric.collapsed(weights)
    assert plan.counts == (1, 3, 2)
    x, eye = torch.randn(3, dtype=torch.float64), torch.eye(3, dtype=torch.float64)

    def f(t: torch.Tensor) -> torch.Tensor:
        return torch.cat([torch.tanh(t.sum().reshape(1)) * t, t.sin() * t.flip(0)])

    every, sums = (push(f, x, eye, p) for p in (symmetric, plan))
    torch.testing.assert_close(sums.order(2), weights.double() @ every.order(2))
    torch.testing.assert_close(sums.order(1), every.order(1))
    with pytest.raises(InputError, match=r"weights: expected shape \(sums, 6\)"):
        symmetric.collapsed(torch.ones(2, 5))


def test_tables_made_in_inference_mode_still_serve_autograd() -> None:
    plan = LanePlan.closure([(0, 0, 2), (1, 2)], 4)  # used nowhere else: built here
    x, directions = torch.randn(3), torch.randn(4, 3)
    with torch.inference_mode():
        push(nn.SiLU(), x, directions, plan)
    x = x.clone().requires_grad_(True)
    push(nn.SiLU(), x, directions.clone(), plan).values.sum().backward()
    assert x.grad is not None
    assert bool((x.grad != 0).all())
