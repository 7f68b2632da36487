"""What both optimisers share: parameters as one vector, the global gradient, and the record."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from hodsim.errors import InputError
from hodsim.optimizers.cg import Solution
from hodsim.optimizers.control import Taken
from hodsim.optimizers.objective import Objective, check_network, finite
from hodsim.optimizers.products import CURVATURES, Counter, Layout, Products
from hodsim.optimizers.record import ABANDONED, ACCEPTED, Record, Spent

Report = Callable[[Record], None]


class CurvatureOptimizer(torch.optim.Optimizer):
    """An optimiser whose steps come from products of curvature and vector on one batch.

    params : a network, or parameters, or groups of them, each with a "damping" of its own if it
        likes. Those that do not require a gradient are frozen.
    report : given the record of each step.

    Attributes
    ----------
    record : of the last step, or None.
    spent : evaluations since the start, those of `look` included.
    """

    def __init__(self, params: Any, damping: float, curvature: str, report: Report | None) -> None:
        if curvature not in CURVATURES:
            raise InputError(
                f"curvature: expected one of {', '.join(CURVATURES)}, got {curvature!r}"
            )
        groups = list(params.parameters() if isinstance(params, nn.Module) else params)
        if not groups:
            raise InputError("params: expected at least one parameter, got an empty list")
        super().__init__(groups, {"damping": damping})
        for i, group in enumerate(self.param_groups):
            at_least(f"damping of group {i}", group["damping"], 0.0)
        self.curvature, self.report = curvature, report
        self.record: Record | None = None
        self._counter = Counter()
        self._batches: Sequence[Objective] | None = None

    @property
    def spent(self) -> Spent:
        return self._counter.spent

    # ---------------------------------------------------------------- the step

    def step(  # type: ignore[override]
        self, closure: Objective, curvature: Objective | None = None
    ) -> float:
        """One step on a batch; returns its loss before the step, as torch's optimisers do.

        `record` then says what was done. Whatever is raised, Ctrl-C too, parameters are as they
        were.

        closure : a `Batch`, or an `Objective` where Hessian products are enough.
        curvature : the batch that products are made on, if not the same: a smaller one saves time
            (Martens 2010).

        Raises
        ------
        InputError : the closure is no `Objective` of this optimiser's parameters; the loss is not
            finite, or does not depend on some parameter.
        UnknownRuleError : the network does what hodsim.derivatives has no rule for, by name.
        """
        at = self._place(closure)
        near = Products(closure, self._layout(closure), at, self._counter)
        bent = near
        if curvature is not None:
            self._place(curvature)
            bent = Products(curvature, self._layout(curvature), at, self._counter)
        before = self._counter.spent
        with torch.no_grad(), self._restoring(closure.network):
            decided, trial = self._try(near, bent)
            if trial is not None:
                self._write(trial)
            if closure.advance():
                self._counter.value(closure)
            self._learn(decided)
        self._add("steps")
        record = replace(decided, step=self._count("steps"), spent=self._counter.spent - before)
        self.record = record
        if self.report is not None:
            self.report(record)
        return record.loss_before

    @abstractmethod
    def _try(self, near: Products, bent: Products) -> tuple[Record, Tensor | None]:
        """Decide a step without touching anything: its record, and where it leads if taken.

        near : loss and gradient.
        bent : curvature.
        """

    @abstractmethod
    def _learn(self, record: Record) -> None:
        """Make ready for the next step."""

    @contextmanager
    def _restoring(self, network: nn.Module) -> Iterator[None]:
        """Give parameters and buffers their values back if anything is raised."""
        held = [p for p, _ in self._free()] + list(network.buffers())
        old = [t.detach().clone() for t in held]
        try:
            yield
        except BaseException:
            with torch.no_grad():
                for t, saved in zip(held, old, strict=True):
                    t.copy_(saved)
            raise

    # ---------------------------------------------------------------- the global gradient

    def look(self, batches: Iterable[Objective], now: bool = True) -> float | None:
        """Take the gradient over all batches, weighted by their sizes: the global gradient.

        Returns the loss over all of them. Batches are kept for refreshing. After `load_state_dict`
        give them again with ``now=False``: the gradient in the state is then used until it is due.
        """
        kept = list(batches)
        if not kept:
            raise InputError("batches: expected at least one, got none")
        for batch in kept:
            self._place(batch)
        self._batches = kept
        return self._refresh() if now else None

    def _refresh(self) -> float | None:
        """Take the global gradient anew, and the loss with it; nothing where nobody looked."""
        if self._batches is None:
            return None
        total = sum(batch.size for batch in self._batches)
        loss, sums = 0.0, torch.zeros_like(self._place(self._batches[0]))
        for batch in self._batches:
            near = Products(batch, self._layout(batch), self._place(batch), self._counter)
            value, gradient = near.gradient()
            loss += value * batch.size / total
            sums += gradient * (batch.size / total)
        self._keep("global_gradient", sums)
        return loss

    def _global_gradient(self) -> Tensor | None:
        kept = self._kept("global_gradient")
        if kept is not None and self._batches is None:
            raise InputError(
                "look: expected the batches of the global gradient in the loaded state; call "
                "look(batches, now=False) before step"
            )
        return kept

    # ---------------------------------------------------------------- vectors and parameters

    def _free(self) -> list[tuple[Tensor, float]]:
        """Free parameters with their damping, in order."""
        pairs = [
            (p, float(g["damping"]))
            for g in self.param_groups
            for p in g["params"]
            if p.requires_grad
        ]
        if not pairs:
            raise InputError(
                "params: expected at least one that requires a gradient, got none; unfreeze one"
            )
        return pairs

    def _layout(self, objective: Objective) -> Layout:
        names = {id(p): name for name, p in objective.network.named_parameters()}
        return Layout({names[id(p)]: p.shape for p, _ in self._free()})

    def _place(self, objective: Objective) -> Tensor:
        """The free parameters as one vector, a copy; checks that they are the objective's."""
        if not isinstance(objective, Objective):
            raise InputError(
                f"closure: expected a Batch or an Objective, got {type(objective).__name__}; wrap "
                "a plain closure as Objective(network, closure)"
            )
        check_network(objective.network)  # dropout may have been turned on since it was made
        own = {id(p) for p in objective.network.parameters()}
        free = [p for p, _ in self._free()]
        if strangers := [p for p in free if id(p) not in own]:
            raise InputError(
                f"closure: expected one of a network that holds all {len(free)} parameters of the "
                f"optimiser, {len(strangers)} are not in it; give the network that it was made for"
            )
        if len({(p.dtype, p.device) for p in free}) > 1:
            raise InputError("params: expected one type and one device, got a mixture")
        return self._flat()

    def _flat(self) -> Tensor:
        return torch.cat([p.detach().reshape(-1) for p, _ in self._free()])

    def _damping(self) -> float | Tensor:
        """A number where all groups agree, else one for each entry."""
        pairs = self._free()
        if len({d for _, d in pairs}) == 1:
            return pairs[0][1]
        return torch.cat([p.new_full((p.numel(),), d) for p, d in pairs])

    def _adapt(self, change: Callable[[float], float]) -> None:
        """Change every group's damping."""
        for group in self.param_groups:
            group["damping"] = change(group["damping"])

    def _write(self, vector: Tensor) -> None:
        for p, part in self._parts(vector):
            p.copy_(part)

    def _parts(self, vector: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """The free parameters, each with its part of a vector, of its shape."""
        free = [p for p, _ in self._free()]
        for p, part in zip(free, vector.split([p.numel() for p in free]), strict=True):
            yield p, part.view_as(p)

    def _keep(self, name: str, vector: Tensor) -> None:
        """Keep a vector between steps, parameter by parameter, in torch's state."""
        for p, part in self._parts(vector):
            self.state[p][name] = part.clone()

    def _kept(self, name: str) -> Tensor | None:
        """A vector kept before; parameters unfrozen since count as 0, None if there is none."""
        free = [p for p, _ in self._free()]
        if not any(name in self.state[p] for p in free):
            return None
        return torch.cat([self.state[p].get(name, torch.zeros_like(p)).reshape(-1) for p in free])

    def _told(self, record: Record, solved: Solution, turned: bool = False) -> Record:
        """A record with what conjugate gradients did; nothing is taken yet."""
        return replace(
            record,
            outcome=ABANDONED,
            damping=float(self.param_groups[0]["damping"]),
            cg_iterations=solved.iterations,
            cg_ended=solved.ended,
            residual=finite(solved.residual),
            smallest_curvature=solved.smallest,
            flat=solved.flat,
            reversed=turned,
        )

    def _count(self, name: str) -> int:
        return int(self.param_groups[0].get(name, 0))

    def _add(self, name: str) -> int:
        """Count something up in torch's state; the new count."""
        count = self._count(name) + 1
        self.param_groups[0][name] = count
        return count


def whole_loss(near: Products) -> tuple[float, Tensor, float]:
    """The loss, its gradient and that gradient's norm.

    Raises
    ------
    InputError : one of them is not finite.
    """
    loss, gradient = near.gradient()
    norm = float(torch.linalg.vector_norm(gradient))
    if not math.isfinite(loss) or not math.isfinite(norm):
        what = f"loss: expected a finite number, got {loss}"
        if math.isfinite(loss):
            what = f"gradient: expected finite numbers, got a norm of {norm}"
        raise InputError(f"{what} at the present parameters; look at the data, or start elsewhere")
    return loss, gradient, norm


def concluded(record: Record, taken: Taken) -> Record:
    """A record with what came of the search along the direction."""
    told = replace(record, ratio=taken.ratio, taylor=taken.taylor, trials=taken.trials)
    if not taken.length:
        return replace(told, why=f"no length of {taken.trials} tried lowers the loss")
    return replace(told, outcome=ACCEPTED, loss_after=taken.loss, length=taken.length)


def moved(point: Tensor, d: Tensor, taken: Taken) -> Tensor | None:
    """Where a step leads, if it is taken; the very values at which its loss was found."""
    return point.add(d, alpha=taken.length) if taken.length else None


def cosine(a: Tensor, b: Tensor) -> float | None:
    """Of the angle between two vectors, None where one is 0."""
    norms = float(torch.linalg.vector_norm(a)) * float(torch.linalg.vector_norm(b))
    return finite(float(torch.dot(a, b)) / norms) if norms else None


def at_least(name: str, value: Any, least: float) -> None:
    """Refuse a number below `least`, or none."""
    good = isinstance(value, int | float) and not isinstance(value, bool)
    if not good or not least <= value < math.inf:
        raise InputError(f"{name}: expected a number of at least {least:g}, got {value!r}")
