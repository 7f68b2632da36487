"""Peak memory of one contender, in a process of its own."""

from __future__ import annotations

import multiprocessing
import resource
import signal
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any, Final

from cases import CASES, Problem, problem
from field import PEERS, contenders

# ru_maxrss counts in kB, and in bytes on macOS.
_UNIT: Final = 1e6 if sys.platform == "darwin" else 1e3
_PATIENCE: Final = 600.0  # s


class Scales:
    """Weighs contenders. Processes come from a server that has done nothing but import."""

    def __init__(self, peers: Iterable[str]) -> None:
        self.context = multiprocessing.get_context("forkserver")
        modules = dict.fromkeys(["torch", *(PEERS[peer] for peer in peers)])
        self.context.set_forkserver_preload([*modules, "hodsim.derivatives"])

    def peak_mb(self, p: Problem, seed: int, family: str, name: str) -> float | None:
        """Peak resident memory above that of the imported and warmed library [MB].

        Compiling counts, where the library compiles. None where the process did not finish.
        """
        return self.alone(_weigh, p.case.name, p.quantity, p.dtype, p.batch, seed, family, name)

    def alone(self, work: Callable[..., None], *asked: Any) -> Any:
        """What work(send, *asked) sends from a process of its own; None where it did not finish."""
        receive, send = self.context.Pipe(duplex=False)
        process = self.context.Process(target=work, args=(send, *asked), daemon=True)
        process.start()
        send.close()
        try:
            with suppress(EOFError):
                if receive.poll(_PATIENCE):
                    return receive.recv()
            return None
        finally:
            process.kill()
            process.join()


def _weigh(
    send: Connection,
    case: str,
    quantity: str,
    dtype: str,
    batch: int,
    seed: int,
    family: str,
    name: str,
) -> None:
    settle_worker()
    # The same on a tiny network first: code and tables that any use of the library loads.
    tiny = CASES[f"tiny/{CASES[case].activation}"]
    warm = list(contenders(problem(tiny, quantity, dtype, 1, seed), family))
    next((c for c in warm if c.name == name), warm[0]).make()()
    (chosen,) = (
        c
        for c in contenders(problem(CASES[case], quantity, dtype, batch, seed), family)
        if c.name == name
    )
    run = chosen.make()
    before = peak()
    for _ in range(2):
        run()
    send.send(peak() - before)


def settle_worker() -> None:
    """One thread, and deaf to Ctrl-C: that is for the parent, which ends this process."""
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)


def peak() -> float:
    """The most resident memory that this process has held so far [MB]."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _UNIT
