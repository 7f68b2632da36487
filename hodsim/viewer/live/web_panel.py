"""The controls beside the bodies in a browser: all who look share them."""

from __future__ import annotations

import html
import math
from collections.abc import Callable
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from hodsim.errors import InputError
from hodsim.viewer.live.picture import ColourBar, Menu, Picture, Slider

if TYPE_CHECKING:
    from hodsim.viewer.live.presenter import Presenter

CENTRE = "centre"
_WIDTH = 330  # pixels
_LOG_STEP = 0.01  # decades
_ALARM = "#b81a00"
_HELP = "drag a body: pull; drag beside: turn; right button: move; wheel: zoom"


class WebPanel:
    """Buttons, menus, sliders, readout and colour bar.

    Everything that happens to it once it stands, input and `follow`, happens in the server's event
    loop, so that what a user has just set is never overwritten by what was read before.
    """

    def __init__(self, server: Any, presenter: Presenter, on_centre: Callable[[Any], None]) -> None:
        self._gui, self._presenter, self._on_centre = server.gui, presenter, on_centre
        self._note = ""
        self._gui.configure_theme(show_logo=False, show_share_button=False, dark_mode=False)
        self._gui.main_panel.dock_right()
        self._gui.main_panel.set_width(_WIDTH)
        self._bar = self._gui.add_html("", order=0)
        self._buttons = self._gui.add_button_group("run", (*presenter.buttons(), CENTRE), order=1)
        self._buttons.on_click(self._pressed)
        self._readout = self._gui.add_html("", order=2)
        self._groups: dict[str, _Group] = {}

    def follow(self, picture: Picture) -> None:
        """Show what is in force now."""
        names = (*self._presenter.buttons(), CENTRE)
        self._buttons.options = names
        self._bar.content = _bar(picture.bar)
        notes = [note for note in (picture.note, self._note) if note]
        self._readout.content = _readout(picture.readout, notes)
        menus, sliders = self._presenter.menus(), self._presenter.sliders()
        wanted: dict[str, tuple[Menu | Slider, ...]] = {"": menus}
        for group, members in groupby(sliders, key=lambda x: x.group):
            wanted[group or "more"] = tuple(members)
        for name in [x for x in self._groups if x not in wanted]:
            self._groups.pop(name).remove()
        for place, (name, controls) in enumerate(wanted.items()):
            group = self._groups.get(name)
            if group is None or group.key != _key(controls):
                if group is not None:
                    group.remove()
                group = self._groups[name] = _Group(self._gui, name, 10 + place, controls, self)
            group.follow(controls)

    def act(self, do: Callable[[], object]) -> None:
        """Do what a user asked for; what cannot be done becomes a note to all."""
        self._note = ""
        try:
            do()
        except (InputError, OSError) as error:
            self._note = str(error)

    def set(self, name: str, value: float) -> None:
        """A user has moved a slider."""
        self.act(lambda: self._presenter.set(name, value))

    def choose(self, name: str, value: str) -> None:
        """A user has chosen from a menu."""
        self.act(lambda: self._presenter.choose(name, value))

    async def _pressed(self, event: Any) -> None:
        name = str(event.target.value)
        if name == CENTRE:
            self._on_centre(event.client)
            return
        self.act(lambda: self._presenter.press_button(name))


class _Group:
    """A folder of controls. `key` is what they are, apart from their values."""

    def __init__(
        self, gui: Any, name: str, order: int, controls: tuple[Menu | Slider, ...], panel: WebPanel
    ) -> None:
        self.key = _key(controls)
        self._folder = gui.add_folder(name or None, order=order)
        with self._folder:
            self._controls = [_control(gui, control, panel) for control in controls]

    def follow(self, controls: tuple[Menu | Slider, ...]) -> None:
        for shown, control in zip(self._controls, controls, strict=True):
            shown.follow(control)

    def remove(self) -> None:
        self._folder.remove()


class _Control:
    """A menu or a slider in the page."""

    def __init__(self, node: Any, name: str, heard: Callable[[str, Any], None]) -> None:
        self.node = node

        async def updated(event: Any) -> None:
            # Without a client it was `follow` that set it.
            if event.client_id is not None:
                heard(name, node.value)

        node.on_update(updated)

    def follow(self, control: Any) -> None:
        self.node.value = control.value


class _Linear(_Control):
    def follow(self, control: Any) -> None:
        low, high, step = _grid(control)
        self.node.value = _on_grid(control.value, low, high, step)


class _Logarithmic(_Control):
    """Its node holds the logarithm, and its label tells the number."""

    def follow(self, control: Any) -> None:
        self.node.value = (_decades(control, control.value),)
        self.node.label = _label(control)


def _control(gui: Any, control: Menu | Slider, panel: WebPanel) -> _Control:
    if isinstance(control, Menu):
        options = control.choices
        if control.value not in options:
            options = (*options, control.value)
        node = gui.add_dropdown(control.label, options, initial_value=control.value)
        return _Control(node, control.name, panel.choose)
    if not control.log:
        low, high, step = _grid(control)
        value = _on_grid(control.value, low, high, step)
        node = gui.add_slider(control.label, low, high, step, value)
        return _Linear(node, control.name, panel.set)
    low, high = (_decades(control, x) for x in (control.low, control.high))
    # Marks at the very ends would reach out of the panel.
    inner = range(math.ceil(low + 0.1 * (high - low)), math.floor(high - 0.1 * (high - low)) + 1)
    marks = tuple(
        (float(k), f"{10.0**k:g}".replace("e+0", "e").replace("e-0", "e-")) for k in inner
    )
    value = _decades(control, control.value)
    # This kind of slider has no box beside it, which would show the logarithm.
    node = gui.add_multi_slider(_label(control), low, high, _LOG_STEP, (value,), marks=marks)

    def moved(name: str, decades: tuple[float, ...]) -> None:
        number = float(f"{10.0 ** decades[0]:.3g}")
        panel.set(name, min(max(number, control.low), control.high))

    return _Logarithmic(node, control.name, moved)


def _key(controls: tuple[Menu | Slider, ...]) -> tuple[tuple[object, ...], ...]:
    return tuple(
        (x.name, x.label, x.choices) if isinstance(x, Menu) else (x.name, x.label, x.low, x.high)
        for x in controls
    )


def _grid(slider: Slider) -> tuple[float, float, float]:
    """Ends of a slider and its step, all with few digits: some hundreds of steps."""
    span = slider.high - slider.low
    digits = -math.floor(math.log10(span / 200.0)) if span > 0.0 else 3
    step = 10.0**-digits
    low = round(math.ceil(slider.low / step - 1e-9) * step, max(digits, 0))
    high = round(math.floor(slider.high / step + 1e-9) * step, max(digits, 0))
    return float(low), float(max(low, high)), step


def _on_grid(value: float, low: float, high: float, step: float) -> float:
    digits = max(round(-math.log10(step)), 0)
    return float(min(max(round(value, digits), low), high))


def _decades(slider: Slider, value: float) -> float:
    """The logarithm of a value in the slider's range, on the grid of its steps."""
    return round(math.log10(min(max(value, slider.low), slider.high)), 2)


def _label(slider: Slider) -> str:
    return f"{slider.label}: {slider.value:.3g}"


def _bar(bar: ColourBar) -> str:
    rows = bar.colours[np.linspace(0, len(bar.colours) - 1, 16).round().astype(int)]
    stops = ", ".join("rgb({}, {}, {})".format(*np.round(255 * row).astype(int)) for row in rows)
    return (
        '<div style="padding: 0.2em 1.5em 0.2em 0.75em; font-size: 0.85em">'
        f'<div style="text-align: center">{html.escape(bar.title)}</div>'
        f'<div style="height: 14px; background: linear-gradient(to right, {stops})"></div>'
        '<div style="display: flex; justify-content: space-between">'
        f"<span>{bar.ends[0]}</span><span>{html.escape(bar.ends[1])}</span></div></div>"
    )


def _readout(lines: tuple[str, ...], notes: list[str]) -> str:
    said = [f"<div>{html.escape(line)}</div>" for line in lines]
    said += [f'<div style="color: {_ALARM}">{html.escape(note)}</div>' for note in notes]
    said.append(f'<div style="color: #777">{_HELP}</div>')
    return f'<div style="padding: 0 1em 0 0.75em; font-size: 0.8em">{"".join(said)}</div>'
