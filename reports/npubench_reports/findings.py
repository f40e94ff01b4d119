"""Findings in the reader's language: what was observed, required and advised, from the rule and its evidence.

Where a record has not the evidence that a text needs, or the rule is not known here, the record's own words stand.
"""

from __future__ import annotations

from npubench.analyze.finding import Finding
from npubench_reports.messages import Messages
from npubench_reports.reasons import say
from npubench_reports.said import Said, compose, fields, own, verbatim


def rule(finding: Finding, messages: Messages) -> Said:
    """Return what the finding's rule is called; its id where the catalogue does not know it."""
    key = f"finding.{finding.rule}"
    return own(messages(key)) if messages.has(key) else verbatim(finding.rule)


def meaning(finding: Finding, messages: Messages) -> Said:
    """Return what the rule means; nothing where the catalogue does not know it."""
    key = f"finding.{finding.rule}.meaning"
    return own(messages(key)) if messages.has(key) else verbatim("")


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


def whole(finding: Finding, messages: Messages) -> Said:
    """Return the rule with what was seen and what it asks for, as the reason of a run that it makes invalid has it."""
    parts = {"observed": observed(finding, messages), "required": required(finding, messages)}
    values = {"rule": finding.rule, "observed": "observed", "required": "required"}
    return compose(messages, "reason.invalid", values, parts.__getitem__)


def _told(finding: Finding, what: str, text: str, messages: Messages) -> Said:
    base = f"finding.{finding.rule}.{what}"
    there = {name for name, value in finding.evidence.items() if value is not None}
    for key in (base, f"{base}.rate"):
        if messages.has(key) and fields(messages.texts[key]) <= there:
            return compose(messages, key, finding.evidence, lambda nested: say(nested, messages))
    return say(text, messages)
