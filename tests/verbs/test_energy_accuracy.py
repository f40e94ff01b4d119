"""The table of how near reported energy is to the truth is what its command makes, and holds what the design asks for."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from npubench.errors import NpubenchError
from npubench.verbs import energy_accuracy
from npubench.verbs.energy_accuracy import Row, holds, make_rows, markdown, show_energy_accuracy, too_far
from npubench.verbs.energy_live import LIVE, LiveRow

ROWS = make_rows()
PAGE = Path(__file__).parents[2] / "docs" / "energy-accuracy.md"


def test_the_page_is_what_the_command_makes() -> None:
    assert PAGE.read_text(encoding="utf-8") == markdown(ROWS), f"run: {energy_accuracy.COMMAND}"


def test_it_has_every_course_by_every_sensor_and_200_windows() -> None:
    assert len({(row.course, row.sensor) for row in ROWS}) == len(ROWS) == 45
    assert sum(row.trials for row in ROWS) >= 200
    assert holds(ROWS)


def test_what_is_not_printed_says_why() -> None:
    for row in ROWS:
        assert row.printed + sum(row.reasons.values()) == row.trials
        assert (row.worst is None) == (row.printed == 0)


def test_a_broken_bound_is_seen() -> None:
    far = Row("c", "s", 1, 1, 0.006, 1, 1, 0.001, {})
    assert not holds([*ROWS, far])
    assert holds([*ROWS, replace(far, worst=0.004)])
    missed = [replace(row, held=0) if n < 4 else row for n, row in enumerate(ROWS)]
    assert not holds(missed)
    assert not holds([replace(far, printed=0, worst=None)])


NEAR = LiveRow("ramp", "SIMULATED energy counter", 10.0, 80.0, 80.1, 0.00125, True, "")
ABSENT = replace(NEAR, sensor="SIMULATED power", joules=None, error=None, printed=False, reason="too short a window")


def test_the_exit_code_says_whether_it_holds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(energy_accuracy, "make_rows", lambda: ROWS)
    monkeypatch.setattr(energy_accuracy, "live_rows", lambda: [NEAR, ABSENT])
    assert show_energy_accuracy(tmp_path / "new" / "table.md", True) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["trials"] == 225
    assert [(row["sensor"], row["error"], row["reason"]) for row in said["live"]] == [
        ("SIMULATED energy counter", 0.00125, ""),
        ("SIMULATED power", None, "too short a window"),
    ]
    assert (tmp_path / "new" / "table.md").read_text(encoding="utf-8") == markdown(ROWS)
    monkeypatch.setattr(energy_accuracy, "make_rows", lambda: [replace(ROWS[0], worst=0.01, printed=5)])
    assert show_energy_accuracy(None, False) == 1
    shown = capsys.readouterr().out
    assert "1.00%" in shown
    assert "+0.12%" in shown


def test_a_live_window_that_is_printed_and_far_off_fails_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    far = replace(NEAR, joules=79.0, error=-0.0125)
    assert too_far([NEAR, ABSENT, far, replace(far, printed=False, reason="too uncertain")]) == [far]
    monkeypatch.setattr(energy_accuracy, "make_rows", lambda: ROWS)
    monkeypatch.setattr(energy_accuracy, "live_rows", lambda: [NEAR, far])
    assert show_energy_accuracy(None, False) == 1


def test_the_page_is_there_though_nothing_can_be_measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def busy() -> list[LiveRow]:
        raise NpubenchError("calibration failed: sim:plain is in use by another executor")

    monkeypatch.setattr(energy_accuracy, "make_rows", lambda: ROWS)
    monkeypatch.setattr(energy_accuracy, "live_rows", busy)
    with pytest.raises(NpubenchError, match="in use"):
        show_energy_accuracy(tmp_path / "table.md", True)
    assert (tmp_path / "table.md").exists()


def test_what_is_drawn_live_is_what_is_made_up() -> None:
    assert {row.course for row in ROWS} == set(LIVE)
