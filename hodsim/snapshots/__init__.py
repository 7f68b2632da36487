"""Poses of full-space motions, stored with where they come from."""

from __future__ import annotations

from hodsim.snapshots.store import Snapshots, Store, origin_of, tagged_of

__all__ = ["Snapshots", "Store", "origin_of", "tagged_of"]
