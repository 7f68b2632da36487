"""Set partitions against Bell's triangle and their definition."""

from __future__ import annotations

import pytest

from hodsim.derivatives import set_partitions


@pytest.mark.parametrize(("k", "bell"), list(enumerate([1, 1, 2, 5, 15, 52, 203, 877])))
def test_every_partition_once(k: int, bell: int) -> None:
    partitions = set_partitions(k)
    assert len({frozenset(frozenset(block) for block in p) for p in partitions}) == bell
    assert len(partitions) == bell
    for partition in partitions:
        assert sorted(i for block in partition for i in block) == list(range(k))
        assert all(block == tuple(sorted(block)) and block for block in partition)


def test_negative_is_refused() -> None:
    with pytest.raises(ValueError, match="k >= 0"):
        set_partitions(-1)
