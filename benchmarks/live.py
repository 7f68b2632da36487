"""The live viewer under load: latency from hand to motion, simulation rate, a minute of rough use.

    python benchmarks/live.py [--quick] [--json FILE] [--seconds 60] [--seed 1]

The window draws into memory, which needs no display. Latency is wall time from the moment that the
hand moves to the first frame that a reader finds in which the body has moved; with drawing, to the
first picture made of it. Rough use is random grabs, moves, sliders, menus and buttons through the
presenter, at every drawn frame; memory is that of both processes.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from hodsim.errors import InputError
from hodsim.files import atomic, data_dir
from hodsim.session import Session
from hodsim.viewer.live.presenter import Presenter
from hodsim.viewer.live.window import Window, run_window

SCENES = {name: data_dir("scenes") / f"{name}.toml" for name in ("beam", "bend", "twist", "swing")}
LABELS = ("full", "pca-6", "hod-6")
HELD = "hod-6"
NOTHING = 1e-9  # m: rounding of what is drawn beside its place


def wait(session: Session, done: Callable[[], bool]) -> None:
    end = time.monotonic() + 60.0
    while not done():
        session.poll()
        if time.monotonic() > end:
            raise InputError(f"live: waited 60 s for the simulation; {session.status().note}")
        time.sleep(0.001)


def calm(session: Session) -> None:
    """At rest at t = 0, running."""
    session.reset()
    wait(session, lambda: 0 < session.status().clock < 50 and session.latest(HELD) is not None)


def still(session: Session) -> bool:
    frame = session.latest(HELD)
    return frame is None or not frame.z.any()


def latency(session: Session, count: int) -> dict[str, float]:
    """Nobody draws: milliseconds from `drag` to a frame in which the body has moved."""
    vertex = int(session.body.free_vertices[-1])
    target = session.body.mesh.vertices[vertex] + np.array([0.0, 0.1, 0.1])
    found = []
    rng = np.random.default_rng(0)
    for _ in range(count):
        calm(session)
        time.sleep(rng.uniform(0.0, 0.04))  # at any moment of a step
        began = time.perf_counter()
        session.drag(vertex, target, 240.0)
        while still(session):
            time.sleep(0.0002)
        found.append(1e3 * (time.perf_counter() - began))
        session.release()
    return summary(found)


def summary(x: list[float]) -> dict[str, float]:
    return {"median": float(np.median(x)), "p90": float(np.quantile(x, 0.9)), "max": max(x)}


class Watch:
    """What is done and measured between drawn frames; `on_frame` of the window."""

    def __init__(self, session: Session, presenter: Presenter, count: int, seconds: float) -> None:
        self._session, self._presenter = session, presenter
        self._count, self._seconds = count, seconds
        self.latency: list[float] = []
        self._began: float | None = None
        self._due = 0
        self._start = (0.0, 0)
        self.rates: dict[str, float] = {}
        self.lag: list[float] = []

    def __call__(self, window: Window) -> None:
        limited(window)
        now, session, presenter = time.perf_counter(), self._session, self._presenter
        if window.frames == 30:
            session.reset()
        if window.frames < 60:
            self._start = (now, window.frames)
            return
        status = session.status()
        self.lag += [lane.lag for lane in status.lanes.values()]
        if len(self.latency) < self._count:
            self._measure(window, now)
            return
        presenter.drop()
        began, frames = self._start
        if now - began > self._seconds:
            self.rates = {
                "frames_per_second": (window.frames - frames) / (now - began),
                "worst_lag_s": max(self.lag),
            }
            raise KeyboardInterrupt

    def _measure(self, window: Window, now: float) -> None:
        body = next((b for b in window.picture.bodies if b.label == HELD), None)
        if body is None:
            return
        moved = np.abs(body.positions - body.offset - self._session.body.mesh.vertices).max()
        if self._began is None and moved < NOTHING and window.frames >= self._due:
            vertex = int(self._session.body.free_vertices[-1])
            self._presenter.grab(HELD, vertex)
            self._began = time.perf_counter()
            self._presenter.move(body.positions[vertex] + np.array([0.0, 0.1, 0.1]))
        elif self._began is not None and moved > NOTHING:
            self.latency.append(1e3 * (now - self._began))
            self._began = None
            self._presenter.drop()
            self._session.reset()
            self._due = window.frames + 20


def limited(window: Window) -> None:
    """Sixty frames a second at most, as on a screen: without it, frames into memory pile up in the
    software that draws, and the next picture waits for them."""
    import polyscope as ps

    if window.frames == 1:
        ps.set_frame_tick_limit_fps_mode("block_to_hit_target")


def drawn(session: Session, presenter: Presenter, count: int, seconds: float) -> dict[str, Any]:
    """The window draws: latency to the picture, frames a second, and the worst lag."""
    watch = Watch(session, presenter, count, seconds)
    with suppress(KeyboardInterrupt):
        run_window(presenter, headless=True, on_frame=watch)
    return {"latency_ms": summary(watch.latency), **watch.rates}


def pace(session: Session, seconds: float) -> dict[str, float]:
    """Steps a second of each body with the clock as fast as it will go, each alone."""
    found = {}
    for label in LABELS:
        session.choose((label,))
        wait(session, lambda label=label: label in session.lanes)
        session.set_rate(1e4)
        session.play()
        before, began = session.status().lanes[label].step, time.perf_counter()
        time.sleep(seconds)
        found[label] = (session.status().lanes[label].step - before) / (time.perf_counter() - began)
        session.set_rate(1.0)
        session.reset()
    session.choose(LABELS)
    wait(session, lambda: len(session.lanes) == len(LABELS))
    return found


def memory(session: Session) -> float:
    """MB of this process and of the simulation's."""
    kb = 0
    for pid in ("self", str(session.process_id)):
        for line in Path("/proc", pid, "status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                kb += int(line.split()[1])
    return kb / 1024.0


def rough(session: Session, presenter: Presenter, seconds: float, seed: int) -> dict[str, Any]:
    """Random use at every drawn frame; raises where a picture is not finite."""
    rng = np.random.default_rng(seed)
    began, sizes, done = time.monotonic(), [], {}
    held: dict[str, int] = {}
    last = -np.inf

    def act() -> str:
        kind = str(rng.choice(["grab", "move", "drop", "slider", "menu", "button"],
                              p=[0.1, 0.45, 0.1, 0.25, 0.05, 0.05]))  # fmt: skip
        bodies = presenter.picture().bodies
        if kind == "grab" and bodies:
            body = bodies[rng.integers(len(bodies))]
            presenter.grab(body.label, int(rng.integers(len(body.positions))))
        elif kind == "move" and presenter.grabbed("window") and bodies:
            presenter.move(
                bodies[0].positions.mean(axis=0) + rng.normal(size=3) * rng.choice([0.3, 3])
            )
        elif kind == "drop":
            presenter.drop()
        elif kind == "slider":
            slider = presenter.sliders()[rng.integers(len(presenter.sliders()))]
            presenter.set(slider.name, float(rng.uniform(slider.low, slider.high)))
        elif kind == "menu":
            menu = presenter.menus()[rng.integers(len(presenter.menus()))]
            presenter.choose(menu.name, str(rng.choice(menu.choices)))
        elif kind == "button":
            presenter.press_button(str(rng.choice(["play", "pause", "step", "reset"])
                                       if rng.random() < 0.7 else "play"))  # fmt: skip
        return kind

    def follow(window: Window) -> None:
        nonlocal last
        limited(window)
        now = time.monotonic() - began
        for body in window.picture.bodies:
            if not (np.isfinite(body.positions).all() and np.isfinite(body.colours).all()):
                raise InputError(f"live: {body.label} is not finite at {now:.1f} s")
        if "process has ended" in session.status().note:
            raise InputError(f"live: {session.status().note}")
        try:
            kind = act()
        except InputError as error:
            kind = "refused"
            held[str(error)[:60]] = held.get(str(error)[:60], 0) + 1
        done[kind] = done.get(kind, 0) + 1
        if now - last > 1.0:
            last = now
            sizes.append(memory(session))
        if now > seconds:
            raise KeyboardInterrupt

    with suppress(KeyboardInterrupt):
        run_window(presenter, headless=True, on_frame=follow)
    third = max(len(sizes) // 3, 1)
    return {
        "seconds": seconds,
        "actions": done,
        "refused": held,
        "memory_mb": {"after_a_third": sizes[third - 1], "end": sizes[-1], "largest": max(sizes)},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--quick", action="store_true", help="a few seconds of each")
    parser.add_argument("--seconds", type=float, default=60.0, help="of rough use")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, metavar="FILE")
    given = parser.parse_args()
    count = 5 if given.quick else 30
    seconds = min(given.seconds, 8.0) if given.quick else given.seconds
    with Session(SCENES, labels=LABELS) as session:
        wait(session, lambda: len(session.lanes) == len(LABELS))
        presenter = Presenter(session)
        report: dict[str, Any] = {"latency_ms": latency(session, count)}
        report["steps_per_second"] = pace(session, 1.0 if given.quick else 3.0)
        report["drawing"] = drawn(session, presenter, count, 2.0 if given.quick else 10.0)
        report["rough"] = rough(session, presenter, seconds, given.seed)
    print(json.dumps(report, indent=1))
    if given.json is not None:
        with atomic(given.json) as temporary:
            temporary.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
