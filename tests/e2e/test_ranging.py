"""A ranging run from the worker's phase to the record: a bench meter on a loopback socket chooses its ranges and keeps them.

No suite has a window as short as these, so that the order for the run is made by hand; all behind it is real.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pyvisa_py")

from npubench.contract.bundle import Bundle, read_bundle
from npubench.contract.runspec import MeterSpec, RunSpec
from npubench.measure.meters.profile import shipped
from npubench.record.conduct import conduct
from npubench.record.machine import describe_machine
from npubench.record.schema import Record
from npubench.record.store import Store
from tests.instrument import Instrument

#: A stand-in updates as fast as it is asked; a quick rate makes short windows long enough for it.
QUICK = ('100 = "100MS"', '20 = "20MS"\n100 = "100MS"')


@pytest.fixture
def instrument() -> Iterator[Instrument]:
    made = Instrument()
    made.watts = 100.0
    yield made
    made.close()


@pytest.fixture(scope="module")
def probe(cache: Path) -> Bundle:
    """The probe workload, as prepared."""
    (manifest,) = [path for path in (cache / "bundles").rglob("bundle.json") if "probe" in path.read_text("utf-8")[:400]]
    return read_bundle(manifest.parent)


@pytest.fixture
def measure(tmp_path: Path, probe: Bundle, make_spec: Callable[..., RunSpec], instrument: Instrument) -> Callable[..., Record]:
    """Carry out a run of the simulated device beside the instrument."""
    profile = tmp_path / "quick.toml"
    text = shipped()["yokogawa-wt300"].read_text(encoding="utf-8")
    assert QUICK[0] in text
    profile.write_text(text.replace(*QUICK), encoding="utf-8")

    def measure(settings: Mapping[str, Any] = {}, **changes: Any) -> Record:
        address = f"TCPIP::127.0.0.1::{instrument.port}::SOCKET"
        meter = MeterSpec("bench", "scpi", "wall", {"address": address, "profile": str(profile), **settings})
        (tmp_path / "tmp").mkdir(exist_ok=True)
        spec = make_spec(
            load={"min_duration_ns": 1_500_000_000},
            target={
                "name": "sim",
                "backend": "simulated",
                "device": "sim:plain",
                "entry": "npubench.testing.simulated:SimulatedBackend",
                # The simulated device allows one executor a device and user, told apart by TMPDIR.
                "env": {"TMPDIR": str(tmp_path / "tmp")},
            },
            workload=probe.workload,
            bundle=str(probe.root),
            bundle_digest=probe.digest,
            warm_up_ns=100_000_000,
            baseline_ns=200_000_000,
            ranging_ns=1_500_000_000,
            deadlines_s={},
            watchdog_s=60.0,
            cache=str(tmp_path / "cache"),
            grade="official",
            meters=(meter,),
        )
        store = Store(tmp_path / "store")
        return conduct(replace(spec, **changes), probe, lambda *_: 1.0, store, describe_machine(), None, {})

    return measure


def rules(record: Record) -> set[str]:
    return {finding.rule for finding in record.findings} & {"below-ranging", "ranges-not-fixed"}


def test_the_ranging_run_fixes_the_ranges_and_the_record_says_by_what(
    measure: Callable[..., Record], instrument: Instrument, tmp_path: Path
) -> None:
    record = measure()
    assert record.status in ("ok", "invalid"), record.reason
    phases = [phase.phase for phase in record.phases]
    assert phases[phases.index("ranging") - 1 : phases.index("ranging") + 3] == ["warm-up", "ranging", "baseline", "measure"]
    bench, *own = sorted(record.ranging, key=lambda each: each.domain != "wall")
    assert (bench.sensor, bench.domain, bench.volts.value, bench.amps.value) == ("bench", "wall", 229.8, 0.97)
    assert bench.watts.value == pytest.approx(100.0, rel=0.1)
    # The device's own sensors saw the load as well, and know no voltage.
    assert {each.domain for each in own} == {"card"}
    assert {each.volts.reason for each in own} == {"the sensor shows no voltage"}
    assert instrument.settings[":INP:VOLT:RANG"] == f"{300:.2E}"
    assert instrument.settings[":INP:CURR:RANG"] == f"{1:.2E}"
    # Set while it did not count, and counted anew before the baseline: no window has the jump in it.
    heard = instrument.heard
    stop, fixed, again = (
        heard.index(":INTEG:STOP", 5),
        heard.index(":INP:CURR:RANG 1"),
        len(heard) - heard[::-1].index(":INTEG:STAR"),
    )
    assert stop < fixed < again
    (wall,) = [energy for energy in record.energy if energy.domain == "wall"]
    assert wall.watts.value == pytest.approx(100.0, rel=0.1), wall.watts
    assert rules(record) == set()
    json.dumps([each.watts.value for each in record.ranging], allow_nan=False)


def test_a_testing_run_that_draws_less_than_its_ranging_run_is_told_of(
    measure: Callable[..., Record], instrument: Instrument
) -> None:
    instrument.watts_fixed = 60.0
    record = measure()
    (finding,) = [finding for finding in record.findings if finding.rule == "below-ranging"]
    assert finding.evidence["sensor"] == "bench"
    assert finding.evidence["ranging_w"] == pytest.approx(100.0, rel=0.1)
    assert finding.evidence["watts"] == pytest.approx(60.0, rel=0.1)


def test_ranges_that_cannot_be_fixed_are_a_finding_and_no_failed_run(
    measure: Callable[..., Record], instrument: Instrument
) -> None:
    instrument.amps = "44.0"
    record = measure()
    assert record.status in ("ok", "invalid"), record.reason
    (finding,) = [finding for finding in record.findings if finding.rule == "ranges-not-fixed"]
    assert finding.evidence == {
        "sensor": "bench",
        "reason": "none of its ranges holds the 44 A seen in the ranging run",
    }
    assert [each.watts.value for each in record.ranging if each.sensor == "bench"] == [pytest.approx(100.0, rel=0.1)]
