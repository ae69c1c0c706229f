"""JUnit XML: one case for the conversion and per gate, per place that fails a gate, per error, per tensor that could not be checked. It fails where the run fails.

Source: https://github.com/testmoapp/junitxml, and junit-10.xsd of Jenkins' xunit plugin, which is the strictest (there is no official schema).
"""

from collections.abc import Iterator
from xml.etree import ElementTree as ET

from bridge.report.schema import Gate, Report
from bridge.report.wording import gate_place, number, visible

EXPLAINED = frozenset({"mapped", "fused", "folded", "constant", "dead"})


def render(report: Report) -> str:
    """The report as one `testsuite`."""
    suite = ET.Element("testsuite", name=f"bridge {visible(report.model.path)}")
    suite.extend(_cases(report))
    suite.set("tests", str(len(suite)))
    suite.set("failures", str(len(suite.findall("testcase/failure"))))
    suite.set("errors", "0")
    suite.set("skipped", str(len(suite.findall("testcase/skipped"))))
    suite.set("time", f"{sum(report.timing_s.values()):.3f}")
    warnings = [finding for finding in (*report.calibration.warnings, *report.diagnostics) if finding.severity == "warning"]
    if warnings:
        ET.SubElement(suite, "system-out").text = "\n".join(visible(f"{finding.code}: {finding.message}", 500) for finding in warnings)
    ET.indent(suite)
    return ET.tostring(suite, encoding="unicode", xml_declaration=False).join(('<?xml version="1.0" encoding="UTF-8"?>\n', "\n"))


def _cases(report: Report) -> Iterator[ET.Element]:
    yield _case("conversion", report.precision)
    for gate in report.verdict.gates:
        yield _case("gate", gate.expression, failure=None if gate.passed else _gate_failure(gate))
        yield from (() if gate.passed else _places(gate))
    for finding in report.diagnostics:
        if finding.severity == "error":
            yield _case("diagnostic", f"{finding.code} {finding.node or ''}".rstrip(), failure=f"{finding.message} {finding.hint}".rstrip())
    for layer in report.layers:
        if layer.status not in EXPLAINED:
            yield _case("layer", f"{layer.node} {layer.tensor}", skipped=layer.reason)


def _places(gate: Gate) -> Iterator[ET.Element]:
    """The outputs and layers that make a gate fail; its own case names the worst."""
    for part in gate.parts:
        for place in part.failing:
            yield _case("place", f"{place.name}: {part.comparison}", failure=f"measured {number(place.value, 4)}")
        if part.failing and part.missed > len(part.failing):
            yield _case("place", f"{part.missed - len(part.failing)} more: {part.comparison}", failure="see report.html")


def _gate_failure(gate: Gate) -> str:
    return gate.reason or f"measured {number(gate.measured, 4)} at {gate_place(gate)}"


def _case(kind: str, name: str, *, failure: str | None = None, skipped: str | None = None) -> ET.Element:
    case = ET.Element("testcase", classname=f"bridge.{kind}", name=visible(name))
    for tag, message in (("failure", failure), ("skipped", skipped)):
        if message is not None:
            ET.SubElement(case, tag, message=visible(message, 500), type=kind)
    return case
