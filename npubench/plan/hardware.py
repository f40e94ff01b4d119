"""Read the hardware catalogue: what vendors declare of their devices, every figure with source, date and what it is of.

Declared figures are never measurements: a peak serves as the denominator of a roofline, a TDP is shown in a column of its own.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from npubench.contract.options import nearest
from npubench.errors import SuiteError
from npubench.plan.suite import Part, parse_file

#: The package whose ``*.toml`` files are the catalogue.
CATALOGUE = "npubench_models.hardware"

#: What a peak may be of; the names of workload variants where there are such, else the number format's own.
FORMATS = ("fp32", "tf32", "fp16", "bf16", "fp8", "int8", "int4", "int2")

#: Unit → its factor to operations/s, bytes/s, bytes or W.
UNITS = {
    "peak": {"TOPS": 1e12, "TFLOPS": 1e12, "POPS": 1e15, "PFLOPS": 1e15},
    "bandwidth": {"GB/s": 1e9, "TB/s": 1e12},
    "memory": {"MB": 1e6, "GB": 1e9},
    "tdp": {"W": 1.0, "kW": 1e3},
}

Density = Literal["dense", "sparse", "unstated"]
Scope = Literal["chip", "card", "server"]


class Figure(Part):
    """One declared figure."""

    what: Literal["peak", "bandwidth", "memory", "tdp"]
    """What it is of: operations a second, memory bandwidth, memory, or thermal design power."""
    value: Annotated[float, Field(gt=0)]
    """The figure, in ``unit``."""
    unit: str
    """As the source has it: TOPS, TFLOPS, POPS, PFLOPS; GB/s, TB/s; MB, GB; W, kW."""
    scope: Scope
    """What it is the figure of: one chip, one card, or a server."""
    source: Annotated[str, Field(min_length=3)]
    """The address or title it was read at."""
    date: str
    """When the source says so: a year, a month or a day, ISO 8601; empty where it does not tell."""
    precision: Literal["", "fp32", "tf32", "fp16", "bf16", "fp8", "int8", "int4", "int2"] = ""
    """The number format of a peak; empty for everything else."""
    density: Literal["", "dense", "sparse", "unstated"] = ""
    """Whether a peak counts zeros that are skipped; ``unstated`` where the vendor does not say. Empty for everything else."""
    effective: bool = False
    """True where the vendor calls it what is reached in practice, and not the peak."""
    unverified: bool = False
    """True where no source at hand says so: shown as such, and never used for a roofline."""
    note: str = ""
    """What a reader must know of it."""

    @model_validator(mode="after")
    def _consistent(self) -> Figure:
        if self.unit not in UNITS[self.what]:
            raise ValueError(f"a {self.what} is in {', '.join(UNITS[self.what])}, not in '{self.unit}'")
        if (self.what == "peak") != bool(self.precision) or (self.what == "peak") != bool(self.density):
            raise ValueError(f"a peak has precision and density, and nothing else has; this is a {self.what}")
        if self.date and not re.fullmatch(r"\d{4}(-\d\d(-\d\d)?)?", self.date):
            raise ValueError(f"date '{self.date}' is not YYYY, YYYY-MM or YYYY-MM-DD")
        return self

    @property
    def size(self) -> float:
        """The figure in operations/s, bytes/s, bytes or W."""
        return self.value * UNITS[self.what][self.unit]


class HardwareEntry(Part):
    """One device with what is declared of it."""

    name: Annotated[str, Field(min_length=1)]
    """What people call it."""
    vendor: Annotated[str, Field(min_length=1)]
    """Who makes it."""
    aliases: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """Device kinds by which plug-ins and drivers know it."""
    note: str = ""
    """What a reader must know of it."""
    figure: Annotated[tuple[Figure, ...], Field(strict=False)] = ()
    """The declared figures; of several for one thing, all are kept."""


class HardwareFile(Part):
    """A file of the catalogue."""

    schema_version: Annotated[int, Field(ge=1)]
    """The version of the format; this code reads 1."""
    device: list[HardwareEntry]
    """The devices in it."""


@dataclass(frozen=True, slots=True)
class Hardware:
    """The catalogue: its entries by name, and the entry's name by every normalised kind."""

    entries: dict[str, HardwareEntry]
    kinds: dict[str, str]

    def find(self, kind: str) -> HardwareEntry | None:
        """Return the entry of a device kind, or ``None``: a kind that only resembles one is another device."""
        name = self.kinds.get(_normal(kind))
        return None if name is None else self.entries[name]

    def nearest(self, kind: str) -> str:
        """Return the end of a sentence that names the nearest entry, or nothing."""
        return nearest(kind, [*self.entries])


def read_hardware(paths: Sequence[Path]) -> Hardware:
    """Read catalogue files.

    Raises:
        SuiteError: A file is not valid, or two devices have one name or alias; names the file and the key.
    """
    entries: dict[str, HardwareEntry] = {}
    kinds: dict[str, str] = {}
    for path in paths:
        for entry in parse_file(path, HardwareFile).device:
            for kind in (entry.name, *entry.aliases):
                if kinds.setdefault(_normal(kind), entry.name) != entry.name or entry.name in entries:
                    raise SuiteError(f"{path}: device '{entry.name}': '{kind}' is '{kinds[_normal(kind)]}' already")
            entries[entry.name] = entry
    return Hardware(entries, kinds)


@cache
def shipped_hardware() -> Hardware:
    """Return the catalogue that is installed; empty where none is."""
    try:
        spec = importlib.util.find_spec(CATALOGUE)
    except (ImportError, ValueError):
        spec = None
    folders = spec.submodule_search_locations or () if spec else ()
    return read_hardware([file for folder in folders for file in sorted(Path(folder).glob("*.toml"))])


def declared_tdp(entry: HardwareEntry) -> tuple[Figure, ...]:
    """Return what is declared as TDP of one chip or card, newest first; those of no date last."""
    found = [figure for figure in entry.figure if figure.what == "tdp" and figure.scope != "server"]
    return tuple(sorted(found, key=lambda figure: figure.date, reverse=True))


def peak_of(entry: HardwareEntry, precision: str) -> Figure | None:
    """Return the peak that a roofline of ``precision`` stands under: verified, not sparse, of one chip or card; the newest."""
    return _newest([f for f in entry.figure if f.what == "peak" and f.precision == precision and f.density != "sparse"])


def bandwidth_of(entry: HardwareEntry) -> Figure | None:
    """Return the peak memory bandwidth of one chip or card: verified, the newest."""
    return _newest([f for f in entry.figure if f.what == "bandwidth"])


def _newest(figures: Sequence[Figure]) -> Figure | None:
    usable = [f for f in figures if f.scope != "server" and not f.unverified and not f.effective]
    return max(usable, key=lambda figure: figure.date, default=None)


def _normal(kind: str) -> str:
    """Return a kind without what is written now one way and now another: case, blanks, hyphens and underscores."""
    return re.sub(r"[\s_-]+", "", kind).casefold()
