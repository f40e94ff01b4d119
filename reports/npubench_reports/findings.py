"""Findings in the reader's language: what was observed, required and advised, from the rule and its evidence.

Where a record has not the evidence that a text needs, or the rule is not known here, the record's own words stand.
"""

from __future__ import annotations

from collections.abc import Iterable

from npubench.analyze.finding import Finding
from npubench_reports.messages import Messages
from npubench_reports.reasons import say
from npubench_reports.said import Said, compose, fields, own, verbatim


def observed(finding: Finding, messages: Messages) -> Said:
    """Return what was seen."""
    return _told(finding, "observed", finding.observed, messages)


def required(finding: Finding, messages: Messages) -> Said:
    """Return what the rule asks for."""
    return _told(finding, "required", finding.required, messages)


def advice(finding: Finding, messages: Messages) -> Said:
    """Return what to do; a rule may have another advice for each severity."""
    base = f"finding.{finding.rule}.advice"
    for key in (f"{base}.{finding.severity}", base):
        if messages.has(key):
            return own(messages(key))
    return verbatim(finding.advice)


def why(reason: str, found: Iterable[Finding], messages: Messages) -> Said:
    """Return why a run is not ok; an invalid one names its gravest finding, in words of the finding's own."""
    for finding in found:
        if reason == f"{finding.rule}: {finding.observed}; required: {finding.required}":
            parts = {"observed": observed(finding, messages), "required": required(finding, messages)}
            values = {"rule": finding.rule, "observed": "observed", "required": "required"}
            return compose(messages, "reason.invalid", values, parts.__getitem__)
    return say(reason, messages)


def _told(finding: Finding, what: str, text: str, messages: Messages) -> Said:
    base = f"finding.{finding.rule}.{what}"
    there = {name for name, value in finding.evidence.items() if value is not None}
    for key in (base, f"{base}.rate"):
        if messages.has(key) and fields(messages.texts[key]) <= there:
            return compose(messages, key, finding.evidence, lambda nested: say(nested, messages))
    return say(text, messages)
