"""A reference row: what somebody else published of a system. It was not measured here, and is never ranked with what was.

Format history
--------------
1  first version
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from npubench.contract.runspec import from_plain, to_plain
from npubench.record.manifest import canonical

#: The version of the format this code writes.
REFERENCE_VERSION = 1

#: The folder in a store, one JSON file a row.
REFERENCES = "references"

#: What every row says of itself.
PUBLISHED = "published, not measured by npubench"


@dataclass(frozen=True, slots=True)
class Score:
    """One figure of ``accuracy.txt``; ``unit`` is ``"%"`` where it says so, "" where it does not say."""

    value: float
    unit: str


@dataclass(frozen=True, slots=True)
class Reference:
    """One published row.

    Args:
        schema_version: Of this format.
        evidence: Always :data:`PUBLISHED`.
        source: Who published: "MLPerf Inference".
        round: Such as "3.0"; ``None`` where neither the path nor the operator says.
        division, submitter, system, model: Names of the folders it lay in; "" where it lay in none.
        scenario: As LoadGen's log says; ``folder_scenario`` is what the folder is called.
        valid: LoadGen's own verdict.
        metric, value, unit: LoadGen's headline.
        latencies_ns: ``p50`` … ``p99.9``, ``mean``, ``min``, ``max``, as far as published.
        early_stopping_ns: ``p90`` → LoadGen's certified estimate, as far as published.
        accuracy: Metric → figure, from ``accuracy.txt``.
        host: What the system description says, by MLPerf's field names: accelerator, counts, processor, software.
        accelerators: Accelerators a node × nodes; ``None`` where one of them is not stated as a whole number.
        weights: What the measurements' description says, by MLPerf's field names, such as ``weight_data_types``.
        has_power: Whether a power log lies beside it; its figure is not read.
        notes: What a reader must know, one sentence each.
        files: File, relative to the round's folder → digest of what was read.
    """

    schema_version: int
    evidence: str
    source: str
    round: str | None
    division: str
    submitter: str
    system: str
    model: str
    scenario: str
    folder_scenario: str
    valid: bool
    metric: str
    value: float
    unit: str
    latencies_ns: Mapping[str, float] = field(default_factory=dict)
    early_stopping_ns: Mapping[str, float] = field(default_factory=dict)
    accuracy: Mapping[str, Score] = field(default_factory=dict)
    host: Mapping[str, str] = field(default_factory=dict)
    accelerators: int | None = None
    weights: Mapping[str, str] = field(default_factory=dict)
    has_power: bool = False
    notes: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)

    @property
    def accelerator(self) -> str:
        """The accelerator's name, or "" where it is not stated."""
        return self.host.get("accelerator_model_name", "")

    @property
    def key(self) -> str:
        """The row's name in a store: the beginning of its content's digest."""
        return hashlib.sha256(write_reference(self)).hexdigest()[:24]


def write_reference(row: Reference) -> bytes:
    """Return a row's canonical bytes."""
    return canonical(to_plain(row)) + b"\n"


def read_reference(plain: Any) -> Reference:
    """Make a row of plain JSON values.

    Raises:
        ValueError: No row of this version, or a key or value that cannot be.
    """
    if not isinstance(plain, dict) or plain.get("schema_version") != REFERENCE_VERSION:
        raise ValueError(f"is no reference row of schema_version {REFERENCE_VERSION}")
    row: Reference = from_plain(Reference, plain, "reference")
    if row.evidence != PUBLISHED:
        raise ValueError(f"evidence is '{row.evidence[:60]}'; a reference row says '{PUBLISHED}'")
    return row
