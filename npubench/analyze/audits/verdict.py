"""What an audit came to: observed, required, verdict. Holds no judgement of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from npubench.analyze.estimate import RECORD_CONFIG

AuditStatus = Literal["passed", "failed", "not-carried-out"]


@dataclass(frozen=True, slots=True)
class Audit:
    """One audit of a run with its verdict and its evidence."""

    __pydantic_config__: ClassVar[dict[str, Any]] = RECORD_CONFIG

    name: str
    """The audit's id, such as "same-outputs"; message catalogues translate by it."""
    status: AuditStatus
    """passed; failed: the run is invalid; not-carried-out: observed says why."""
    observed: str
    """What was seen, with its unit; of an audit that was not carried out, why."""
    required: str
    """What the audit asks for."""
    evidence: Mapping[str, float | int | str | bool | None] = field(default_factory=dict)
    """The numbers behind it, for translations and tools."""
