"""Meters are looked at before a suite starts: what cannot be used, or cannot be right, is said with its key and a way out.

The trees are folders that stand for a machine; the processes that read them are real.
"""

from __future__ import annotations

import json
import os
import selectors
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from npubench.contract.runspec import MeterSpec, RunSpec
from npubench.errors import SuiteError
from npubench.measure.meters.trial import Shown, Trial, try_meters
from npubench.measure.surroundings import Sight
from npubench.plan.suite import HostFile, read_host
from npubench.verbs import doctor, meters
from npubench.verbs.meters import check_meters, sight_of


@pytest.fixture
def gauge(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """A hwmon tree with one power gauge; returns the settings that name it."""

    def build(microwatts: str = "41200000") -> dict[str, Any]:
        folder = tmp_path / "hwmon" / "hwmon0"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "name").write_text("ina226\n")
        (folder / "power1_input").unlink(missing_ok=True)
        (folder / "power1_input").write_text(microwatts + "\n")
        return {"chip": "ina226", "root": str(tmp_path / "hwmon")}

    return build


@pytest.fixture
def host(tmp_path: Path) -> Callable[..., HostFile]:
    """A host file on disk with the given meters, read."""

    def write(meter: Mapping[str, Mapping[str, Any]], **top: Any) -> HostFile:
        lines = ["schema_version = 1"]
        for name, entry in meter.items():
            values = {"kind": "hwmon", "domain": "card", **entry}
            settings = ", ".join(f"{key} = {json.dumps(value)}" for key, value in values.pop("settings", {}).items())
            lines += [f"[meter.{name}]", *(f"{k} = {json.dumps(v)}" for k, v in values.items()), f"settings = {{ {settings} }}"]
        lines += [f"[target.{name}]" for name in top.get("target", ())]
        path = tmp_path / "testbed.toml"
        path.write_text("\n".join(lines) + "\n")
        return read_host(path)

    return write


def complaint(host: HostFile, runs: list[RunSpec], deadline_s: float = 30.0) -> str:
    with pytest.raises(SuiteError) as refused:
        check_meters(host, ["card"], runs, deadline_s)
    return str(refused.value)


@pytest.fixture
def covered(make_spec: Callable[..., RunSpec]) -> Callable[[HostFile], list[RunSpec]]:
    """The runs of one target with every meter of a host file."""
    return lambda host: [
        replace(make_spec(), meters=tuple(MeterSpec(n, m.kind, m.domain, m.settings) for n, m in host.meter.items()))
    ]


def test_a_meter_that_shows_power_is_let_through(gauge: Any, host: Any, covered: Any) -> None:
    here = host({"rail": {"settings": gauge(), "targets": ["card"]}})
    check_meters(here, ["card"], covered(here))


def test_a_run_without_meters_asks_nothing_of_them(gauge: Any, host: Any, make_spec: Any) -> None:
    check_meters(host({"rail": {"settings": {"chip": "nowhere"}}}), ["card"], [make_spec()])


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"settings": {"chp": "ina226"}}, "meter.rail.settings: unknown key 'chp'; did you mean 'chip'?"),
        ({"settings": {"chip": 226}}, "meter.rail.settings: chip: 226 is not of type str"),
        ({"kind": "rapl", "settings": {"root": "/nowhere"}}, "meter.rail: there is no RAPL counter below /nowhere"),
        ({"kind": "nvml", "settings": {"index": -1}}, "meter.rail.settings: index: must be 0 or more, not -1"),
    ],
)
def test_what_cannot_be_opened_is_said_with_file_key_and_way_out(
    host: Any, covered: Any, tmp_path: Path, entry: dict[str, Any], said: str
) -> None:
    here = host({"rail": entry})
    sentence = complaint(here, covered(here))
    assert sentence.startswith(f"{tmp_path}/testbed.toml: {said}")
    assert sentence.endswith("; or take [meter.rail] out of it to measure without")


def test_a_value_that_is_none_is_said_before_a_night_is_spent_on_it(gauge: Any, host: Any, covered: Any) -> None:
    here = host({"rail": {"settings": gauge("nan")}})
    assert "rail power1: cannot be read: it shows 'nan', which is no number" in complaint(here, covered(here))


def test_a_unit_that_cannot_be_right_is_named(gauge: Any, host: Any, covered: Any) -> None:
    """A card at 17,521,800 W, as a gauge in mW shows that is read as one in µW."""
    here = host({"rail": {"settings": gauge("17521800000000")}})
    sentence = complaint(here, covered(here))
    assert "meter.rail: rail power1: a card at 17,521,800 W cannot be right" in sentence
    assert "see the unit in meter.rail.settings, and its domain 'card'" in sentence


def test_a_shunt_the_wrong_way_round_is_said(gauge: Any, host: Any, covered: Any) -> None:
    here = host({"rail": {"settings": gauge("-12000000")}})
    assert "meter.rail: rail power1: -12 W cannot be right" in complaint(here, covered(here))


def test_a_target_nobody_knows_has_a_nearest_one(gauge: Any, host: Any, make_spec: Any) -> None:
    here = host({"rail": {"settings": gauge(), "targets": ["crad"]}})
    assert "testbed.toml: meter.rail.targets: unknown target 'crad'; did you mean 'card'?" in complaint(here, [make_spec()])
    other = host({"rail": {"settings": gauge(), "targets": ["elsewhere"]}}, target=["elsewhere"])
    check_meters(other, ["card"], [make_spec()])


def test_two_meters_that_read_the_same_are_not_added(gauge: Any, host: Any, covered: Any) -> None:
    here = host({"one": {"settings": gauge()}, "two": {"settings": gauge()}})
    assert "meter.two: reads what meter.one reads, and both would be added up" in complaint(here, covered(here))


def test_one_instrument_is_not_set_up_for_two_inputs_in_a_run(host: Any, covered: Any) -> None:
    """The second setting would be read for both, and one supply counted twice."""

    def feed(element: int, *targets: str) -> dict[str, Any]:
        settings = {"address": "TCPIP::192.0.2.7::10001::SOCKET", "profile": "yokogawa-wt300", "element": element}
        return {"kind": "scpi", "domain": "wall", "targets": list(targets), "settings": settings}

    two = host({"left": feed(1), "right": feed(2)})
    sentence = complaint(two, covered(two))
    assert "meter.right.settings.address: meter.left has it too" in sentence
    assert 'element = "SIGMA"' in sentence


@pytest.mark.parametrize("settings", [{}, {"address": ["192.0.2.7"]}])
def test_an_address_that_is_none_is_what_is_said(host: Any, covered: Any, settings: dict[str, Any]) -> None:
    profile = {"profile": "yokogawa-wt300"}
    two = host({
        name: {"kind": "scpi", "domain": "wall", "settings": {**settings, **profile, "element": n}}
        for n, name in enumerate(("left", "right")[: 1 if settings else 2], start=1)
    })  # fmt: skip
    sentence = complaint(two, covered(two))
    assert "meter.left.settings" in sentence
    assert "address" in sentence
    assert "has it too" not in sentence


def test_meters_of_one_instrument_are_tried_one_after_the_other() -> None:
    """Most instruments take one connection, and all have one set-up."""
    most, accepted = 0, 0
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"TCPIP::127.0.0.1::{server.getsockname()[1]}::SOCKET"

        def answer() -> None:
            nonlocal most, accepted
            there: list[socket.socket] = []
            with suppress(OSError), selectors.DefaultSelector() as waiting:
                waiting.register(server, selectors.EVENT_READ)
                while True:
                    for key, _ in waiting.select():
                        if key.fileobj is server:
                            line, _ = server.accept()
                            there.append(line)
                            waiting.register(line, selectors.EVENT_READ)
                            accepted, most = accepted + 1, max(most, len(there))
                        elif isinstance(key.fileobj, socket.socket) and not key.fileobj.recv(1024):
                            waiting.unregister(key.fileobj)
                            there.remove(key.fileobj)
                            key.fileobj.close()

        threading.Thread(target=answer, daemon=True).start()
        settings = {"address": address, "profile": "yokogawa-wt300", "timeout_ms": 300}
        trials = try_meters([MeterSpec(f"m{n}", "scpi", "wall", settings) for n in range(2)])
    assert [trial.meter for trial in trials] == ["m0", "m1"]
    assert all("does not answer '*IDN?'" in trial.complaint for trial in trials), trials
    assert accepted >= 2
    assert most == 1


def test_one_that_hangs_costs_its_deadline_and_no_more(tmp_path: Path) -> None:
    """A pipe that nobody writes to hangs whoever opens it, as a driver in trouble does."""
    folder = tmp_path / "hwmon0"
    folder.mkdir()
    (folder / "name").write_text("ina226\n")
    os.mkfifo(folder / "power1_input")
    (trial,) = try_meters([MeterSpec("rail", "hwmon", "card", {"chip": "ina226", "root": str(tmp_path)})], 2.0)
    assert trial.complaint.startswith("meter.rail: gave no answer within 2 s")


def test_several_are_tried_at_once_and_answer_in_order(gauge: Any) -> None:
    settings = gauge()
    specs = [
        MeterSpec(f"m{n}", "hwmon", "card", settings if n else {"chip": "none", **settings, "device": "x"}) for n in range(3)
    ]
    trials = try_meters(specs)
    assert [trial.meter for trial in trials] == ["m0", "m1", "m2"]
    assert [bool(trial.complaint) for trial in trials] == [True, False, False]
    assert trials[1].shown == (Shown("m1 power1", "power", "card", "device power gauge", 41.2),)


# ---------------------------------------------------------------- doctor


SHOWN = Shown("bench power", "power", "wall", "wall meter", 312.44)


@pytest.mark.parametrize(
    ("trial", "verdict", "seen"),
    [
        (Trial("bench", "", (SHOWN,)), "ok", "power of the wall by wall meter: 312.4 W"),
        (Trial("bench", "", (replace(SHOWN, watts=None),)), "ok", "power of the wall by wall meter: does not move"),
        (Trial("bench", "", (replace(SHOWN, watts=2e6),)), "warn", "a wall at 2,000,000 W cannot be right"),
        (Trial("bench", "", (replace(SHOWN, kind="clock", watts=None),)), "warn", "shows neither energy nor power"),
        (Trial("bench", "meter.bench: is off"), "warn", "is off"),
        (Trial("bench", "meter.bench.settings: no"), "warn", "meter.bench.settings: no"),
    ],
)
def test_doctor_says_what_each_meter_shows(trial: Trial, verdict: str, seen: str) -> None:
    sight = sight_of(trial)
    assert (sight.name, sight.verdict) == ("meter bench", verdict)
    assert seen in sight.seen
    assert sight.why
    assert bool(sight.advice) == (verdict != "ok")


def test_doctor_reads_the_meters_that_the_host_file_names(
    gauge: Any, host: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    host({"rail": {"settings": gauge()}, "lost": {"settings": {"chip": "none", "root": str(tmp_path)}}})
    generic = Sight("meters", "warn", "none", "no figure", "name one")
    monkeypatch.setattr(doctor, "look", lambda store, cache, free: [generic])
    assert doctor.examine(tmp_path / "testbed.toml", tmp_path, strict=True, as_json=True) == 1
    found = {sight["name"]: sight for sight in json.loads(capsys.readouterr().out)}
    assert set(found) == {"meter rail", "meter lost"}
    assert found["meter rail"]["seen"] == "power1 of the card by device power gauge: 41.2 W"
    assert found["meter lost"]["verdict"] == "warn"


def test_doctor_without_meters_says_what_could_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meters, "try_meters", lambda specs, deadline_s: pytest.fail("there is nothing to try"))
    generic = Sight("meters", "warn", "none", "no figure", "name one")
    monkeypatch.setattr(doctor, "look", lambda store, cache, free: [generic])
    (tmp_path / "testbed.toml").write_text("schema_version = 1\n")
    assert doctor.examine(tmp_path / "testbed.toml", tmp_path, strict=True, as_json=True) == 1
