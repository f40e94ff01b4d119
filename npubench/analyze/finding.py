"""A typed doubt about a run: what was seen, what is required, what to do. Holds no judgement of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from npubench.analyze.estimate import RECORD_CONFIG

Severity = Literal["invalid", "warning", "note"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One doubt about a run, with its evidence and advice."""

    __pydantic_config__: ClassVar[dict[str, Any]] = RECORD_CONFIG

    rule: str
    """The rule's id, such as "duration" or "accuracy-gate"; message catalogues translate by it."""
    severity: Severity
    """"invalid" makes the run invalid; "warning" is shown beside the number; "note" is shown on request."""
    observed: str
    """What was seen, with its unit."""
    required: str
    """What the rule asks for."""
    advice: str
    """What to do about it, as one sentence in English."""
    evidence: Mapping[str, float | int | str | bool | None] = field(default_factory=dict)
    """The numbers behind it, for translations and tools."""


def by_gravity(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return findings with the grave ones first, and otherwise in the order they came in."""
    order = {"invalid": 0, "warning": 1, "note": 2}
    return tuple(sorted(findings, key=lambda finding: order[finding.severity]))
