"""Forms of a report: nothing in a name is a command to who reads them, and none is endless."""

import re
import unicodedata
from functools import cache
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree as xml

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from audit.chunks import audited, everything, outputs, setup_of_everything
from lossd.audit import Report, Setup, report_of
from lossd.audit.compare import compare
from lossd.audit.formats import github, junit, markdown, text
from lossd.audit.gates import gates_of, judge
from lossd.audit.metrics import Finding
from lossd.audit.report import Gated

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "]]></failure><testcase name='x'/>",
    "a\n# heading\n\n| a | b |",
    "![x](http://evil.example/x.png) [x](javascript:alert(1))",
    "http://evil.example www.evil.example me@evil.example @everyone #1",
    "`code` *bold* ~~gone~~ $x^2$ &lt;b&gt; \\",
    "\x1b[2J\x1b]0;title\x07 \r\x08\x00",
    "\u202eright to left\u2066\u200b\ufeff\u2028\x85",
    "::error::injected\n::stop-commands::x",
    "%0A::warning::x",
    "\ud800 alone \udfff \ufffe \x0b",
    "x" * 5_000,
    "|" * 300,
    "漢字" * 200,
    "",
]

KINDS = [f"name {i}" for i in range(len(HOSTILE))]


@cache
def report(name: str = "plain") -> Report:
    """A report in which a name from outside is everywhere."""
    names = (name, f"{name} 2", "c", "d")
    found = audited(
        Setup(classes=names, slices=("country",), has_ids=True),
        outputs(500, 4)
        | {"ids": np.array([f"{name}{i}" for i in range(500)])}
        | {"slices": {"country": np.array([name, "de"] * 250)}},
    )
    whole = report_of(found.state())
    finding = Finding("hostile", "error", f"The class {name} is odd.", (name, 5), 20)
    gate = Gated(name, "fail", f"{name} is low.", 0.1, 0.5, (0.0, 0.2))
    gates = (
        gate,
        Gated(f"{name} w", "warn", f"{name} warns."),
        Gated(f"{name} i", "inconclusive", f"{name} cannot be told."),
        Gated(f"{name} p", "pass", f"{name} passes."),
    )
    return Report(
        whole.setup,
        whole.classes,
        whole.rows,
        dict(whole.results)
        | {
            "label_issues": {
                "count": 1,
                "listed": [{"id": name, "label": name, "suggested": name, "score": 0.1}],
            }
        },
        (finding, *whole.findings),
        gates,
        {"sentences": [f"The slice {name} fell."]},
    )


FORMS: dict[str, Any] = {
    "text": text.render,
    "colours": lambda each: text.render(each, colours=True),
    "markdown": markdown.render,
    "junit": junit.render,
    "github": github.render,
    "annotations": github.annotations,
}


@pytest.mark.parametrize("form", FORMS)
def test_the_verdict_and_the_findings_come_first_as_sentences(form: str) -> None:
    whole = FORMS[form](report())
    assert "The class plain is odd." in whole
    assert "fail" in whole.lower()
    if form not in ("annotations", "junit"):
        assert whole.index("odd.") < whole.index("plain warns.") < whole.index("Results")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", HOSTILE, ids=KINDS)
def test_forms_are_text_that_can_be_written(form: str, name: str) -> None:
    whole = FORMS[form](report(name))
    whole.encode()
    allowed = "\n\x1b" if form == "colours" else "\n"
    for letter in whole:
        assert letter in allowed or unicodedata.category(letter) not in ("Cc", "Cf", "Cs", "Zl")


@pytest.mark.parametrize("name", HOSTILE, ids=KINDS)
def test_text_fits_a_terminal(name: str) -> None:
    for line in text.render(report(name)).splitlines():
        wide = sum(unicodedata.east_asian_width(each) in "WF" for each in line)
        assert len(line) + wide <= 80


def test_colours_are_there_only_when_asked_for() -> None:
    assert "\x1b" not in text.render(report())
    plain = re.sub(r"\x1b\[\d+m", "", text.render(report(), colours=True))
    assert plain == text.render(report())


class Tags(HTMLParser):
    """The tags of a page, with their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.add(tag)
        self.attributes |= {f"{key}={value}" for key, value in attrs}


@pytest.mark.parametrize("name", HOSTILE, ids=KINDS)
def test_markdown_of_a_hostile_name_has_the_marks_of_a_plain_one(name: str) -> None:
    reader = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    page, usual = (Tags(reader.render(markdown.render(report(each)))) for each in (name, "plain"))
    assert page.found <= usual.found and page.attributes <= usual.attributes
    whole = markdown.render(report(name))
    assert "://" not in whole and "www." not in whole and "@" not in whole
    count = [len(re.findall(r"^#", each, re.M)) for each in (whole, markdown.render(report()))]
    assert count[0] == count[1]


@pytest.mark.parametrize("name", HOSTILE, ids=KINDS)
def test_junit_has_a_case_per_gate_whatever_their_names(name: str) -> None:
    root = xml.fromstring(junit.render(report(name)).encode())
    suite = root[0]
    cases = suite.findall("testcase")
    assert len(cases) == 4
    assert [len(suite.findall(f".//{each}")) for each in ("failure", "skipped")] == [1, 1]
    assert [suite.get(key) for key in ("tests", "failures", "skipped")] == ["4", "1", "1"]


def test_junit_without_gates_is_one_case_that_passes() -> None:
    root = xml.fromstring(junit.render(report_of(audited(Setup(), outputs(50, 3)).state())))
    assert len(root.findall(".//testcase")) == 1 and not root.findall(".//failure")


@pytest.mark.parametrize("name", HOSTILE, ids=KINDS)
def test_annotations_are_lines_of_which_each_is_one_command(name: str) -> None:
    lines = github.annotations(report(name)).splitlines()
    assert lines
    for line in lines:
        assert re.match(r"::(error|warning) title=[^:,\r\n]*::[^\r\n]*$", line)


def test_annotations_are_ten_at_most_and_the_failures_first() -> None:
    gates = [Gated(f"g{i}", "warn" if i < 50 else "fail", f"g{i}.") for i in range(60)]
    whole = report_of(audited(Setup(), outputs(50, 3)).state())
    many = Report(whole.setup, 3, 50, whole.results, whole.findings, tuple(gates))
    lines = github.annotations(many).splitlines()
    assert len(lines) == 10
    assert all(each.startswith("::error") for each in lines[:9])
    assert "51 more" in lines[9]


def test_a_step_summary_is_of_one_mebibyte_at_most() -> None:
    findings = tuple(Finding("x", "info", "漢" * 1_900 + ".") for _ in range(400))
    whole = report_of(audited(Setup(), outputs(50, 3)).state())
    page = github.render(Report(whole.setup, 3, 50, whole.results, findings))
    assert len(page.encode()) <= github.MOST_BYTES
    assert page.endswith("the rest was cut here.*\n")


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_many_gates_are_bounded(form: str) -> None:
    gates = tuple(Gated(f"g{i}", "pass", f"g{i} passes.") for i in range(5_000))
    whole = report_of(audited(Setup(), outputs(50, 3)).state())
    page = FORMS[form](Report(whole.setup, 3, 50, whole.results, (), gates))
    assert form == "junit" or len(page) < 40_000


@pytest.mark.parametrize("form", FORMS)
def test_a_real_comparison_is_told(form: str) -> None:
    fields = everything(2_000, 4)
    noisy = fields | {"scores": fields["scores"] + 1.5 * everything(2_000, 4, seed=8)["scores"]}
    a, b = (audited(setup_of_everything(), each).state() for each in (fields, noisy))
    gates = gates_of({"accuracy.top_1.value": {"max_drop": 0.01, "statistical": True}})
    page = FORMS[form](judge(report_of(b), gates, report_of(a), compare(a, b)))
    assert "a drop beyond the allowed 0.01 is shown" in " ".join(page.split())


@given(st.text(max_size=60))
@settings(max_examples=150, deadline=None)
def test_escaped_text_is_one_paragraph_of_text(name: str) -> None:
    reader = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    page = Tags(reader.render(f"said: {markdown.escaped(name)}."))
    assert page.found <= {"p"}
