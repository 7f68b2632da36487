"""The same work on many items: here, in processes of this machine, or on a Dask cluster.

A worker that dies takes nothing with it: what it was at is tried again, and what kills a worker
each time is a `Crash`, while the rest goes on.
"""

from __future__ import annotations

import re
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from hodsim.errors import InputError

T = TypeVar("T")
R = TypeVar("R")

_PATIENCE = 30  # s to wait for a scheduler and for a first worker
_GONE = 120  # s after which a cluster without any worker is given up: a dead one is soon replaced


@dataclass(frozen=True)
class Crash:
    """What is left of an item whose workers died; `why` as far as it is known."""

    why: str


def each(
    work: Callable[[T], R], items: Sequence[T], jobs: int = 1, dask: str | None = None
) -> Iterator[tuple[int, R | Crash]]:
    """(k, work(items[k])) for every item, as they are done.

    One job is done in this process, one item after the other. More run in as many processes, one
    thread each (joblib with loky). `dask` is the address of a Dask scheduler, whose workers do it
    in place of these. Exceptions that `work` raises are raised here.

    Raises
    ------
    InputError
        No scheduler at that address, none of its workers came, or it or all of them were lost on
        the way.
    """
    if dask is not None:
        yield from _on_dask(work, items, dask)
    elif jobs == 1:
        for number, item in enumerate(items):
            yield number, work(item)
    else:
        yield from _in_processes(work, items, jobs)


def _in_processes(
    work: Callable[[T], R], items: Sequence[T], jobs: int
) -> Iterator[tuple[int, R | Crash]]:
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    waiting = list(range(len(items)))
    while waiting:
        sent: list[int] = []
        done: set[int] = set()
        try:
            for number, result in _loky(work, items, waiting, jobs, sent):
                done.add(number)
                yield number, result
        except TerminatedWorkerError:
            # Which of those under way killed its worker is not known: each goes once more, alone.
            blamed = [k for k in sent if k not in done]
            if not blamed and not done:
                raise  # no worker ever started: trying again would go on for good
            for number in blamed:
                done.add(number)
                try:
                    yield from _loky(work, items, [number], jobs, [])
                except TerminatedWorkerError as error:
                    yield number, Crash(f"two workers died at it{_signal(error)}")
        waiting = [k for k in waiting if k not in done]


def _loky(
    work: Callable[[T], R], items: Sequence[T], numbers: Sequence[int], jobs: int, sent: list[int]
) -> Iterator[tuple[int, R]]:
    """Results of items; `sent` gets the number of each that is handed to a worker."""
    from joblib import Parallel, delayed, parallel_config

    # A function in a function travels whole: a worker imports no more than `work` needs.
    def numbered(number: int, item: T) -> tuple[int, R]:
        return number, work(item)

    def calls() -> Iterator[Any]:
        for number in numbers:
            sent.append(number)
            yield delayed(numbered)(number, items[number])

    with parallel_config(backend="loky", inner_max_num_threads=1):
        # One item ahead of each worker and no more, so that `sent` are those under way.
        parallel = Parallel(
            n_jobs=jobs, return_as="generator_unordered", pre_dispatch="n_jobs", batch_size=1
        )
    with _interrupts_held():
        results = parallel(calls())
    yield from results


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Hold Ctrl-C back. Processes started meanwhile never get it: this one ends them, quietly."""
    if sys.platform == "win32":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _signal(error: Exception) -> str:
    found = re.search(r"\{([^}]*)\}", str(error))
    return f" ({found[1]})" if found else ""


def _on_dask(
    work: Callable[[T], R], items: Sequence[T], address: str
) -> Iterator[tuple[int, R | Crash]]:
    try:
        from distributed import CancelledError, Client, KilledWorker
        from distributed.comm.core import CommClosedError
    except ImportError as error:
        raise InputError(
            "--dask: expected the package distributed; install it by `pip install hodsim[cluster]`"
        ) from error
    try:
        client = Client(address, timeout=_PATIENCE, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise InputError(
            f"--dask: expected the address of a scheduler, such as tcp://localhost:8786, and found "
            f"none at {address!r}; start one by `dask scheduler`"
        ) from error
    with client:
        try:
            client.wait_for_workers(1, timeout=_PATIENCE)
        except TimeoutError as error:
            raise InputError(
                f"--dask: expected workers at {address}, found none; start some by "
                f"`dask worker {address} --nthreads 1`"
            ) from error
        waiting = {client.submit(work, item, pure=False): k for k, item in enumerate(items)}
        blamed: list[int] = []
        try:
            for future in _as_done(client, list(waiting), address):
                number = waiting.pop(future)
                try:
                    yield number, future.result()
                except KilledWorker:
                    blamed.append(number)
            # A scheduler blames all that a dead worker held: each of them goes once more, alone.
            for number in blamed:
                future = client.submit(work, items[number], pure=False)
                waiting[future] = number
                try:
                    yield number, next(_as_done(client, [future], address)).result()
                except KilledWorker as error:
                    yield number, Crash(" ".join(str(error).split())[:200])
                del waiting[future]
        except ModuleNotFoundError as error:
            raise InputError(
                f"--dask: expected hodsim at the workers of {address} ({error}); install it there"
            ) from error
        except (CommClosedError, CancelledError) as error:
            raise InputError(
                f"--dask: lost the scheduler at {address} ({error}); start it again and run the "
                "same command, which goes on where it was"
            ) from error
        finally:
            client.cancel(list(waiting))


def _as_done(client: Any, futures: Sequence[Any], address: str) -> Iterator[Any]:
    """Futures as they are done; `InputError` where no worker is left to do them."""
    from distributed import as_completed

    ready = as_completed(futures, loop=client.loop)
    looked = seen = time.monotonic()
    while not ready.is_empty():
        if ready.has_ready():
            yield next(ready)
            continue
        time.sleep(0.02)
        now = time.monotonic()
        if now - looked > 1.0:
            looked = now
            if client.scheduler_info()["workers"]:
                seen = now
        if now - seen > _GONE:
            raise InputError(
                f"--dask: expected workers at {address}, found none for {_GONE} s; start some and "
                "run the same command, which goes on where it was"
            )
