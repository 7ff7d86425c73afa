"""A report as JUnit XML: a test case per gate."""

from collections import Counter
from xml.etree import ElementTree as xml

from lossd.audit.formats._outline import headline, outline, printable
from lossd.audit.report import Gated, Report


def render(report: Report) -> str:
    """The whole of it. `inconclusive` is a skipped case; `warn` passes, and says so in its output.

    Without gates there is one case, which passes. Findings are the suite's output. What XML has no
    way to write is written as its number.
    """
    root = xml.Element("testsuites")
    verdicts = Counter(each.verdict for each in report.gates)
    counts = {
        "tests": str(max(len(report.gates), 1)),
        "failures": str(verdicts["fail"]),
        "errors": "0",
        "skipped": str(verdicts["inconclusive"]),
    }
    suite = xml.SubElement(root, "testsuite", {"name": "lossd audit", **counts})
    for gate in report.gates or (Gated("audit", "pass", headline(report)),):
        _case(suite, gate)
    xml.SubElement(suite, "system-out").text = _findings(report)
    xml.indent(root)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n' + xml.tostring(root, encoding="unicode") + "\n"
    )


def _case(suite: xml.Element, gate: Gated) -> None:
    sentence = printable(gate.sentence)
    named = {"classname": "lossd.audit", "name": printable(gate.name)}
    case = xml.SubElement(suite, "testcase", named)
    if gate.verdict == "fail":
        xml.SubElement(case, "failure", {"message": sentence, "type": "gate"}).text = sentence
    elif gate.verdict == "inconclusive":
        xml.SubElement(case, "skipped", {"message": sentence})
    else:
        xml.SubElement(case, "system-out").text = f"{gate.verdict}: {sentence}"


def _findings(report: Report) -> str:
    lines = [headline(report)]
    for section in outline(report):
        if section.title == "Findings":
            lines += [f"{each.mark}: {printable(each.text)}" for each in section.lines]
    return "\n".join(lines)
