"""The machine is described from itself: it always has a name, the same one every time, and never an empty field."""

from __future__ import annotations

import re
from dataclasses import asdict

import pytest

from npubench.record import machine
from npubench.record.machine import describe_machine, device_rows


def test_a_machine_has_a_name_that_can_be_a_folder() -> None:
    assert re.fullmatch(r"[a-z0-9-]+-[0-9a-f]{8}", describe_machine().system_id)


def test_it_is_the_same_every_time() -> None:
    assert describe_machine() == describe_machine()


def test_nothing_is_empty() -> None:
    described = asdict(describe_machine())
    assert [name for name, value in described.items() if value == ""] == []
    assert described["logical_cores"] >= 1
    assert described["memory_bytes"] > 0


@pytest.mark.parametrize("name", ["", "한국전력", "...", "UPPER.example.com"])
def test_any_host_name_makes_a_folder_name(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(machine.platform, "node", lambda: name)
    assert re.fullmatch(r"[a-z0-9][a-z0-9-]*-[0-9a-f]{8}", describe_machine().system_id)


def test_other_hosts_are_other_systems_though_their_names_read_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    found = set()
    for name in ("node 1", "node-1", "한국", "조선"):
        monkeypatch.setattr(machine.platform, "node", lambda name=name: name)
        found.add(describe_machine().system_id)
    assert len(found) == 4


def test_what_cannot_be_read_is_null_and_no_error(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    def missing() -> dict[str, str]:
        raise OSError

    monkeypatch.setattr(machine, "_GOVERNOR", machine.Path("/no/such/file"))
    monkeypatch.setattr(machine.platform, "freedesktop_os_release", missing)
    described = describe_machine()
    assert described.governor is None
    assert described.operating_system


def test_what_the_worker_tells_of_a_device_becomes_rows_of_text() -> None:
    rows = device_rows({"name": "npu:0", "kind": "ACME-1", "simulated": True, "details": {"serial": 7}})
    assert rows == {"name": "npu:0", "kind": "ACME-1", "serial": "7"}
    assert device_rows({}) == {}
