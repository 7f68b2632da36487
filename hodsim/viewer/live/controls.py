"""Sliders and menus: what the user has set, and how it reaches the simulation."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from hodsim.errors import InputError
from hodsim.fem import Body
from hodsim.viewer.live.picture import Menu, Slider

if TYPE_CHECKING:
    from hodsim.session import Session

DISPLACEMENT = "displacement [m]"
STRESS = "von Mises stress [Pa]"
ERROR = "error against full space [m]"
_COLOURS = (DISPLACEMENT, STRESS, ERROR)
_PACES = ("real time", "together")
_NONE = "none"
_BODIES = 3
_RANKS = (6, 12, 20)  # of PCA, in the menus
_NO_DAMPING = 1e-5  # s: a slider by ratios has no 0

# name: label, low, high, by ratios, group; the drag's stiffness depends on the body.
_SLIDERS = {
    "gravity": ("added gravity [m/s^2]", 0.0, 20.0, False, "gravity"),
    "azimuth": ("azimuth [degrees]", -180.0, 180.0, False, "gravity"),
    "elevation": ("elevation [degrees]", -90.0, 90.0, False, "gravity"),
    "damping mass": ("mass [1/s]", 0.0, 10.0, False, "damping"),
    "damping stiffness": (f"stiffness [s] ({_NO_DAMPING:g}: 0)", _NO_DAMPING, 0.1, True, "damping"),
    "time step": ("time step [ms]", 1.0, 50.0, True, "time"),
    "speed": ("speed [x real time]", 0.1, 4.0, True, "time"),
}


def default_stiffness(body: Body) -> float:
    """A drag's stiffness [N/m]: 4 times that of the body as a cantilever, E w t^3 / (4 L^3), of
    its bounding box L > w > t, so that the tip goes most of the way to the cursor."""
    t, w, length = np.sort(np.ptp(body.mesh.vertices, axis=0))
    return float(f"{body.material.young * w * (t / length) ** 3:.2g}")


class Controls:
    """The user's settings. `colour` is what the colours show, `stiffness` the drag's [N/m]."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.adopt()
        self.colour = DISPLACEMENT

    def adopt(self) -> None:
        """Take up what is in force: at the start, and after another scene has come."""
        status = self._session.status()
        self._stiffness = default_stiffness(self._session.body)
        self._values = {"stiffness": self._stiffness, "speed": float(status.rate)}
        self.adopt_settings()
        self._together = bool(status.together)
        self._bodies: tuple[str, ...] | None = None  # the user's choice; None: as they come

    def adopt_settings(self) -> None:
        """Take up what the simulation's settings are: a reset makes them the scene's."""
        settings = self._session.settings
        g = np.asarray(settings.gravity, dtype=np.float64)
        size = float(np.linalg.norm(g))
        # Without gravity the sliders point down, where it will be wanted.
        up = float(np.clip(g[2] / size, -1.0, 1.0)) if size else -1.0
        self._values |= {
            "gravity": size,
            "azimuth": float(np.degrees(np.arctan2(g[1], g[0]))),
            "elevation": float(np.degrees(np.arcsin(up))),
            "damping mass": float(settings.damping_mass),
            "damping stiffness": max(float(settings.damping_stiffness), _NO_DAMPING),
            "time step": 1e3 * float(settings.time_step),
        }

    @property
    def stiffness(self) -> float:
        return self._values["stiffness"]

    def sliders(self) -> tuple[Slider, ...]:
        s = self._stiffness
        table = {"stiffness": ("stiffness [N/m]", s / 10, s * 100, True, "drag"), **_SLIDERS}
        out = []
        for name, (label, low, high, log, group) in table.items():
            value = self._values[name]
            # What a scene sets may lie outside; the slider then reaches as far.
            low, high = min(low, value), max(high, value)
            out.append(Slider(name, label, low, high, value, log, group))
        return tuple(out)

    def set(self, name: str, value: float) -> None:
        """Set a slider, to the nearest value that it has. Raises `InputError` for no such one."""
        slider = next((x for x in self.sliders() if x.name == name), None)
        if slider is None:
            raise InputError(f"slider: expected the name of one, given {name!r}")
        self._values[name] = float(np.clip(value, slider.low, slider.high))
        v, session = self._values, self._session
        if slider.group == "gravity":
            session.set_gravity(self._gravity())
        elif slider.group == "damping":
            stiffness = v["damping stiffness"]
            session.set_damping(v["damping mass"], 0.0 if stiffness <= _NO_DAMPING else stiffness)
        elif name == "time step":
            session.set_time_step(1e-3 * v["time step"])
        elif name == "speed":
            session.set_rate(v["speed"])

    def _gravity(self) -> np.ndarray:
        around, above = np.radians([self._values["azimuth"], self._values["elevation"]])
        flat = np.cos(above)
        return self._values["gravity"] * np.array(
            [flat * np.cos(around), flat * np.sin(around), np.sin(above)]
        )

    def menus(self) -> tuple[Menu, ...]:
        session, bodies = self._session, self._slots()
        scenes = tuple(dict.fromkeys((*session.scenes, session.scene_name)))
        offered = _worth_offering(session.available)
        choices = (_NONE, *dict.fromkeys((*offered, *(x for x in bodies if x != _NONE))))
        return (
            Menu("scene", "scene", scenes, session.scene_name),
            *(Menu(f"body {k}", f"body {k}", choices, x) for k, x in enumerate(bodies, start=1)),
            Menu("colour", "colour", _COLOURS, self.colour),
            Menu("pace", "pace", _PACES, _PACES[self._together]),
        )

    def choose(self, name: str, value: str) -> str:
        """Choose from a menu; gives a word to the user, "" for none. Raises `InputError` for a
        menu or a choice that is not there."""
        menu = next((x for x in self.menus() if x.name == name), None)
        if menu is None:
            raise InputError(f"menu: expected the name of one, given {name!r}")
        if value not in menu.choices:
            raise InputError(f"{name}: expected one of {', '.join(menu.choices)}; given {value!r}")
        if value == menu.value:
            return ""
        if name == "scene":
            return _told(lambda: self._session.open(value))
        if name == "colour":
            self.colour = value
        elif name == "pace":
            self._together = value == _PACES[1]
            self._session.keep_together(self._together)
        else:
            return self._choose_body(int(name.removeprefix("body ")) - 1, value)
        return ""

    def _choose_body(self, slot: int, value: str) -> str:
        bodies = [_NONE if x == value else x for x in self._slots()]
        bodies[slot] = value
        labels = tuple(x for x in bodies if x != _NONE)
        if not labels:
            return "one body has to stay: choose another one first"
        word = _told(lambda: self._session.choose(labels))
        if not word:
            self._bodies = tuple(bodies)
        return word

    def _slots(self) -> tuple[str, ...]:
        if self._bodies is not None:
            return self._bodies
        labels = tuple(self._session.lanes)
        return labels + (_NONE,) * (_BODIES - len(labels))


def _told(act: Callable[[], None]) -> str:
    """Act; what the session refuses is a word to the user."""
    try:
        act()
    except InputError as error:
        return str(error)
    return ""


def _worth_offering(available: tuple[str, ...]) -> tuple[str, ...]:
    """All but PCA, which has a rank for every taste: of it a few."""
    ranks = sorted(int(x.removeprefix("pca-")) for x in available if x.startswith("pca-"))
    pca = {f"pca-{max(k for k in ranks if k <= max(r, ranks[0]))}" for r in _RANKS if ranks}
    return tuple(x for x in available if not x.startswith("pca-") or x in pca)
