"""Read what people write: suite files and host files, in TOML. Resolves nothing; ``decide`` does."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import tomllib
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError

from npubench.contract.facts import meant
from npubench.contract.options import nearest
from npubench.errors import SuiteError
from npubench.plan.grades import GradeName
from npubench.plugins import SUITES, plugin_values

#: The version of suite and host files this code reads.
SUITE_VERSION = 1

Precision = Literal["fp32", "fp16", "bf16", "int8", "vendor"]
PhaseName = Literal[
    "load-plugin",
    "compile",
    "load-executor",
    "accuracy",
    "warm-up",
    "search",
    "ranging",
    "baseline",
    "measure",
    "audit",
    "close",
    "perturbed",
    "rest",
    "profile",
]
MeterKind = Literal["rapl", "hwmon", "nvml", "redfish", "snmp", "scpi"]
ScenarioName = Literal["single-stream", "multi-stream", "server", "offline"]


class Part(BaseModel):
    """The base of every part: frozen, no unknown key, no guessing of types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True)


class TargetEntry(Part):
    """A target: a backend's device with options."""

    backend: str
    """The backend's name, as ``npubench devices`` lists it."""
    device: str
    """The device's name."""
    options: dict[str, Any] = {}
    """The backend's own options."""
    python: str = ""
    """The interpreter that has the vendor's SDK; the harness's own where it is empty."""
    env: dict[str, str] = {}
    """Environment variables for the worker."""
    artefacts: dict[str, str] = {}
    """Workload name, or ``workload/precision`` → a ready artefact's path, relative to the file it stands in."""


class RunEntry(Part):
    """Which targets run which workloads, and how: every combination is a run."""

    targets: Annotated[list[str], Field(min_length=1)]
    """Names of targets."""
    workloads: Annotated[list[str], Field(min_length=1)]
    """Names of workloads."""
    precisions: Annotated[list[Precision], Field(min_length=1)] = ["fp32"]
    """Variants."""
    scenarios: Annotated[list[ScenarioName], Field(min_length=1)] = ["single-stream"]
    """How queries arrive."""
    duration_s: Annotated[float, Field(gt=0, strict=False)] | None = None
    """A longer window than the grade's, s."""
    batch: Annotated[int, Field(ge=1)] | None = None
    """The largest batch the harness makes: 8 in offline and multi-stream, else 1."""
    in_flight: Annotated[int, Field(ge=1)] = 1
    """Requests at once, as far as the executor holds them."""
    coalesce_delay_ms: Annotated[float, Field(ge=0, strict=False)] = 0.0
    """How long a server query may wait for others to fill a batch, ms."""
    target_qps: Literal["auto"] | Annotated[float, Field(gt=0, strict=False)] = "auto"
    """Server arrival rate, queries/s; "auto" searches for the highest that meets the latency bound."""
    latency_bound_ms: Annotated[float, Field(gt=0, strict=False)] | None = None
    """A server latency bound in place of the workload's own, ms."""
    power_limits_w: list[Annotated[float, Field(gt=0, le=100_000, strict=False)]] = []
    """Power limits to measure each target under, W, a target ``NAME@100W`` each; the host file must allow it for the target."""


class SuiteFile(Part):
    """A suite: the authored wish."""

    schema_version: Literal[1]
    """The version of this format."""
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")]
    """The suite's name."""
    grade: GradeName
    """How strictly it is measured."""
    target: Annotated[dict[str, TargetEntry], Field(min_length=1)]
    """Target name → target."""
    run: Annotated[list[RunEntry], Field(min_length=1)]
    """What runs."""
    deadline_s: dict[PhaseName, Annotated[float, Field(gt=0, strict=False)]] = {}
    """Phase → its deadline, s, in place of the default."""
    watchdog_s: Annotated[float, Field(gt=0, strict=False)] = 60.0
    """A run without a completed sample for this long is killed, s."""
    profile: bool = False
    """Whether operators are profiled after every run, in a process of its own."""


class HostTarget(Part):
    """What a target is on this machine."""

    python: str | None = None
    """The interpreter that has the vendor's SDK."""
    device: str | None = None
    """The device's name here."""
    env: dict[str, str] = {}
    """Environment variables, added to the suite's."""
    options: dict[str, Any] = {}
    """Options, over the suite's."""
    artefacts: dict[str, str] = {}
    """Ready artefacts, over the suite's; paths relative to the host file."""
    allow_power_limit: bool = False
    """Whether a suite may set the device's power limit while it measures; what was found is put back."""


class HostMeter(Part):
    """A meter of this machine, beside the sensors that plug-ins bring."""

    kind: MeterKind
    """What it is read by: RAPL counters, hwmon rails, NVML, a BMC by Redfish, a PDU by SNMP, or an instrument by SCPI."""
    domain: Literal["chip", "card", "board", "host", "wall"]
    """What it covers."""
    targets: list[str] = []
    """The targets it covers; every one where it is empty."""
    settings: dict[str, Any] = {}
    """Its kind's own settings. A secret is never written here: a setting names the variable or file that has it."""


class HostFile(Part):
    """``testbed.toml``: what belongs to a machine and not to a suite."""

    schema_version: Literal[1]
    """The version of this format."""
    target: dict[str, HostTarget] = {}
    """Target name → what it is here."""
    system: dict[str, str] = {}
    """The operator's declaration of the system. A key that is a captured fact's id is held against the machine; others, such
    as cooling or power supply, are the operator's own."""
    meter: dict[str, HostMeter] = {}
    """Meter name → meter."""
    free_cores: list[int] = []
    """Logical CPUs kept for the supervisor and the sampler; workers use the others."""
    _place: str = PrivateAttr("host file")

    @property
    def place(self) -> str:
        """Where it was read from, for messages."""
        return self._place


Parsed = TypeVar("Parsed", bound=Part)


def read_suite(name: str) -> tuple[SuiteFile, Path]:
    """Read a suite by path or by the name of a shipped one.

    Returns:
        The suite and the file it came from.

    Raises:
        SuiteError: No such suite, two packages ship one of that name, no TOML, or a key or value that is not valid; names
            file, key and nearest.
    """
    path = Path(name)
    shipped = {} if path.suffix == ".toml" or path.is_file() else _shipped()
    # A folder of a suite's name, such as its store, does not hide the suite.
    if shipped and (name in shipped or not path.exists()):
        if name not in shipped:
            raise SuiteError(f"there is no suite '{name}'{nearest(name, shipped)} (or give the path of a .toml file)")
        path, *others = shipped[name]
        if others:
            claims = " and ".join(map(str, shipped[name]))
            raise SuiteError(f"suite '{name}' is shipped twice, as {claims}; give the path of the one you mean")
    return parse_file(path, SuiteFile), path


def read_host(path: Path | None) -> HostFile:
    """Read a host file; ``None`` is an empty one.

    Raises:
        SuiteError: As :func:`read_suite` does.
    """
    if path is None:
        return HostFile(schema_version=1)
    read, folder = parse_file(path, HostFile), path.parent
    for key in read.system:
        if near := meant(key):
            raise SuiteError(
                f"{path}: system.{key}: did you mean '{near}'? That is captured from the machine and compared; "
                "any key less like it is the operator's own"
            )
    here = {
        name: target.model_copy(
            update={"artefacts": {key: str((folder / file).resolve()) for key, file in target.artefacts.items()}}
        )
        for name, target in read.target.items()
    }
    found = read.model_copy(update={"target": here})
    found._place = str(path)
    return found


def shipped_suites() -> dict[str, Path]:
    """Return the suites that installed packages ship: name → file; one that several claim is the first's."""
    return {name: files[0] for name, files in _shipped().items()}


def _shipped() -> dict[str, list[Path]]:
    """Return suite name → every file that a package ships under it."""
    found: dict[str, list[Path]] = {}
    for module in plugin_values(SUITES):
        try:
            spec = importlib.util.find_spec(module)
        except (ImportError, ValueError):
            # A package that is not there any more ships nothing, and hides no other.
            continue
        for folder in spec.submodule_search_locations or () if spec else ():
            for file in sorted(Path(folder).glob("*.toml")):
                found.setdefault(file.stem, []).append(file)
    return found


def parse_file(path: Path, model: type[Parsed]) -> Parsed:
    """Parse a TOML file into ``model``.

    Raises:
        SuiteError: One sentence with file, key and what is valid there.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise SuiteError(f"{path}: no such file") from error
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror.lower() if isinstance(error, OSError) and error.strerror else str(error)
        raise SuiteError(f"{path}: cannot be read: {why}") from error
    except tomllib.TOMLDecodeError as error:
        raise SuiteError(f"{path}: not valid TOML: {error}") from error
    version = data.get("schema_version")
    if isinstance(version, int) and version > SUITE_VERSION:
        raise SuiteError(f"{path}: schema_version is {version}, this npubench reads {SUITE_VERSION}; install a newer npubench")
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise SuiteError(f"{path}: {complaint(_telling(error.errors()), data, model)}") from error


def _telling(errors: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return the error to show: an unknown key, since it tells which one was meant to be the missing one; else the first.

    But not that a number is none of the words that may stand in its place.
    """
    first = next((e for e in errors if e["type"] == "extra_forbidden"), errors[0])
    if first["type"] == "literal_error" and isinstance(first["input"], int | float):
        return next((e for e in errors if repr(e["input"]) == repr(first["input"]) and e["type"] != "literal_error"), errors[-1])
    return first


def complaint(error: Mapping[str, Any], data: Any, model: type[BaseModel]) -> str:
    """Turn pydantic's first error into a sentence with the key and the nearest valid name."""
    location = [
        part
        for part in error["loc"]
        # pydantic's names for the members of a union, which are no keys.
        if not (
            isinstance(part, str) and (part in ("float", "[key]") or part.startswith(("function-", "literal[", "constrained-")))
        )
    ]
    key = _written(location)
    if error["type"] == "extra_forbidden":
        return f"unknown key '{key}'{nearest(str(location[-1]), _valid_keys(model, location[:-1]))}"
    if error["type"] == "missing":
        return f"key '{key}' is missing"
    if error["type"] == "literal_error":
        # pydantic's own sentence lists the choices in quotes: 'a', 'b' or 'c'.
        choices = [part for n, part in enumerate(str(error["ctx"]["expected"]).split("'")) if n % 2]
        return f"{key}: {error['input']!r} is not valid{nearest(str(error['input']), choices)}"
    if error["type"] == "list_type" and isinstance(error["input"], dict):
        return f"{key}: there may be several; write [[{key}]] instead of [{key}]"
    return f"{key}: {error['msg'][0].lower()}{error['msg'][1:]} (it is {error['input']!r})"


def _written(location: list[Any]) -> str:
    """Return a location as people write it: ``run[0].workloads``."""
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else (f".{part}" if text else str(part))
    return text


def _valid_keys(model: type[BaseModel], location: list[Any]) -> list[str]:
    """Return the keys valid at a location: the fields of the model that stands there."""
    for part in location:
        field = model.model_fields.get(str(part)) if not isinstance(part, int) else None
        if field is None:
            continue
        inner = _model_in(field.annotation)
        if inner is not None:
            model = inner
    return list(model.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """Return the model inside ``X``, ``list[X]`` or ``dict[str, X]``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        found = _model_in(argument)
        if found is not None:
            return found
    return None
