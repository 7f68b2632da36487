"""Set partitions: the index sets of Faa di Bruno's formula, in exact integers."""

from __future__ import annotations

from functools import cache

Partition = tuple[tuple[int, ...], ...]


@cache
def set_partitions(k: int) -> tuple[Partition, ...]:
    """All partitions of {0, ..., k-1} into non-empty blocks.

    Blocks are ascending tuples, ordered by their first element. There are Bell(k) of them:
    1, 1, 2, 5, 15, 52, 203 for k = 0..6. That growth, not the number of inputs, is what an order
    costs.
    """
    if k < 0:
        raise ValueError(f"set_partitions: expected k >= 0, got {k}")
    if k == 0:
        return ((),)
    last = k - 1
    grown: list[Partition] = []
    for partition in set_partitions(last):
        for i, block in enumerate(partition):
            grown.append((*partition[:i], (*block, last), *partition[i + 1 :]))
        grown.append((*partition, (last,)))
    return tuple(grown)
