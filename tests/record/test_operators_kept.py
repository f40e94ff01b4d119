"""A record's profile is what its run's folder says, is made again as such, and costs the run nothing where it is bad."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from npubench.contract import OperatorTime
from npubench.contract.runspec import RunSpec
from npubench.measure.profiled import OPERATORS, Profile, profile_json, reason_json
from npubench.record.account import build_record
from npubench.record.migrate import migrate
from npubench.record.recheck import recheck_run
from npubench.record.schema import Record
from npubench.record.store import Store, read_record

from .evidence import GATE, Maker

GOOD = profile_json(
    Profile(16, 1, (OperatorTime("conv", "Conv", 900, 16, "device"), OperatorTime("resize", "Resize", 100, 16, "host")))
)


class Profiling(Maker):
    """Leaves a profile in the run's folder as well, or whatever a test makes of one."""

    left: str | None = None

    def fill(self, folder: Path, spec: RunSpec, start: int) -> None:
        super().fill(folder, replace(spec, profile=True), start)
        if Profiling.left is not None:
            (folder / OPERATORS).write_text(Profiling.left, encoding="utf-8")


@pytest.fixture
def publish_with(
    tmp_path: Path, make_spec: Callable[..., Any], make_bundle: Callable[..., Any], make_trace: Any, monkeypatch: Any
) -> Callable[[str | None], tuple[Record, Path, Maker]]:
    def publish(left: str | None) -> tuple[Record, Path, Maker]:
        monkeypatch.setattr(Profiling, "left", left)
        maker = Profiling(Store(tmp_path / "store"), make_bundle(tmp_path / "bundle", gate=GATE), make_spec, make_trace)
        folder = maker()
        return read_record(folder / "record.json"), folder, maker

    return publish


def test_a_profile_stands_in_the_record_and_is_made_again(publish_with: Any) -> None:
    record, folder, maker = publish_with(GOOD)
    assert record.operators.host_share.value == pytest.approx(0.1)
    assert [each.name for each in record.operators.shares] == ["conv", "resize"]
    assert OPERATORS in record.provenance.files
    assert recheck_run(folder, maker.bundle.root).holds
    told = json.loads((folder / "record.json").read_text(encoding="utf-8"))
    told["operators"]["shares"][1]["ns"] = 0.0
    (folder / "record.json").write_text(json.dumps(told), encoding="utf-8")
    assert [d.key for d in recheck_run(folder, maker.bundle.root).differences] == ["operators.shares[1].ns"]


@pytest.mark.parametrize("left", [None, "", "[" * 50_000, "{}", reason_json("the card is warm")])
def test_a_profile_that_is_none_changes_nothing_else_of_the_run(publish_with: Any, left: str | None) -> None:
    record, folder, maker = publish_with(left)
    again = build_record(folder, maker.bundle, lambda *_: 1.0)
    assert record.status == again.status
    assert record.status in ("ok", "invalid")
    assert record.operators.reason
    assert record.operators.total.value is None
    assert record.operators.total.reason == record.operators.reason


def test_a_run_that_was_not_asked_for_one_has_none(
    tmp_path: Path, make_spec: Callable[..., Any], make_bundle: Callable[..., Any], make_trace: Any
) -> None:
    maker = Maker(Store(tmp_path / "store"), make_bundle(tmp_path / "bundle", gate=GATE), make_spec, make_trace)
    folder = maker()
    assert read_record(folder / "record.json").operators is None
    # One that somebody lays beside it is no part of the record.
    (folder / OPERATORS).write_text(GOOD, encoding="utf-8")
    assert build_record(folder, maker.bundle, lambda *_: 1.0).operators is None


def test_records_of_before_there_were_profiles_have_none() -> None:
    assert migrate({"schema_version": 2, "system": {}})["operators"] is None
