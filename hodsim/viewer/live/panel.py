"""The controls at the side of a window and the plots below it."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from hodsim.viewer.live.overlay import LINES
from hodsim.viewer.live.picture import Menu, Picture, Plot, Slider
from hodsim.viewer.live.view import Area

if TYPE_CHECKING:
    from hodsim.viewer.live.presenter import Presenter

# What was touched ("button", "menu", "slider"), its name, and the choice or the number.
Event = tuple[str, str, Any]

_WIDTH, _STRIP = 350.0, 190.0  # pixels of the controls and of the plots
_MENU_LABEL, _LABEL = 90.0, 190.0  # pixels kept for the labels of menus and of sliders
_HELP = (
    "drag a body: pull; drag beside: turn; wheel: zoom\nspace: play, right arrow: step, R: reset"
)


def free_area(size: tuple[int, int]) -> Area:
    """What controls and plots leave of a window of that size [pixels]."""
    width, height = size
    return Area(min(_WIDTH, width / 2), 0.0, width, height - min(_STRIP, height / 3))


def draw_panel(
    picture: Picture, presenter: Presenter, size: tuple[int, int], own: tuple[str, ...]
) -> list[Event]:
    """Draw controls and plots in a window of that size [pixels]; gives what the user did to them.

    `own` are the names of the buttons that the window adds to the presenter's.
    """
    import polyscope.imgui as psim

    area = free_area(size)
    psim.SetNextWindowPos((0.0, 0.0))
    psim.SetNextWindowSize((area.left, float(size[1])))
    psim.Begin("controls", True, _fixed())
    events = _buttons((*presenter.buttons(), *own))
    psim.PushItemWidth(area.left - _MENU_LABEL)
    for menu in presenter.menus():
        events += _menu(menu)
    psim.PopItemWidth()
    psim.PushItemWidth(area.left - _LABEL)
    for group, sliders in groupby(presenter.sliders(), key=lambda x: x.group):
        if not group or psim.CollapsingHeader(group, psim.ImGuiTreeNodeFlags_DefaultOpen):
            for slider in sliders:
                events += _slider(slider)
    psim.PopItemWidth()
    psim.Spacing()
    psim.TextDisabled(_HELP)
    psim.End()
    psim.SetNextWindowPos((area.left, area.bottom))
    psim.SetNextWindowSize((size[0] - area.left, size[1] - area.bottom))
    psim.Begin("plots", True, _fixed())
    _plots(picture.plots)
    psim.End()
    return events


def _buttons(names: tuple[str, ...]) -> list[Event]:
    import polyscope.imgui as psim

    events: list[Event] = []
    right, used = psim.GetContentRegionAvail()[0], 0.0
    for name in names:
        # "play" and "pause" take turns on one button, which must not change its place.
        shown = "pause" if name == "play" else name
        width = psim.CalcTextSize(shown)[0] + 18.0
        if used and used + width < right:
            psim.SameLine()
        else:
            used = 0.0
        used += width + 8.0
        if psim.Button(f"{name}###{shown}", (width, 0.0)):
            events.append(("button", name, None))
    psim.Separator()
    return events


def _menu(menu: Menu) -> list[Event]:
    import polyscope.imgui as psim

    place = menu.choices.index(menu.value) if menu.value in menu.choices else -1
    changed, place = psim.Combo(f"{menu.label}###{menu.name}", place, list(menu.choices))
    return [("menu", menu.name, menu.choices[place])] if changed else []


def _slider(slider: Slider) -> list[Event]:
    import polyscope.imgui as psim

    flags = psim.ImGuiSliderFlags_AlwaysClamp | psim.ImGuiSliderFlags_NoRoundToFormat
    if slider.log:
        flags |= psim.ImGuiSliderFlags_Logarithmic
    label = f"{slider.label}###{slider.name}"
    changed, value = psim.SliderFloat(label, slider.value, slider.low, slider.high, "%.3g", flags)
    return [("slider", slider.name, value)] if changed else []


def _fixed() -> int:
    """A window of the panel's own that stays where it is."""
    import polyscope.imgui as psim

    return int(
        psim.ImGuiWindowFlags_NoTitleBar
        | psim.ImGuiWindowFlags_NoResize
        | psim.ImGuiWindowFlags_NoMove
        | psim.ImGuiWindowFlags_NoCollapse
        | psim.ImGuiWindowFlags_NoSavedSettings
        | psim.ImGuiWindowFlags_NoNav
    )


def _implot() -> Any | None:
    try:
        import polyscope.implot as implot
    except ImportError:
        return None
    return implot


def _plots(plots: tuple[Plot, ...]) -> None:
    import polyscope.imgui as psim

    implot = _implot()
    width, height = psim.GetContentRegionAvail()
    each = width / max(len(plots), 1) - 8.0
    widest = max((psim.CalcTextSize(plot.title)[0] for plot in plots), default=1.0)
    psim.PushFont(None, psim.GetFontSize() * min(1.0, (each - 16.0) / widest))
    for k, plot in enumerate(plots):
        if k:
            psim.SameLine()
        if implot is not None:
            _plot(implot, plot, (each, height))
            continue
        psim.BeginGroup()
        psim.Text(plot.title)
        for series in plot.series:
            values = np.asarray(series.y, dtype=np.float32).tolist() or [0.0]
            psim.PlotLines(f"##{plot.title} {series.label}", values, graph_size=(each, 40.0))
        psim.EndGroup()
    psim.PopFont()


def _plot(implot: Any, plot: Plot, size: tuple[float, float]) -> None:
    quiet = implot.ImPlotFlags_NoMenus | implot.ImPlotFlags_NoBoxSelect
    quiet |= implot.ImPlotFlags_NoMouseText | implot.ImPlotFlags_NoLegend
    if not implot.BeginPlot(plot.title, size, quiet):
        return
    fit = implot.ImPlotAxisFlags_AutoFit
    implot.SetupAxes("t [s]", "", fit, fit)
    for k, series in enumerate(plot.series):
        if len(series.x):
            colour = (*LINES[k % len(LINES)], 1.0)
            implot.SetNextLineStyle(colour, 2.0)
            implot.PlotLine(
                series.label,
                np.ascontiguousarray(series.x, dtype=np.float64),
                np.ascontiguousarray(series.y, dtype=np.float64),
            )
    implot.EndPlot()
