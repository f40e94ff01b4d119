"""The table of how near reported energy is to the truth is what its command makes, and holds what the design asks for."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from npubench.verbs import energy_accuracy
from npubench.verbs.energy_accuracy import Row, holds, make_rows, markdown, show_energy_accuracy

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


def test_the_exit_code_says_whether_it_holds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(energy_accuracy, "make_rows", lambda: ROWS)
    assert show_energy_accuracy(tmp_path / "new" / "table.md", True) == 0
    assert json.loads(capsys.readouterr().out)["trials"] == 225
    assert (tmp_path / "new" / "table.md").read_text(encoding="utf-8") == markdown(ROWS)
    monkeypatch.setattr(energy_accuracy, "make_rows", lambda: [replace(ROWS[0], worst=0.01, printed=5)])
    assert show_energy_accuracy(None, False) == 1
    assert "1.00%" in capsys.readouterr().out
