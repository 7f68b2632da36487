"""The same work here, in processes and on a cluster: nothing is lost with a worker."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from homes import make_home, variant

from hodsim.comparison import Cell, Crash, Run, Store, cases_of, cells_of, each, run_cells
from hodsim.dynamics import parse_specs
from hodsim.errors import InputError


def deadly(victim: int) -> Callable[[int], int]:
    """Squares numbers, the first one slowly; the worker that gets `victim` dies each time."""

    def work(number: int) -> int:
        import os
        import signal
        import time

        if number == victim:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(1.0 if number == 0 else 0.0)
        return number * number

    return work


def test_here_one_after_the_other() -> None:
    assert list(each(lambda x: x + 1, [5, 6, 7])) == [(0, 6), (1, 7), (2, 8)]


def test_what_kills_its_process_is_told_and_takes_nothing_with_it() -> None:
    # 0 is under way in the other process when 1 kills its own.
    found = dict(each(deadly(1), list(range(6)), jobs=2))
    crash = found.pop(1)
    assert isinstance(crash, Crash)
    assert "SIGKILL" in crash.why
    assert found == {k: k * k for k in (0, 2, 3, 4, 5)}


def test_a_process_killed_once_loses_nothing(tmp_path: Path) -> None:
    def work(number: int) -> int:
        import os
        import signal

        mark = tmp_path / "mark"
        if number == 2 and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return number * number

    assert dict(each(work, list(range(5)), jobs=2)) == {k: k * k for k in range(5)}


def test_errors_of_the_work_are_raised() -> None:
    def work(number: int) -> int:
        if number == 3:
            raise ValueError("three")
        return number

    for jobs in (1, 2):
        with pytest.raises(ValueError, match="three"):
            list(each(work, range(6), jobs=jobs))


def cells_in(folder: Path) -> list[Cell]:
    scene = make_home(folder)
    cases = cases_of([variant(scene, f"pull-{k}", k) for k in range(1, 5)])
    return cells_of(cases, lambda scene: scene.model, lambda _: parse_specs("pca-2,hod-2"))[0]


def without_times(runs: list[Run]) -> list[Run]:
    return [replace(run, step_ms=None, speedup=None) for run in runs]


def test_a_crashed_case_is_a_failed_run_and_is_tried_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hodsim.comparison import study

    def crashing(work: Any, tasks: list[Any], *_: Any) -> Any:
        for number, task in enumerate(tasks):
            yield number, Crash("it died") if number == 1 else work(task)

    cells, store = cells_in(tmp_path), Store(tmp_path / "cells")
    monkeypatch.setattr(study, "each", crashing)
    runs = run_cells(cells, store)
    assert [run.failure for run in runs[3:6]] == ["crashed: it died"] * 3
    assert all(run.converged for run in runs[:3] + runs[6:])
    monkeypatch.undo()
    again = run_cells(cells, store)
    assert all(run.converged for run in again)
    assert again[:3] + again[6:] == runs[:3] + runs[6:]


@pytest.mark.slow
def test_a_cluster_that_loses_a_worker_gives_the_runs_of_one_process(tmp_path: Path) -> None:
    from distributed import Client, LocalCluster

    cells = cells_in(tmp_path)
    serial = run_cells(cells)
    killed: list[int] = []
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        pids = client.run(os.getpid)

        def progress(what: str, done: int, total: int) -> None:
            # Midway: a case is done, and its worker, which holds others, goes.
            if 0 < done < total and not killed:
                killed.append(min(pids.values()))
                os.kill(killed[0], signal.SIGKILL)

        store = Store(tmp_path / "cells")
        runs = run_cells(cells, store, dask=cluster.scheduler_address, progress=progress)
    assert killed
    assert without_times(runs) == without_times(serial)
    assert all(store.read(cell) is not None for cell in cells)


@pytest.mark.slow
def test_work_that_kills_every_worker_of_a_cluster_is_told() -> None:
    import dask
    from distributed import LocalCluster

    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 1}),
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
    ):
        found = dict(each(deadly(1), [0, 1, 2, 3], dask=cluster.scheduler_address))
    assert isinstance(found.pop(1), Crash)
    assert found == {0: 0, 2: 4, 3: 9}


@pytest.mark.slow
def test_a_cluster_without_workers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    from distributed import LocalCluster

    from hodsim.comparison import engine

    def slow(number: int) -> int:
        import time

        time.sleep(60.0 * number)
        return number

    monkeypatch.setattr(engine, "_GONE", 2)
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster:
        found = each(slow, [0, 1], dask=cluster.scheduler_address)
        assert next(found) == (0, 0)
        cluster.scale(0)
        with pytest.raises(InputError, match=r"expected workers at .* found none for 2 s"):
            list(found)


def test_no_scheduler_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    from hodsim.comparison import engine

    monkeypatch.setattr(engine, "_PATIENCE", 1)
    for address in ("tcp://127.0.0.1:9", "nonsense://here", "not an address"):
        with pytest.raises(InputError, match="--dask: expected the address of a scheduler") as told:
            list(each(str, [1], dask=address))
        assert "\n" not in str(told.value)
    assert threading.active_count() < 20
