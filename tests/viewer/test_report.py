"""The report of a comparison: whole, offline, and its numbers those of the rows."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hodsim.comparison import Run, matches_of
from hodsim.errors import InputError
from hodsim.mesh import beam
from hodsim.viewer.report import Picture, WorstFrame, worst_frames, write_report
from hodsim.viewer.report.measures import number
from hodsim.viewer.report.page import lead_label, page
from hodsim.viewer.report.plots import pareto
from hodsim.viewer.report.rows import read_rows

CHROMIUM = Path("/usr/bin/chromium")
FAILURE = 'step 31: Newton <did not> converge & "|g|" = 0.12 after 30 iterations'
NAME = '<script>alert("x")</script>'
# Relative errors of the mildest load; others grow by a tenth each.
ERRORS = {"pca": 8.0, "masspca": 7.0, "stiffpca": 5.0, "modal": 9.0, "quadratic": 2.0, "hod": 0.2}
FAMILIES = {"beam": ("bend", "twist", "swing"), "torus": ("swing",)}
NETWORKS = {"autoencoder-6": 0.009, "hybrid-6": 0.02, "hod-6": 0.005}


def row(label: str = "pca-6", **given: Any) -> dict[str, Any]:
    """A run as a comparison stores it, every measure there."""
    kind, _, rank = label.partition(" ")[0].partition("-")
    error = given.pop("error", 0.02)
    full = kind == "full"
    steps = given.get("steps", 40)
    curve = error * (1.0 - np.cos(np.linspace(0.0, 9.0, steps + 1)))
    whole = {
        "body": "beam",
        "scene": "bend-1",
        "family": "bend",
        "load": "held-out",
        "integrator": "implicit-euler",
        "label": label,
        "subspace": kind,
        "rank": int(rank) if rank else None,
        "formulation": None if full else "incremental",
        "terms": [] if full else ["second", "third"],
        "tip_position_error": 0.0 if full else error,
        "tip_velocity_error": 0.0 if full else 2.5 * error,
        "position_error": 0.0 if full else 0.9 * error,
        "velocity_error": 0.0 if full else 2.1 * error,
        "worst_vertex_error": 0.0 if full else 1.4 * error,
        "energy_error": 0.0 if full else 0.6 * error,
        "volume_change": 0.0131 if full else 0.0131 * (1.0 - error),
        "newton_iterations": 2.1,
        "step_ms": 4.3 if full else 0.004 * int(rank or 6) * (2.0 if kind == "hod" else 1.0),
        "tets": 2048 if full else 72,
        "speedup": 1.0,
        "solver": "superlu" if full else None,
        "dofs": 1473,
        "max_newton_iterations": 3,
        "engine": "numpy",
        "training_seconds": None if full else 66.0,
        "steps": steps,
        "step": 0.02,
        "converged": True,
        "failure": None,
        "error_over_time": None if full else [float(f"{e:.4g}") for e in curve],
    }
    return whole | given


def many() -> list[dict[str, Any]]:
    """Bodies x families x loads x labels, of which one run failed."""
    labels = {
        f"{kind}-{r}": e / r**2.5
        for kind, e in ERRORS.items()
        for r in (6, 12, 15, 20)
        if kind not in ("hod", "quadratic")
    }
    labels |= {"quadratic-6": 0.03, **NETWORKS}
    rows = []
    for body in FAMILIES:
        for f, family in enumerate(("bend", "twist", "swing")):
            if family not in FAMILIES[body]:
                continue
            for load, times in (("held-out", 1.0), ("1.5x", 2.0), ("2x", 6.0)):
                for k in range(1, 4):
                    where = {"body": body, "family": family, "load": load, "scene": f"{family}-{k}"}
                    grown = times * (1.0 + f) * (1.0 + 0.1 * k)
                    rows.append(row("full", **where))
                    rows += [row(name, error=e * grown, **where) for name, e in labels.items()]
        for k in (1, 2):
            where = {"body": body, "family": "other", "load": "other", "scene": f"other-{k}"}
            rows += [row("full", **where), row("pca-6", error=0.4, **where)]
            rows += [row("hod-6", error=0.03 * k, **where)]
        for label in ("full", "hod-6", "hod-6 lagrangian"):
            rows.append(row(label, body=body, error=0.011, integrator="bdf2"))
    rows[5] |= {"converged": False, "failure": FAILURE, "steps": 31}
    rows[5] |= {key: None for key in rows[5] if key.endswith("_error")}
    return rows


HEADER = {
    "command": ["hodsim", "compare", "beam", "torus", "--out", "my comparison"],
    "commit": "0123456789abcdef0123456789abcdef01234567",
    "made": "2026-11-25T15:00:00+00:00",
    "versions": {"python": "3.11.7", "torch": "2.13.0"},
    "threads": 1,
    "machine": "2 cores",
    "seconds": 1234.5,
    "seeds": {"training": 0, "sampling": 1},
}


def results(rows: list[dict[str, Any]], **header: Any) -> dict[str, Any]:
    return {"header": HEADER | header, "rows": rows}


def matched(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Results with the ranks that match, as a comparison finds them in these rows."""
    matches = [match.to_dict() for match in matches_of(map(Run.from_dict, rows))]
    return results(rows) | {"summary": {"matches": matches}}


class Reader(HTMLParser):
    """Tables as lists of lines of text, by their titles; and whether all tags close."""

    EMPTY = ("meta", "img", "br", "link")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.best: dict[str, list[tuple[str, int]]] = {}
        self.links: list[str] = []
        self.ids: list[str] = []
        self.title, self.said, self.named = "", "", False
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        given = dict(attrs)
        if tag not in self.EMPTY:
            self.open.append(tag)
        if tag == "tr":
            self.tables.setdefault(self.title, []).append([])
        if tag in ("td", "th") and "best" in (given.get("class") or ""):
            line = self.tables[self.title][-1]
            self.best.setdefault(self.title, []).append((line[0], len(line)))
        self.links += [given[k] for k in ("src", "href") if k in given]
        self.ids += [given["id"]] if "id" in given else []
        self.said = ""
        self.named = given.get("class") == "title"

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
        if tag in ("td", "th"):
            self.tables[self.title][-1].append(self.said.strip())
        if self.named:
            self.title = self.said.strip()
        self.named = False

    def handle_data(self, data: str) -> None:
        self.said += data


@pytest.fixture(scope="module")
def whole() -> str:
    """A page with all it can hold."""
    return page(results(many()))


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages without plots, which take most of the time."""
    monkeypatch.setattr("hodsim.viewer.report.page._plots", lambda *_: ())


def test_well_formed_offline_and_small(whole: str) -> None:
    found = Reader(whole)
    assert len(found.ids) == len(set(found.ids))
    for link in found.links:
        assert link.startswith(("data:image/svg+xml;base64,", "data:image/png;base64,", "#"))
        assert not link.startswith("#") or link[1:] in found.ids
    assert not re.search(r"https?://|url\(|@import|<script|<link", whole)
    assert len(whole.encode()) < 1_000_000  # three whole bodies with pictures stay below 5 MB


def test_numbers_are_those_of_the_rows(whole: str) -> None:
    rows, tables = many(), Reader(whole).tables
    for body in ("beam", "torus"):
        for family in FAMILIES[body]:
            head, *lines = tables[f"{body}, {family}"][:17]
            by_name = {line[0]: dict(zip(head, line, strict=True)) for line in lines}
            for label, name in (("hod-6", "HoD-6"), ("pca-20", "PCA-20"), ("modal-12", "modal-12")):
                mine = [
                    r
                    for r in rows
                    if (r["body"], r["family"], r["label"], r["load"], r["integrator"])
                    == (body, family, label, "held-out", "implicit-euler")
                ]
                assert len(mine) == 3
                for key, column in (
                    ("tip_position_error", "tip position [%]"),
                    ("tip_velocity_error", "tip velocity [%]"),
                ):
                    values = [100.0 * r[key] for r in mine]
                    said = f"{number(fmean(values))} ({number(max(values))})"
                    assert by_name[name][column] == said
                assert by_name[name]["step [ms]"] == number(fmean(r["step_ms"] for r in mine))
                assert by_name[name]["worst vertex [%]"] == number(
                    100.0 * fmean(r["worst_vertex_error"] for r in mine)
                )
                assert by_name[name]["failed"] == "0 of 3"


def test_failures_are_counted_and_listed_with_their_text(whole: str) -> None:
    rows, tables = many(), Reader(whole).tables
    failed = rows[5]
    assert failed["label"] == "masspca-6"
    line = next(line for line in tables["beam, bend"] if line[0] == "mass PCA-6")
    assert "1 of 3" in line
    assert line[1].endswith("(failed)")
    rest = [
        r
        for r in rows
        if (r["body"], r["family"], r["label"], r["load"])
        == ("beam", "bend", "masspca-6", "held-out")
        and r["failure"] is None
    ]
    assert len(rest) == 2
    assert line[1].startswith(number(100.0 * fmean(r["tip_position_error"] for r in rest)))
    [listed] = tables["Runs that failed"][1:]
    assert listed == [
        "beam",
        "bend-1",
        "held-out",
        "implicit-euler",
        "mass PCA-6",
        "1",
        "31",
        FAILURE,
    ]
    assert f"1 of {len(rows)} failed" in whole


@pytest.mark.usefixtures("plain")
def test_a_crash_without_anything_measured() -> None:
    bare = {
        key: None
        for key in row()
        if key not in ("body", "scene", "family", "load", "integrator", "label", "subspace")
    }
    crashed = row() | bare | {"converged": False, "failure": "crashed: killed by signal 9"}
    found = Reader(page(results([row("full"), crashed]))).tables
    assert found["Runs that failed"][1][-1] == "crashed: killed by signal 9"
    [line] = [line for line in found["beam, bend"] if line[0] == "PCA-6"]
    assert line[1] == "failed"
    assert "1 of 1" in line


@pytest.mark.usefixtures("plain")
def test_failures_alike_share_a_line() -> None:
    refused = [
        row("pca-99", scene=f"bend-{k}", steps=0, converged=False, failure="rank up to 20")
        for k in (1, 2, 3)
    ]
    other = row("pca-99", scene="bend-4", steps=0, converged=False, failure="another")
    text = page(results([row("full"), *refused, other]))
    lines = Reader(text).tables["Runs that failed"][1:]
    assert [(line[1], line[5], line[-1]) for line in lines] == [
        ("bend-1, bend-2, bend-3", "3", "rank up to 20"),
        ("bend-4", "1", "another"),
    ]
    assert "4 of 5 failed" in text
    # A rank that the model lacks was not run.
    assert next(line for line in Reader(text).tables[""] if line[0] == "PCA")[1] == "-"


@pytest.mark.usefixtures("plain")
def test_every_failure_has_a_text() -> None:
    rows = [row("full"), row(converged=False, failure=None)]
    listed = Reader(page(results(rows))).tables["Runs that failed"]
    assert listed[1][-1] == "stopped early; no reason was stored"


@pytest.mark.usefixtures("plain")
def test_runs_without_a_reference_are_named() -> None:
    rows = [row("full", converged=False, failure="step 3"), row(tip_position_error=None)]
    tables = Reader(page(results(rows))).tables
    [title] = [title for title in tables if title.startswith("Runs without an error")]
    assert tables[title][1:] == [["beam", "bend-1", "held-out", "implicit-euler", "PCA-6"]]


@pytest.mark.usefixtures("plain")
def test_best_of_a_column_is_bold_and_hides_no_failure() -> None:
    rows = [
        row("full"),
        row("pca-6", error=0.02),
        row("hod-6", error=0.001),
        row("modal-6", error=1e-6, converged=False, failure="x", volume_change=0.0131),
    ]
    found = Reader(page(results(rows)))
    head = found.tables["beam, bend"][0]
    best = {(name, head[k]) for name, k in found.best["beam, bend"]}
    assert ("HoD-6", "tip position [%]") in best
    assert ("PCA-6", "step [ms]") in best
    # 0.0131 (1 - error) is nearest to full space's where the error is least.
    assert ("HoD-6", "volume [%]") in best
    assert {name for name, _ in best} == {"HoD-6", "PCA-6"}
    assert not any(name == "PCA-6" and "position" in column for name, column in best)


def test_scene_names_are_escaped() -> None:
    text = page(
        results(
            [
                row("full", scene=NAME, body=NAME, family=NAME),
                row(scene=NAME, body=NAME, family=NAME, failure=NAME, converged=False),
            ]
        )
    )
    assert "<script" not in text
    assert "&lt;script&gt;" in text


@pytest.mark.usefixtures("plain")
def test_scenes_of_one_name_stay_apart() -> None:
    rows = [row(error=0.02), row(error=0.03), row("full"), row("full")]
    table = Reader(page(results(rows))).tables["tip position [%] of each load"]
    assert table == [["subspace", "bend-1", "bend-1 (2)"], ["PCA-6", "2.00", "3.00"]]


@pytest.mark.usefixtures("plain")
def test_matching_ranks_are_those_of_the_summary() -> None:
    # Rank 8 is better by luck, 12 is not: only from 15 on does it stay.
    lucky = {"hod-6": 0.01, "pca-8": 0.005, "pca-12": 0.02, "pca-15": 0.01, "pca-20": 0.002}
    rows = [row("full"), *(row(k, error=e) for k, e in lucky.items())]
    table = Reader(page(matched(rows))).tables["The rank that matches HoD-6"]
    assert table[2] == ["PCA", "15", "15"]
    worse = [row("full"), row("hod-6", error=0.01), row("pca-8", error=0.02)]
    table = Reader(page(matched(worse))).tables["The rank that matches HoD-6"]
    assert table[2] == ["PCA", "none up to 8", "none up to 8"]
    stopped = [row("full"), row("hod-6", converged=False, failure="x"), row("pca-8", error=0.01)]
    table = Reader(page(matched(stopped))).tables["The rank that matches HoD-6"]
    assert table[2] == ["PCA", "not compared", "not compared"]
    # Each load and family keeps its own, and those of another body or time scheme stay away.
    far = [row(k, error=e, load="2x") for k, e in (("full", 0), ("hod-6", 0.01), ("pca-8", 0.01))]
    twist = [row(k, family="twist", scene="twist-1") for k in ("full", "hod-6", "pca-6")]
    other = [row(k, integrator="bdf2") for k in ("full", "hod-6", "pca-6")]
    tables = Reader(page(matched([*rows, *far, *twist, *other]))).tables
    assert tables["The rank that matches HoD-6"] == [
        ["", "bend", "twist"],
        ["method", *("by position", "by velocity") * 2],
        ["PCA", "15", "15", "6", "6"],
    ]
    assert tables["The rank that matches HoD-6, loads 2x"][2] == ["PCA", "8", "8"]
    # What was stored without a summary has no such table.
    assert "The rank that matches HoD-6" not in Reader(page(results(rows))).tables


def test_front_is_what_nothing_beats() -> None:
    points = [(1.0, 5.0), (2.0, 6.0), (2.0, 3.0), (3.0, 3.0), (4.0, 1.0), (0.5, 9.0)]
    assert pareto(points) == [(0.5, 9.0), (1.0, 5.0), (2.0, 3.0), (4.0, 1.0)]


def test_leading_network_is_that_of_rank_6() -> None:
    found = read_rows(results([row("hod-8"), row("hod-6"), row("hod-4")]))
    assert lead_label(found) == "hod-6"
    assert lead_label(read_rows(results([row("hod-4"), row("hod-8")]))) == "hod-8"
    assert lead_label(read_rows(results([row()]))) == ""


def test_far_loads_stand_beside_those_of_training(whole: str) -> None:
    tables = Reader(whole).tables
    lines = tables["torus, swing"]
    at = next(k for k, line in enumerate(lines) if line[0] == "" and "1.5x" in line)
    spans, head, *lines = lines[at:]
    assert spans == ["", "held-out", "1.5x", "2x"]
    hod = next(line for line in lines if line[0] == "HoD-6")
    near, far = hod[1], hod[1 + len(head) // 3]
    assert near == "1.80 (1.95)"
    assert far == "3.60 (3.90)"
    other = tables["torus, other (beside all other kinds)"]
    assert other[0] == ["", "held-out", "other"]
    assert next(line for line in other if line[0] == "PCA-12")[-1] == "not run"
    assert "torus, other, other" in tables


@pytest.mark.usefixtures("plain")
def test_integrators_and_formulations_stand_side_by_side() -> None:
    rows = [
        *(row(k, error=0.02) for k in ("full", "hod-6", "pca-6")),
        row("hod-6 lagrangian", error=0.04, formulation="lagrangian"),
        *(row(k, error=0.03, integrator="bdf2") for k in ("full", "hod-6")),
    ]
    lines = Reader(page(results(rows))).tables["beam, bend"]
    at = lines.index(["", "implicit-euler", "bdf2"])
    by_name = {line[0]: line for line in lines[at + 2 :]}
    assert by_name["HoD-6"][1::4] == ["2.00 (2.00)", "3.00 (3.00)"]
    assert by_name["HoD-6 lagrangian"][1::4] == ["4.00 (4.00)", "not run"]
    assert "PCA-6" not in by_name


@pytest.mark.usefixtures("plain")
def test_a_comparison_of_the_readable_integrator_alone() -> None:
    rows = [
        row("full"),
        row("hod-6 reference", error=0.01),
        row("pca-6 reference"),
        row("pca-12 reference", error=0.01),
    ]
    tables = Reader(page(matched(rows))).tables
    assert [line[0] for line in tables["beam, bend"]] == [
        "subspace",
        "full space",
        "HoD-6 reference",
        "PCA-6 reference",
        "PCA-12 reference",
    ]
    assert tables["The rank that matches HoD-6 reference"][2] == ["PCA", "12", "12"]


@pytest.mark.usefixtures("plain")
def test_without_held_out_loads_no_other_goes_by_that_name() -> None:
    rows = [row(label, load=load) for load in ("2x", "1.5x") for label in ("full", "pca-6")]
    tables = Reader(page(results(rows))).tables
    assert "beam, bend, 1.5x" in tables
    assert tables["beam, bend"][0] == ["", "1.5x", "2x"]
    assert not any("held-out" in cell for t in tables.values() for line in t for cell in line)


@pytest.mark.usefixtures("plain")
def test_says_how_to_remake_it(whole: str) -> None:
    assert f"git checkout {HEADER['commit']}" in whole
    assert "hodsim compare beam torus --out &#39;my comparison&#39;" in whole
    for said in ("training: 0; sampling: 1", "python: 3.11.7; torch: 2.13.0", "1234.5", "2 cores"):
        assert said in whole
    changed = page(results([row()], commit="abc-dirty", **{"left out": ["arm: <no> model"]}))
    assert "git checkout abc  # and what was changed since" in changed
    assert "<li>arm: &lt;no&gt; model</li>" in changed
    assert "the command was not stored" in page({"rows": [row()]})


def test_same_results_give_the_same_file(tmp_path: Path) -> None:
    rows = [row("full"), row(), row("hod-6", error=0.001)]
    for name in "ab":
        write_report(tmp_path / name, results(rows))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"rows": []}, "expected rows, given none"),
        ({}, "expected rows, given none"),
        ({"rows": [row(), row(body=None)]}, "row 1 lacks body"),
    ],
)
def test_bad_results(given: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said):
        write_report(tmp_path / "report.html", given)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (0.0, "0"),
        (20.512, "20.5"),
        (0.5612, "0.561"),
        (123.4, "123"),
        (0.012345, "0.0123"),
        (2048, "2,048"),
        (1e12, "1.0e+12"),
        (3e-9, "3.0e-09"),
    ],
)
def test_numbers_have_three_digits(value: float | None, text: str) -> None:
    assert number(value) == text


def test_not_finite_is_no_number() -> None:
    rows = [row("full"), row(tip_position_error=float("nan"), energy_error=float("inf"))]
    text = page(results(rows))
    assert not re.search(r"\b(nan|inf)\b", text.partition("</style>")[2])


def frame(error: float, scene: str = "bend-1", label: str = "hod-6") -> WorstFrame:
    mesh = beam((4, 1, 1), (1.0, 0.2, 0.2))
    full = mesh.vertices.copy()
    full[:, 2] -= 0.3 * full[:, 0] ** 2
    moved = full.copy()
    moved[:, 2] -= error * full[:, 0] ** 2
    clamped = np.flatnonzero(mesh.vertices[:, 0] < 1e-6)
    return WorstFrame(
        "beam",
        "held-out",
        scene,
        label,
        0.6,
        error,
        mesh.vertices,
        mesh.surface,
        clamped,
        full,
        moved,
    )


def test_pictures_of_the_worst_frame_of_each_label() -> None:
    found = worst_frames([frame(0.05, label="pca-6"), frame(0.1), frame(0.2, "bend-2")])
    assert [p.caption for p in found] == [
        "HoD-6, bend-2 (held-out): tip off by 20.0 % at 0.60 s",
        "PCA-6, bend-1 (held-out): tip off by 5.00 % at 0.60 s",
    ]
    image = np.asarray(Image.open(io.BytesIO(found[0].png)).convert("RGB"))
    left, right = np.split(image[60:-60, :-128].astype(int), 2, axis=1)
    lead = [half[..., 0] - half[..., 1] for half in (left, right)]
    assert lead[1].max() > 120 > 60 > lead[0].max()  # only the subspace is off
    text = page(results([row("full"), row("hod-6")]), found)
    assert text.count("data:image/png;base64,") == 2
    assert found[0].caption in text
    assert "png" not in page(results([row("full")]), [Picture("another", "x", b"")])


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    if not CHROMIUM.exists():
        pytest.fail(f"{CHROMIUM} is missing: apt install chromium")
    with sync_playwright() as playwright:
        program = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield program
        program.close()


@pytest.mark.parametrize("width", [390, 1280])
def test_page_fits_phones_and_desks(chromium: Any, whole: str, tmp_path: Path, width: int) -> None:
    file = tmp_path / "report.html"
    file.write_text(whole, encoding="utf-8")
    tab = chromium.new_page(viewport={"width": width, "height": 800})
    asked: list[str] = []
    errors: list[str] = []
    tab.on("request", lambda x: asked.append(x.url))
    tab.on("pageerror", lambda x: errors.append(str(x)))
    tab.goto(file.as_uri())
    assert errors == []
    assert {url.partition(":")[0] for url in asked} <= {"file", "data"}
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    drawn = "[...document.images].every(i => i.complete && i.naturalWidth > 100)"
    assert tab.evaluate(drawn)
    # Inside a long table its head stays in sight.
    head = tab.evaluate(
        "() => { const box = [...document.querySelectorAll('#body-1 .scroll')]"
        ".find(b => b.querySelectorAll('tr').length > 10); box.style.maxHeight = '200px';"
        "box.scrollTop = 100; const head = box.querySelector('thead');"
        "return head.getBoundingClientRect().top - box.getBoundingClientRect().top; }"
    )
    assert abs(head) < 2
    tab.close()
