"""A record says what every field means, takes nothing unknown and nothing that is no number, and is read as written."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from npubench.analyze.estimate import Estimate
from npubench.analyze.finding import Finding
from npubench.contract.runspec import RunSpec
from npubench.measure.trace import Trace
from npubench.record.schema import ArtefactReference, Energy, PhaseTime, Record, SearchStep

Make = Callable[..., Record]


def fields(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every property of the schema and of what it refers to."""
    for name, part in {"Record": schema, **schema["$defs"]}.items():
        for key, value in part.get("properties", {}).items():
            yield f"{name}.{key}", value


def test_every_field_says_what_it_is() -> None:
    found = dict(fields(Record.model_json_schema()))
    assert len(found) > 80
    assert [name for name, value in found.items() if not value.get("description", "").strip()] == []


def test_every_part_says_what_it_is() -> None:
    schema = Record.model_json_schema()
    assert [name for name, part in schema["$defs"].items() if not part.get("description")] == []


def test_the_version_stands_first() -> None:
    assert next(iter(Record.model_fields)) == "schema_version"


@pytest.fixture(scope="session")
def full(make_record: Make, make_trace: Callable[..., Trace]) -> Record:
    return make_record(
        trace=make_trace([1_000_000] * 300),
        artefact=ArtefactReference(
            format="onnx",
            digest="sha256:1",
            size_bytes=3,
            compiler="",
            ready=False,
            cached=True,
            notes={"a": "b"},
            device_operators=3,
            host_operators=None,
            offload_source=None,
        ),
        phases=(
            PhaseTime(
                phase="search",
                start_ns=1,
                end_ns=2,
                steps=(SearchStep(target_qps=1.5, queries=3, percentile_ns=None, met=False, certifying=True),),
            ),
        ),
        findings=(Finding("drift", "warning", "1 %", "0 %", "Wait.", {"change": 0.01, "text": "x", "none": None}),),
        energy=(
            Energy(
                sensor="s",
                domain="card",
                evidence="device energy counter",
                joules=Estimate(1.0, "J", n=3),
                watts=Estimate(1.0, "W", 0.9, 1.1, n=3),
                peak_watts=Estimate(1.0, "W"),
                idle_watts=Estimate(None, "W", reason="no idle baseline"),
                above_idle_joules=Estimate(None, "J", reason="no idle baseline"),
                joules_per_sample=Estimate(1.0, "J/sample"),
                samples_per_joule=Estimate(1.0, "samples/J"),
                accuracy_joules=Estimate(None, "J", reason="no accuracy phase"),
                warm_up_joules=Estimate(None, "J", reason="no warm-up phase"),
                readings=3,
                coverage=0.99,
                update_period_ns=None,
                clock_offset_ns=0,
                simulated=True,
            ),
        ),
        exclusions=("compile", "model-load"),
    )


def test_a_record_is_read_as_it_was_written(full: Record) -> None:
    text = full.model_dump_json()
    assert Record.model_validate(json.loads(text)) == full
    assert Record.model_validate(json.loads(text)).model_dump_json() == text


@given(
    value=st.floats(allow_nan=False, allow_infinity=False),
    unit=st.text(max_size=5),
    n=st.none() | st.integers(0, 2**53),
    reason=st.none() | st.text(max_size=10),
    evidence=st.dictionaries(
        st.text(max_size=4), st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=4), max_size=3
    ),
)
def test_whatever_was_observed_survives_the_way_through_json(
    make_record: Make, value: float, unit: str, n: int | None, reason: str | None, evidence: dict[str, Any]
) -> None:
    record = make_record(
        metrics={"throughput": Estimate(value, unit, low=value, high=None, n=n, reason=reason)},
        findings=(Finding("r", "note", unit, unit, unit, evidence),),
    )
    assert Record.model_validate(json.loads(record.model_dump_json())) == record


def places(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every object in JSON data."""
    if isinstance(data, dict):
        yield path
        for key, value in data.items():
            yield from places(value, (*path, key))
    elif isinstance(data, list):
        for n, value in enumerate(data):
            yield from places(value, (*path, n))


def numbers(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every number in JSON data."""
    if isinstance(data, dict | list):
        for key, value in data.items() if isinstance(data, dict) else enumerate(data):
            yield from numbers(value, (*path, key))
    elif isinstance(data, int | float) and not isinstance(data, bool):
        yield path


def put(data: Any, path: tuple[Any, ...], value: Any) -> Any:
    there = data
    for key in path[:-1]:
        there = there[key]
    there[path[-1]] = value
    return data


#: What maps names to values takes any name.
OPEN = {
    "metrics",
    "settings",
    "device",
    "versions",
    "packages",
    "environment",
    "title",
    "task",
    "notes",
    "files",
    "plugin",
    "evidence",
    "options",
    "env",
    "deadlines_s",
}


def test_an_unknown_key_is_refused_wherever_it_stands(full: Record) -> None:
    text = full.model_dump_json()
    closed = [path for path in places(json.loads(text)) if not (path and path[-1] in OPEN)]
    assert len(closed) > 15
    for path in closed:
        with pytest.raises(ValidationError, match="nonsense"):
            Record.model_validate(put(json.loads(text), (*path, "nonsense"), 1))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_refused_wherever_it_stands(full: Record, bad: float) -> None:
    text = full.model_dump_json()
    found = list(numbers(json.loads(text)))
    assert len(found) > 60
    for path in found:
        with pytest.raises(ValidationError):
            Record.model_validate(put(json.loads(text), path, bad))


def test_a_metric_that_is_no_number_never_gets_into_a_record(make_record: Make) -> None:
    with pytest.raises(ValidationError):
        make_record(metrics={"throughput": Estimate(math.nan, "samples/s")})


@pytest.mark.parametrize(
    ("path", "value"),
    [(("status",), "fine"), (("spec", "repeat"), "0"), (("spec", "target"), []), (("bundle", "claim"), "speed")],
)
def test_a_value_of_another_kind_is_refused(full: Record, path: tuple[str, ...], value: Any) -> None:
    with pytest.raises(ValidationError):
        Record.model_validate(put(json.loads(full.model_dump_json()), path, value))


def test_a_record_does_not_change(full: Record, make_spec: Callable[..., RunSpec]) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        full.status = "ok"  # type: ignore[misc]
