"""Interpreters that crash, hang or flood while they are asked; the others answer meanwhile."""

from __future__ import annotations

import datetime
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from npubench.contract.availability import Rung
from npubench.measure import survey as module
from npubench.measure.survey import DEADLINE_VARIABLE, Ask, backends, survey, survey_all


def wait_until(condition: Callable[[], bool], within_s: float = 60.0) -> bool:
    """Wait for a condition; returns whether it came."""
    until = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


def is_gone(pid: int) -> bool:
    """Return whether a process has ended; it stays as a zombie where nobody reaps orphans."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.fixture
def interpreter(tmp_path: Path) -> Path:
    """An interpreter that is none: what it does stands in its environment."""
    path = tmp_path / "python"
    path.write_text('#!/bin/sh\neval "$DO"\n')
    path.chmod(0o755)
    return path


def test_interpreters_are_asked_side_by_side_and_answer_in_the_order_of_the_questions(
    interpreter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each waits for all the others: one after another, every one of them would run into the deadline."""
    monkeypatch.setenv(DEADLINE_VARIABLE, "60")
    meet = f'touch {tmp_path}/$N; until [ "$(ls {tmp_path}/met-* | wc -l)" = 3 ]; do sleep 0.05; done; exit $CODE'
    asks = [Ask(f"b{n}", str(interpreter), {"DO": meet, "N": f"met-{n}", "CODE": str(10 + n)}) for n in range(3)]
    heard: list[str] = []
    found = survey_all([Ask("simulated"), *asks], lambda ask, seen: heard.append(ask.backend))
    assert [seen.backend for seen in found] == ["simulated", "b0", "b1", "b2"]
    assert found[0].availability.rung is Rung.READY
    assert [seen.availability.reason.split()[-1] for seen in found[1:]] == ["10", "11", "12"]
    assert sorted(heard) == ["b0", "b1", "b2", "simulated"]


def test_more_than_fit_are_asked_one_after_another(interpreter: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SIDE_BY_SIDE", 2)
    found = survey_all([Ask(f"b{n}", str(interpreter), {"DO": f"exit {n + 1}"}) for n in range(5)])
    assert [seen.availability.reason.split()[-1] for seen in found] == ["1", "2", "3", "4", "5"]


def test_one_that_hangs_is_ended_at_its_deadline_with_all_it_started(
    interpreter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DEADLINE_VARIABLE, "2")
    seen = survey("acme", str(interpreter), {"DO": f"sleep 600 & echo $! > {tmp_path}/child; wait"})
    assert seen.availability.reason == "backend 'acme': its import or probe took longer than 2 s"
    assert DEADLINE_VARIABLE in seen.availability.advice
    child = int((tmp_path / "child").read_text())
    assert wait_until(lambda: is_gone(child))


@pytest.mark.parametrize(
    ("does", "words"),
    [
        ("exit 0", "ended the process with code 0"),
        ("echo no licence >&2; exit 3", "ended the process with code 3: no licence"),
        ("kill -ABRT $$", "was killed by SIGABRT"),
        ("echo No module named npubench >&2; exit 1", "has no npubench; install it there, with the backend"),
        ('echo nonsense > "$3/answer.json"', "ended the process with code 0"),
        ('echo "[1]" > "$3/answer.json"', "ended the process with code 0"),
        ('echo \'{"rung": 9}\' > "$3/answer.json"', "ended the process with code 0"),
    ],
)
def test_whatever_has_no_answer_is_broken_and_says_how_it_ended(interpreter: Path, does: str, words: str) -> None:
    seen = survey("acme", str(interpreter), {"DO": does})
    assert seen.availability.rung is Rung.SDK_BROKEN
    assert seen.availability.reason.startswith("backend 'acme': ")
    assert words in seen.availability.reason
    assert str(interpreter) in seen.availability.advice


def test_a_flood_does_not_fill_the_disk_and_its_end_is_kept(interpreter: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """100 MB through a log that is cut at 64 kB: the last words are still there, and the file is small."""
    monkeypatch.setattr(module, "_FLOOD_BYTES", 1 << 16)
    sizes = []
    is_over = module._Probe.is_over

    def watch(probe: module._Probe) -> bool:
        over = is_over(probe)
        probe.log.seek(0, 2)
        sizes.append(probe.log.tell())
        return over

    monkeypatch.setattr(module._Probe, "is_over", watch)
    # It ends when what it has said was cut, however busy the one is that cuts it.
    cut = "until [ $(stat -L -c %s /proc/$$/fd/2) -lt 65536 ]; do sleep 0.02; done"
    flood = f"head -c 100000000 /dev/zero; {cut}; echo the last words; exit 4"
    seen = survey("acme", str(interpreter), {"DO": flood})
    assert seen.availability.reason.endswith("code 4: the last words")
    assert sizes[-1] < 1 << 17


def test_what_was_listed_before_a_crash_is_kept(interpreter: Path) -> None:
    listing = '{"backend": "acme", "entry": "acme_npu.backend:Acme", "known": ["acme", "other"]}'
    seen = survey("acme", str(interpreter), {"DO": f"echo '{listing}' > \"$3/listing.json\"; kill -SEGV $$"})
    assert (seen.entry, seen.known) == ("acme_npu.backend:Acme", ("acme", "other"))
    assert seen.availability.advice == f"see its own words with: {interpreter} -c 'import acme_npu.backend'"


def test_an_interpreter_that_is_not_there_names_no_backend() -> None:
    assert backends("/nowhere/python") == ()
    seen = survey("", "/nowhere/python")
    assert seen.availability.reason == "python '/nowhere/python' cannot be started: no such file or directory"
    assert "simulated" in backends(sys.executable)


def test_a_vendors_colours_and_broken_text_are_taken_out(interpreter: Path) -> None:
    seen = survey("acme", str(interpreter), {"DO": "printf '\\033[31mred \\377\\n' >&2; exit 2"})
    assert seen.availability.reason.endswith("code 2: [31mred \ufffd")


def test_an_option_that_no_option_takes_is_said() -> None:
    options = [{"fault_after": 3}, {"fault_after": "3"}, {"fault_after": datetime.date(2026, 8, 1)}, {"fualt": ""}]
    good, text, date, unknown = survey("simulated", options=options).option_errors
    assert good == ""
    assert text == "options: fault_after: '3' is not of type int"
    assert "2026-08-01" in date
    assert "is not of type int" in date
    assert "did you mean 'fault'?" in unknown
