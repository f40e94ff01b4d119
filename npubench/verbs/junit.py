"""Write what checks found as JUnit XML: a suite a family, a case a check, for whatever collects test results."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from npubench.errors import InputError
from npubench.testing.conformance.verdict import FAILED, NOTED, SKIPPED

#: What XML 1.0 cannot hold (Extensible Markup Language, production 2).
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_junit(path: Path, subject: str, found: Sequence[Mapping[str, Any]], verb: str = "check") -> None:
    """Write the file.

    Args:
        path: Where; written over.
        subject: What was checked, such as ``"acme:acme:0"``.
        found: As :func:`npubench.testing.conformance.supervisor.plain` gives them.
        verb: Which verb of npubench writes it.

    Raises:
        InputError: The file cannot be written.
    """
    root = ElementTree.Element("testsuites", {"name": f"npubench {verb} {subject}", **_counts(found)})
    for family in dict.fromkeys(str(each["name"]).partition("/")[0] for each in found):
        members = [each for each in found if str(each["name"]).startswith(f"{family}/")]
        suite = ElementTree.SubElement(root, "testsuite", {"name": family, **_counts(members)})
        for each in members:
            suite.append(_case(subject, each))
    ElementTree.indent(root)
    try:
        ElementTree.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)
    except OSError as error:
        raise InputError(f"--junit {path}: cannot be written: {error.strerror or error}") from error


def _case(subject: str, each: Mapping[str, Any]) -> ElementTree.Element:
    family, _, name = str(each["name"]).partition("/")
    case = ElementTree.Element("testcase", classname=f"{subject}.{family}", name=name, time=f"{each['seconds']:.3f}")
    seen = _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", str(each["seen"]))
    if each["status"] == FAILED:
        failure = ElementTree.SubElement(case, "failure", message=seen.partition("\n")[0])
        failure.text = f"expected: {each['expected']}\nseen: {seen}\ndo: {each['advice']}"
    elif each["status"] == SKIPPED:
        ElementTree.SubElement(case, "skipped", message=seen)
    else:
        out = ElementTree.SubElement(case, "system-out")
        out.text = f"{'noted: ' if each['status'] == NOTED else ''}{seen}"
    return case


def _counts(found: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    return {
        "tests": str(len(found)),
        "failures": str(sum(each["status"] == FAILED for each in found)),
        "errors": "0",
        "skipped": str(sum(each["status"] == SKIPPED for each in found)),
        "time": f"{sum(each['seconds'] for each in found):.3f}",
    }
