"""The process that a live simulation runs in, told what to do through a pipe."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import traceback
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Any, Final

from hodsim.errors import InputError
from hodsim.session.ring import Board
from hodsim.session.simulation import Simulation

# Bodies at once; one more than a window shows, for one that leaves while another comes.
LANES: Final = 4


@dataclass(frozen=True)
class Opening:
    """A scene to simulate: where it is read from, the memory that its frames go to (a board, then a
    region of `region` bytes a body), and a number that its messages bear."""

    number: int
    scene: Path
    model: Path | None
    solver: str
    memory: str
    region: int


def regions(memory: SharedMemory, region: int) -> tuple[Board, list[memoryview]]:
    """The board, and the memory of each body."""
    assert memory.buf is not None  # it is until it is closed
    starts = [Board.SIZE + k * region for k in range(LANES)]
    buffer = memory.buf
    return Board(buffer, LANES), [buffer[at : at + region] for at in starts]


def run(pipe: Connection) -> None:
    """Do what comes through the pipe until it closes: what this process is for.

    Commands are ("open", Opening), ("recording",), or the name of a method of `Simulation` or its
    clock and its arguments; answers are told as `Simulation` tells, after the opening's number.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the window
    threading.excepthook = _die
    import torch

    torch.set_num_threads(1)
    sending = threading.Lock()

    def send(*message: Any) -> None:
        try:
            with sending:
                pipe.send(message)
        except OSError:
            os._exit(0)  # nobody listens any more

    simulation: Simulation | None = None
    memories: list[SharedMemory] = []
    number = 0
    while True:
        try:
            name, *arguments = pipe.recv()
        except (EOFError, OSError):
            break
        if name == "open":
            number, opening = arguments[0].number, arguments[0]
            if simulation is not None:
                simulation.close()
            simulation = None
            memories = _let_go(memories)
            try:
                memory = SharedMemory(opening.memory)
            except FileNotFoundError:
                continue  # yet another scene was opened meanwhile
            memories.append(memory)
            try:
                simulation, available = _opened(opening, memory, send)
                send(number, "opened", available)
            except InputError as error:
                send(number, "refused", str(error))
        elif simulation is None:
            continue
        elif name == "recording":
            send(number, "recording", simulation.recording())
        elif name in ("choose", "act"):
            getattr(simulation, name)(*arguments)
        else:
            getattr(simulation.clock, name)(*arguments)
    os._exit(0)


def _opened(
    opening: Opening, memory: SharedMemory, send: Any
) -> tuple[Simulation, tuple[str, ...]]:
    from hodsim.cubature import load_schemes
    from hodsim.fem import body_of
    from hodsim.scene import read_scene
    from hodsim.subspaces import load_model

    scene = read_scene(opening.scene)
    body, model, cubatures = body_of(scene), None, {}
    available: tuple[str, ...] = ("full",)
    if opening.model is not None:
        model = load_model(opening.model)
        model.check(body)
        cubatures = load_schemes(opening.model)
        r, most = model.network.shape.rank, model.components.shape[1]
        pca = tuple(f"pca-{k}" for k in range(1, most + 1))
        available += (*pca, f"quadratic-{r}", f"hod-{r}")
    board, rings = regions(memory, opening.region)

    def tell(*message: Any) -> None:
        send(opening.number, *message)

    return Simulation(scene, body, model, cubatures, opening.solver, board, rings, tell), available


def _let_go(memories: list[SharedMemory]) -> list[SharedMemory]:
    """Close what a simulation before has left; gives those that something still looks at."""
    gc.collect()
    kept = []
    for memory in memories:
        try:
            memory.close()
        except BufferError:
            kept.append(memory)
    return kept


def _die(failure: threading.ExceptHookArgs) -> None:
    """A thread that dies takes the process with it, so that the window sees it."""
    traceback.print_exception(failure.exc_type, failure.exc_value, failure.exc_traceback)
    sys.stderr.flush()
    os._exit(1)
