"""The fits of `hodsim peers`: each peer, its cubature, and what they are worth on the poses."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hodsim.cli import output

if TYPE_CHECKING:
    from hodsim.cubature import Cubature
    from hodsim.fem import Body
    from hodsim.training import FitOptions, Poses

# Poses that a cubature is fitted to with `--quick`.
_QUICK_POSES = 200


class PeerFits:
    """Fits peers and their cubatures, one after another, and measures them on the poses."""

    def __init__(
        self,
        folder: Path,
        body: Body,
        poses: Poses,
        options: FitOptions,
        command: str,
        again: bool,
        quick: bool,
        report: output.Report,
    ) -> None:
        from hodsim.subspaces import load_model

        self.folder, self.body, self.poses, self.options = folder, body, poses, options
        self.command, self.again, self.quick, self.report = command, again, quick, report
        self.model = load_model(folder)
        self.cubatures: dict[str, Cubature] = {}
        self.notes: list[str] = []
        self._new: set[str] = set()

    def fit(self, kind: str, rank: int | None, linear: int | None) -> list[tuple[str, int]]:
        """Make the peer that is asked for; the subspaces of it that have a cubature then."""
        from hodsim.cubature import fit_cubatures, peers_of, usable_cubatures
        from hodsim.subspaces import (
            NESTED,
            NETWORKS,
            load_model,
            other_options,
            peer_name,
            same_poses,
        )
        from hodsim.training import fit_peer

        own = self.model.network.shape.rank
        name = peer_name(kind, rank or own)
        options = replace(
            self.options,
            rank=own if kind in NESTED else rank or own,
            design=kind if kind in NETWORKS else "hod",
            linear=linear if kind == "hybrid" else None,
        )
        if name not in self.model.peers or (self.again and name not in self._new):
            self._new.add(name)
            self.report(name, 0, 1)
            fit_peer(
                self.folder,
                self.body,
                self.model,
                kind,
                options,
                self.poses,
                self.command,
                lambda row: self.report(f"{name} {row['stage']}", row["epoch"], row["epochs"]),
            )
            self.model = load_model(self.folder)
        peer = self.model.peers[name]
        if not same_poses(peer.facts.get("poses"), self.poses.facts):
            self.notes.append(f"kept {name}, fitted to other poses: --again fits it to these")
        differ = other_options(peer.options, asdict(options))
        if differ:
            self.notes.append(
                f"kept {name}, fitted with other {', '.join(differ)}: --again fits it anew"
            )
        wanted = [(kind, rank or own)]
        if kind in NESTED and rank is None and not self.quick:
            wanted = list(peers_of(self.model, (kind,)))
        seen = self.poses.seen.u
        if self.quick:
            seen = seen[:: max(1, len(seen) // _QUICK_POSES)]
        labels = {f"{k}-{r}" for k, r in wanted}
        kept = usable_cubatures(self.folder, self.body, self.model)
        if self.again:
            kept = {k: c for k, c in kept.items() if k not in labels or k in self.cubatures}
        found = fit_cubatures(
            self.folder,
            self.body,
            self.model,
            wanted,
            seen,
            self.poses.measured.u,
            seed=self.options.seed,
            command=self.command,
            kept=kept,
            progress=self.report,
        )
        self.cubatures |= {label: found[label] for label in labels}
        return wanted

    def measure(self, kind: str, rank: int) -> dict[str, Any]:
        """A row of the table."""
        from hodsim.training import reconstruction_error

        label = f"{kind}-{rank}"
        cubature = self.cubatures[label]
        subspace = self.model.subspace(kind, rank)
        return {
            "label": label,
            "held_out_error": reconstruction_error(subspace, self.poses.measured),
            "tets": len(cubature.tets),
            "cubature_error": cubature.held_out_error,
            "seconds": self.model.training_seconds(kind, rank),
        }
