"""The short form of tests/soak/kill.py: killed training goes on to the same bits."""

from __future__ import annotations

from pathlib import Path

import pytest
from soak.kill import contents, damaged, soak


@pytest.mark.slow
def test_a_killed_training_ends_with_the_bits_of_one_undisturbed(tmp_path: Path) -> None:
    out = soak(2, 3, tmp_path)
    assert out.bad == []
    assert out.kills == 2
    # What it looks at is there, and it would see what is wrong.
    whole = tmp_path / "whole"
    told = contents(whole)
    assert len([name for name in told if name.endswith(".safetensors")]) > 3
    weights = whole / "weights.safetensors"
    sound = weights.read_bytes()
    weights.write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))
    assert damaged(whole) == []
    assert contents(whole) != told
    weights.write_bytes(sound[:-1])
    motion = next((whole / "snapshots").glob("*.h5"))
    motion.write_bytes(motion.read_bytes()[:-100])
    found = damaged(whole)
    assert [line.partition(":")[0] for line in found] == [str(motion), str(weights)]
