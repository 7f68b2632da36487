"""Device memory of a compiled step and its recorded launches."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import warp as wp

from hodsim.dynamics.compiled.pack import Packed
from hodsim.dynamics.compiled.plan import bodies_type, on_device
from hodsim.errors import InputError


@dataclass(frozen=True)
class Owned:
    """What bodies have from step to step, one row each; see `plan.bodies_type`."""

    state: Any
    started: Any
    scales: Any
    push: Any
    pull: Any
    pulls: Any
    residuals: Any
    lengths: Any


@dataclass(frozen=True)
class Output:
    """What a launch of some steps reads for each (amplitudes), and writes."""

    amplitudes: Any
    status: Any
    iterations: Any
    relative: Any
    latent: Any
    features: Any
    velocities: Any


class Recorded:
    """A recorded launch to replay with `launch()`; on CUDA it is captured in a graph."""

    def __init__(self, command: Any, out: Output, memory: Any, device: Any) -> None:
        self.out, self.launch = out, command.launch
        self._kept = command, memory  # a graph holds addresses, not the arrays there
        if device.is_cuda:
            with wp.ScopedCapture(device=device) as capture:
                command.launch()
            self.launch = lambda: wp.capture_launch(capture.graph)


class Launcher:
    """One kernel on one device with the memory of some bodies."""

    def __init__(
        self, kernel: Any, packed: Packed, real: Any, device: Any, block_dim: int, bodies: int
    ) -> None:
        self.device, self.real, self.bodies = device, real, bodies
        self._kernel, self._block_dim = kernel, block_dim
        self.plan = plan = packed.on(device, real)
        self._row = packed.scratch
        ends = [k * plan.ld_q for k in range(5)]
        ends += [ends[-1] + k * plan.ld_z for k in range(1, 4)]
        sizes = [plan.rank] * 4 + [plan.width] * 4
        # Where q, q', those before, z, z', those before stand in a row of `state`.
        self.places = [slice(a, a + n) for a, n in zip(ends, sizes, strict=True)]
        self.owned = Owned(
            state=self.zeros(bodies, ends[-1] + plan.ld_z),
            started=self.integers(bodies),
            scales=self.zeros(bodies, max(plan.amplitudes, 1)),
            push=self.zeros(bodies, plan.width),
            pull=self.zeros(bodies, plan.width**2),
            pulls=self.integers(bodies),
            residuals=self.zeros(bodies, plan.max_iterations + 1),
            lengths=self.zeros(bodies, plan.max_iterations),
        )
        self.owned.scales.fill_(1.0)

    def zeros(self, *shape: int) -> Any:
        """A new array of zeros of the kernel's scalar type."""
        return on_device(np.zeros(shape, wp.dtype_to_numpy(self.real)), self.real, self.device)

    def integers(self, *shape: int) -> Any:
        """A new array of zeros, int32."""
        return on_device(np.zeros(shape, np.int32), wp.int32, self.device)

    def scratch(self, rows: int) -> Any:
        """Scratch memory for so many blocks that run at once."""
        return on_device(np.tile(self._row, (rows, 1)), self.real, self.device)

    def output(self, steps: int, histories: int = 1, latent: int = 0, features: int = 0) -> Output:
        """Room for `steps` steps, load histories of one body or of all, and the latent coordinates
        and features of the first so many steps."""
        n, plan = self.bodies, self.plan
        return Output(
            amplitudes=self.zeros(steps, histories, max(plan.amplitudes, 1)),
            status=self.integers(steps, n),
            iterations=self.integers(steps, n),
            relative=self.zeros(steps, n),
            latent=self.zeros(latent, n, plan.rank),
            features=self.zeros(features, n, plan.width),
            velocities=self.zeros(features, n, plan.width),
        )

    def record(
        self,
        out: Output,
        steps: int,
        scratch: Any,
        first: int = 0,
        count: int = 1,
        row: int = 0,
        fresh: bool = False,
    ) -> Recorded:
        """A launch of so many steps of `count` bodies from `first` on.

        Scratch is used from that row on: one row for all where blocks run one after another (CPU),
        one for each on CUDA. A `fresh` launch starts from q and q' alone.
        """
        given = bodies_type(self.real)()
        given.scratch = scratch
        for part in (self.owned, out):
            for field in fields(part):
                setattr(given, field.name, getattr(part, field.name))
        command = wp.launch(
            self._kernel,
            dim=(count, self._block_dim),
            inputs=[self.plan, given, steps, first, row, int(self.device.is_cuda), int(fresh)],
            device=self.device,
            block_dim=self._block_dim,
            record_cmd=True,
        )
        return Recorded(command, out, (given, scratch), self.device)

    def put(self, array: Any, row: int, value: Any) -> None:
        """Set one row of an array."""
        whole = array.numpy()
        whole[row] = value
        if self.device.is_cuda:
            array.assign(whole)


class FirstBody:
    """The first body's numbers as numpy arrays: on the CPU the kernel's own memory."""

    def __init__(self, launcher: Launcher, out: Output) -> None:
        owned = launcher.owned
        self._cuda = launcher.device.is_cuda
        self._device = {
            "state": owned.state,
            "started": owned.started,
            "status": out.status,
            "iterations": out.iterations,
            "residuals": owned.residuals,
            "lengths": owned.lengths,
        }
        self._amplitudes = out.amplitudes
        whole: np.ndarray = out.amplitudes.numpy()
        self.amplitudes = whole.reshape(-1)[: launcher.plan.amplitudes]
        self._whole = whole
        self.state: np.ndarray = owned.state.numpy()
        self.started: np.ndarray = owned.started.numpy()
        self.status: np.ndarray = out.status.numpy()
        self.iterations: np.ndarray = out.iterations.numpy()
        self.residuals: np.ndarray = owned.residuals.numpy()
        self.lengths: np.ndarray = owned.lengths.numpy()

    def send(self, state: bool) -> None:
        """To the device: the amplitudes, and the state if it was changed here."""
        if self._cuda:
            self._amplitudes.assign(self._whole)
            if state:
                self._device["state"].assign(self.state)
                self._device["started"].assign(self.started)

    def fetch(self) -> None:
        """From the device: all of it."""
        if self._cuda:
            for name, array in self._device.items():
                setattr(self, name, array.numpy())


def device_named(name: str) -> Any:
    """Warp's device "cpu", "cuda" or "cuda:1"; raises `InputError` if there is none."""
    if not isinstance(name, str) or not (name in ("cpu", "cuda") or name.startswith("cuda:")):
        raise InputError(f"device: expected cpu or cuda, given {name!r}; choose one")
    none = InputError(
        f"device: expected an NVIDIA GPU with its driver for {name!r}, given a machine where "
        'Warp finds none; use device="cpu"'
    )
    if name != "cpu" and not wp.is_cuda_available():
        raise none
    try:
        return wp.get_device(name)
    except (RuntimeError, ValueError) as error:
        raise none from error


def threads_of(block_dim: int | None, device: Any) -> int:
    """Threads a block: what is asked for, or the device's default."""
    if block_dim is None:
        return 128 if device.is_cuda else 1
    if not 1 <= block_dim <= 1024:
        raise InputError(f"block_dim: expected 1 to 1024 threads, given {block_dim}")
    if block_dim > 1 and not device.is_cuda and not wp.config.enable_cpu_blocks:
        raise InputError(
            f"block_dim: expected 1 on the CPU, given {block_dim}; set "
            "warp.config.enable_cpu_blocks to test blocks there"
        )
    return block_dim
