"""The report as HTML: one safe file of bounded size, which says and shows what was found."""

import base64
import hashlib
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from playwright.sync_api import Browser

from audit.browser import CHROMIUM, chromium, opened
from audit.chunks import audited, everything, outputs, setup_of_everything, some
from audit.parsed import Node, parsed
from audit.reports import made_up
from lossd.audit import Setup
from lossd.audit.compare import compare
from lossd.audit.html import MOST_BYTES, render
from lossd.audit.html import _numbers as numbers
from lossd.audit.metrics import Finding
from lossd.audit.report import Gated, Report

INJECTION = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>&amp;</style>]]>"
HOSTILE = {
    "markup": INJECTION,
    "ampersands": "&" * 3_000,
    "long": "a" * 10_000,
    "wide": "\N{CJK UNIFIED IDEOGRAPH-8A9E}" * 500,
    "right to left": "\N{RIGHT-TO-LEFT OVERRIDE}\N{HEBREW LETTER ALEF}abc\N{RIGHT-TO-LEFT ISOLATE}",
    "marks": "a" + "\N{COMBINING ACUTE ACCENT}" * 2_000,
    "controls": "\x00\x1b[31m\x7f\ud800\uffff\r\n\t",
    "empty": "",
}
WIDTHS = (360, 800, 1400)
ELEMENTS = {
    *("html", "head", "body", "meta", "link", "title", "style", "a", "main", "header", "nav"),
    *("section", "div", "p", "span", "ul", "li", "dl", "dt", "dd", "h1", "h2", "h3", "bdi", "code"),
    *("figure", "figcaption", "details", "summary", "table", "caption", "thead", "tbody", "tr"),
    *("th", "td", "svg", "desc", "g", "line", "path", "rect", "circle", "text"),
}


def real() -> Report:
    """Of made-up outputs, audited with every default metric and compared with a worse model."""
    rows = everything(3_000, 7)
    worse = rows | {"scores": rows["scores"] * 0.3}
    setup = setup_of_everything(classes=tuple("abcdefg"))
    candidate, baseline = audited(setup, rows), audited(setup, worse)
    comparison = compare(baseline.state(), candidate.state())
    return replace(candidate.report(), comparison=comparison)


def nothing_usable() -> Report:
    """Of rows that all hold NaN."""
    rows = outputs(50, 4)
    return audited(Setup(), rows | {"scores": rows["scores"] * np.nan}).report()


def one_row() -> Report:
    return audited(Setup(), outputs(1, 2)).report()


def huge() -> Report:
    return made_up(
        1_000,
        2_000,
        word=INJECTION + "&" * 500,  # longer than a page could show at its usual caps
        slices=50,
        values=500,
        listed=10_000,
        findings=2_000,
        gates=2_000,
    )


def small() -> Report:
    """All parts, little in each: axe looks at every element."""
    return made_up(3, 500, slices=1, values=4, listed=4, bins=5)


REPORTS = {
    "small": small,
    "usual": made_up,
    "real": real,
    "bare": lambda: replace(made_up(findings=0, gates=0), results={}, notes={}),
    "nothing usable": nothing_usable,
    "one row": one_row,
    "many classes": lambda: audited(Setup(), outputs(3_000, 1_200)).report(),
    "huge": huge,
    **{name: (lambda word=word: made_up(3, 500, word=word)) for name, word in HOSTILE.items()},
}


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    return {name: render(report()) for name, report in REPORTS.items()}


@pytest.fixture(scope="module")
def trees(pages: dict[str, str]) -> dict[str, Node]:
    return {name: parsed(page) for name, page in pages.items()}


each_report = pytest.mark.parametrize("name", REPORTS)


@each_report
def test_a_page_is_small_and_its_text_can_be_encoded(name: str, pages: dict[str, str]) -> None:
    assert len(pages[name].encode()) <= MOST_BYTES


@each_report
def test_no_name_becomes_markup(name: str, trees: dict[str, Node]) -> None:
    for node in trees[name].all():
        assert node.name in ELEMENTS
        for key, value in node.attributes.items():
            assert not key.startswith("on") and key not in ("style", "src", "srcdoc")
            if key == "href":
                assert (value or "").startswith("#") or value == "data:,"


@each_report
def test_what_no_page_may_hold_is_replaced(name: str, pages: dict[str, str]) -> None:
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", pages[name])


@each_report
def test_ids_come_once_and_links_and_labels_lead_to_them(name: str, trees: dict[str, Node]) -> None:
    nodes = list(trees[name].all())
    ids = [node.attributes["id"] for node in nodes if "id" in node.attributes]
    assert len(set(ids)) == len(ids)
    for node in nodes:
        label = (node.attributes.get("aria-labelledby") or "").split()
        assert set(label) <= set(ids)
        link = node.attributes.get("href") or ""
        assert not link.startswith("#") or link[1:] in ids


@each_report
def test_every_figure_has_a_title_a_description_and_its_numbers_as_a_table(
    name: str, trees: dict[str, Node]
) -> None:
    for figure in trees[name].all("figure"):
        svg = figure.first("svg")
        assert svg.attributes["role"] == "img"
        assert figure.first("title").text.strip() and figure.first("desc").text.strip()
        assert len(list(figure.first("details").first("tbody").all("tr"))) >= 1


@each_report
def test_figures_are_xml_whose_places_are_numbers_within_their_frame(
    name: str, pages: dict[str, str]
) -> None:
    for drawn in re.findall("<svg.*?</svg>", pages[name], re.DOTALL):
        svg = ElementTree.fromstring(drawn)
        width, height = map(float, svg.attrib["viewBox"].split()[2:])
        for each in svg.iter():
            for key in ("x", "x1", "x2", "cx"):
                assert -1 <= float(each.attrib.get(key, 0)) <= width + 1
            for key in ("y", "y1", "y2", "cy"):
                assert -1 <= float(each.attrib.get(key, 0)) <= height + 1
            for key in ("width", "height", "r"):
                assert float(each.attrib.get(key, 1)) > 0


@each_report
def test_only_the_style_of_the_page_is_allowed(
    name: str, pages: dict[str, str], trees: dict[str, Node]
) -> None:
    policies = [
        node.attributes["content"] or ""
        for node in trees[name].all("meta")
        if node.attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    sheet = pages[name].split("<style>")[1].split("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(sheet.encode()).digest()).decode()
    assert "url(" not in sheet and "@import" not in sheet
    assert policies == [
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    ]


def test_the_same_report_gives_the_same_bytes_and_notes_change_one_place() -> None:
    report = real()
    page = render(report)
    assert page == render(real())
    noted = render(replace(report, notes={"seconds": 3.5, "host": INJECTION}))
    run = re.compile('<div id="notes">.*?</dl></div>', re.DOTALL)
    assert len(run.findall(noted)) == 1
    assert run.sub("", noted) == page


@pytest.mark.parametrize("metric", made_up().results)
def test_a_metric_that_was_not_asked_for_leaves_its_part_out(metric: str) -> None:
    report = made_up()
    rest = {name: each for name, each in report.results.items() if name != metric}
    whole, less = (
        [each.attributes["id"] for each in parsed(render(one)).all("section")]
        for one in (report, replace(report, results=rest))
    )
    parts = {
        "loss": "losses",
        "distributions": "distributions",
        "calibration": "calibration",
        "confusion": "confusions",
        "per_class": "classes",
        "label_issues": "suspects",
        "per_slice": "slices",
    }
    assert less == [each for each in whole if each != parts.get(metric)]


def section(page: str, id_: str) -> Node:
    return next(each for each in parsed(page).all("section") if each.attributes["id"] == id_)


def test_findings_are_sentences_with_some_of_their_rows() -> None:
    found = Finding("duplicates", "error", "12 rows come twice.", ("a", "b", 3), 12)
    part = section(render(replace(made_up(), findings=(found,))), "findings")
    for each in ("error", "12 rows come twice.", "and 9 more"):
        assert each in part.text
    assert [each.text.strip() for each in part.all("code")] == ["a", "b", "3"]


def test_gates_come_failed_ones_first_with_value_and_limit() -> None:
    gates = (
        Gated("loss.mean", "pass", "The mean loss is low enough.", 0.4, 0.5),
        Gated("accuracy", "fail", "The accuracy is too low.", 0.81, 0.9, (0.8, 0.82)),
    )
    page = render(replace(made_up(), gates=gates))
    items = [each.text for each in section(page, "gates").all("li")]
    assert "fail" in items[0] and "value 0.81" in items[0] and "limit 0.9" in items[0]
    assert "pass" in items[1]
    assert "1 failed, 1 passed" in parsed(page).first("h1").text


def reliability_bin(low: float, count: int, right: float, interval: list[float]) -> dict[str, Any]:
    middle = low + 1 / 30
    return {
        "low": low,
        "high": low + 1 / 15,
        "count": count,
        "confidence": middle if count else None,
        "accuracy": right if count else None,
        "interval": interval if count else None,
    }


def test_the_sentence_of_calibration_counts_bins_outside_their_interval() -> None:
    report = made_up()
    bins = [
        reliability_bin(12 / 15, 100, 0.6, [0.5, 0.7]),
        reliability_bin(13 / 15, 100, 0.9, [0.8, 0.95]),
        reliability_bin(14 / 15, 0, 0, []),
    ]
    found = report.results["calibration"] | {
        "bins": bins,
        "mean_confidence": 0.934,
        "accuracy": 0.903,
        "gap": {"value": 0.031, "interval": [0.001, 0.061]},
    }
    page = render(replace(report, results=report.results | {"calibration": found}))
    words = section(page, "calibration").first("p").text
    assert "1 of 2 bins lies outside" in words
    assert "overconfident by 3.1\N{NARROW NO-BREAK SPACE}points" in words
    figure = section(page, "calibration").first("svg")
    dots = [each.attributes["class"] for each in figure.all("circle")]
    assert dots == ["dot alert", "dot"]


def test_a_gap_whose_interval_holds_zero_is_no_overconfidence() -> None:
    report = made_up()
    gap = {"value": 0.004, "interval": [-0.002, 0.01]}
    found = report.results["calibration"] | {
        "mean_confidence": 0.907,
        "accuracy": 0.903,
        "gap": gap,
    }
    page = render(replace(report, results=report.results | {"calibration": found}))
    words = section(page, "calibration").first("p").text
    assert "overconfident by" not in words and "beyond chance" in words


def test_the_heat_map_shows_the_classes_that_are_confused_most() -> None:
    counts = np.diag(np.full(200, 50))
    counts[17, 130], counts[90, 3] = 20, 10
    report = made_up(200, 2_000)
    found = {"dense": True, "counts": counts.tolist(), "most_confused": []}
    page = render(replace(report, results=report.results | {"confusion": found}))
    rows = list(section(page, "confusions").first("tbody").all("tr"))
    assert {"3", "17", "90", "130"} <= {row.first("th").text.strip() for row in rows}
    assert len(rows) == 10
    assert "10 of 200 classes are shown" in section(page, "confusions").text


def test_sparse_confusion_is_drawn_too() -> None:
    report = made_up()
    pairs = [
        {"label": "3", "predicted": "3", "count": 9},
        {"label": "3", "predicted": "5", "count": 4},
    ]
    found = {"dense": False, "pairs": pairs, "others": 6, "most_confused": []}
    words = section(
        render(replace(report, results=report.results | {"confusion": found})), "confusions"
    )
    assert [row.first("th").text.strip() for row in words.first("tbody").all("tr")] == ["3", "5"]
    assert "6 rows in pairs beyond the bound" in words.text


def test_what_is_cut_is_said(pages: dict[str, str]) -> None:
    page = pages["huge"]
    for id_, nouns in {
        "findings": "findings",
        "gates": "gates",
        "classes": "classes",
        "suspects": "suspicious labels",
        "slices": "columns",
    }.items():
        assert re.search(rf"\d+ of \d?\d?\d,?\d+ {nouns} are shown", section(page, id_).text)


def test_slices_that_differ_are_never_cut_before_others() -> None:
    page = render(made_up(slices=1, values=1_000))
    rows = section(page, "slices").first("tbody").all("tr")
    assert next(iter(rows)).first("th").text.strip() == "value 3"


def test_a_comparison_shows_changes_and_flips() -> None:
    rows = everything(2_000, 5)
    noise = np.random.default_rng(1).normal(size=rows["scores"].shape).astype(np.float32)
    setup = setup_of_everything()
    a = audited(setup, rows)
    b = audited(setup, some(rows | {"scores": rows["scores"] + 2 * noise}, slice(None)))
    page = render(replace(b.report(), comparison=compare(a.state(), b.state())))
    words = section(page, "comparison").text
    assert "Accuracy" in words and "95 % interval" in words
    assert "fell" in words


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "\N{EN DASH}"),
        (0, "0"),
        (0.12345, "0.1235"),
        (-1234.6, "\N{MINUS SIGN}1,235"),
        (1e-9, "1.000 \N{MULTIPLICATION SIGN} 10⁻⁹"),
        (5e-324, "4.941 \N{MULTIPLICATION SIGN} 10⁻³²⁴"),
        (1.5e300, "1.500 \N{MULTIPLICATION SIGN} 10³⁰⁰"),
    ],
)
def test_numbers_have_four_digits(value: float | None, words: str) -> None:
    assert numbers.number(value).replace("\N{NARROW NO-BREAK SPACE}", " ") == words


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-3.7, 12), (1e-9, 2e-9), (0, 1e12), (0.5, 0.5)])
def test_ticks_are_few_and_within(low: float, high: float) -> None:
    at = numbers.ticks(low, high, 5)
    assert 1 <= len(at) <= 6
    room = 1e-9 * (high - low)
    assert all(low - room <= each <= high + room for each in at)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("there is no Chromium on this machine")
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def files(pages: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    found = {name: folder / f"{i}.html" for i, name in enumerate(pages)}
    for name, file in found.items():
        file.write_text(pages[name], encoding="utf-8")
    return found


@each_report
def test_nothing_is_fetched_nothing_runs_and_nothing_overflows(
    name: str, browser: Browser, files: dict[str, Path]
) -> None:
    with opened(browser, files[name]) as page:
        for width in WIDTHS:
            page.width(width)
            assert page.too_wide() == []
        page.open_details()
        for width in WIDTHS:
            page.width(width)
            assert page.too_wide() == []
        assert page.requests == [files[name].as_uri()]
        assert page.messages == []
        style = "getComputedStyle(document.querySelector('main')).maxWidth"
        assert page.page.evaluate(style) == "1152px"  # the policy lets the page's own style in


@pytest.mark.parametrize("name", ["small", "bare", "real"])
def test_axe_finds_nothing(name: str, browser: Browser, files: dict[str, Path]) -> None:
    with opened(browser, files[name]) as page:
        page.width(360)
        if name == "small":
            page.open_details()
        assert page.violations(contrast=name == "small") == []


def test_text_stands_out_from_its_ground_in_the_dark_too(
    browser: Browser, files: dict[str, Path]
) -> None:
    with opened(browser, files["small"], "dark") as page:
        ground = page.page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert ground == "rgb(20, 23, 26)"
        assert page.pale() == []
