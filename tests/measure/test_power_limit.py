"""A power limit is measured under and put back, whatever happens in between."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from npubench.contract import Artefact, Availability, Backend, Device, Executor, PowerLimit, Rung, RunSpec
from npubench.contract.runspec import to_plain
from npubench.measure import power_limit
from npubench.measure.power_limit import (
    NOTE,
    PowerLimitError,
    Sight,
    enforce,
    look,
    moved,
    package_limit_mw,
    refusal,
    restore,
    restore_from_outside,
    restore_leftovers,
    unrestored,
)

FOUND, WANTED = 300_000, 150_000


class Card(PowerLimit):
    """A card's limit, in steps of 5 W, that others can be told to change."""

    def __init__(self, step: int = 5_000, refuse: BaseException | None = None) -> None:
        self.now: Any = FOUND
        self.step, self.refuse = step, refuse
        self.seen: list[int] = []

    def read(self) -> Any:
        return self.now

    def bounds(self) -> Any:
        return 100_000, 400_000

    def set(self, milliwatts: int) -> None:
        if self.refuse is not None:
            raise self.refuse
        self.seen.append(milliwatts)
        self.now = milliwatts // self.step * self.step


class ReadOnly(PowerLimit):
    def read(self) -> int:
        return FOUND


class Plugin(Backend):
    """A plug-in whose limit is whatever a test says."""

    answer: Any = None

    def probe(self) -> Availability:
        return Availability(Rung.READY, devices=(Device("npu0", "ACME"),))

    def load(self, artefact: Artefact, device: Device, options: Any) -> Executor:
        raise NotImplementedError

    def power_limit(self, device: Device) -> Any:
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


def seen(answer: Any) -> Sight:
    backend = Plugin()
    backend.answer = answer
    return look(backend, Device("npu0", "ACME"))


def with_reading(value: Any) -> Card:
    card = Card()
    card.now = value
    return card


# -- looking ------------------------------------------------------------------------------------------------------------


def test_what_there_is_is_seen() -> None:
    sight = seen(Card())
    assert (sight.found_mw, sight.bounds_mw, sight.complaint) == (FOUND, (100_000, 400_000), "")
    assert refusal(sight, WANTED) == ""


@pytest.mark.parametrize(
    ("answer", "wanted", "why"),
    [
        (None, WANTED, "power limit of 150 W: this device shows none"),
        (ReadOnly(), WANTED, "power limit of 150 W: this device's can be read and not set"),
        (Card(), 450_000, "power limit of 450 W: the device takes 100 to 400 W"),
        (Card(), 99_500, "power limit of 99.5 W: the device takes 100 to 400 W"),
        (
            with_reading(None),
            WANTED,
            "power limit of 150 W: the device does not say which one it has now, and it could not be put back",
        ),
        (OSError("no such file"), WANTED, "power limit of 150 W: it cannot be read: OSError: no such file"),
    ],
)
def test_a_limit_that_cannot_be_is_refused_with_the_reason(answer: Any, wanted: int, why: str) -> None:
    assert refusal(seen(answer), wanted) == why


@pytest.mark.parametrize("value", [0, -1, 50, 1.5e5, True, "150000", 10**12])
def test_what_is_no_limit_is_none(value: Any) -> None:
    """A limit in W, or in µW, is of another unit; 0 is the word of some drivers for not knowing."""
    sight = seen(with_reading(value))
    assert sight.found_mw is None
    assert "which is no power limit in mW" in sight.complaint


# -- setting and putting back ---------------------------------------------------------------------------------------------


def test_what_was_found_is_noted_before_anything_is_set(tmp_path: Path) -> None:
    class Watching(Card):
        def set(self, milliwatts: int) -> None:
            assert unrestored(tmp_path) == FOUND
            super().set(milliwatts)

    card = Watching()
    assert enforce(card, FOUND, WANTED, tmp_path) == WANTED
    assert moved(card, WANTED) == ""
    restore(card, tmp_path)
    assert (card.now, card.seen, unrestored(tmp_path)) == (FOUND, [WANTED, FOUND], None)
    restore(card, tmp_path)
    assert card.seen == [WANTED, FOUND]  # a second time does nothing


@pytest.mark.parametrize(("step", "good"), [(1_000, True), (5_000, True), (40_000, False)])
def test_what_took_effect_is_within_a_hundredth(tmp_path: Path, step: int, good: bool) -> None:
    card = Card(step)
    if good:
        assert enforce(card, FOUND, 151_000, tmp_path) == 151_000 // step * step
    else:
        with pytest.raises(PowerLimitError, match=r"power limit of 151 W: the device has 120 W after it was set"):
            enforce(card, FOUND, 151_000, tmp_path)
    assert unrestored(tmp_path) == FOUND


def test_a_user_who_may_not_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(PowerLimitError, match="this user may not set it: PermissionError: root's alone"):
        enforce(Card(refuse=PermissionError("root's alone")), FOUND, WANTED, tmp_path)


def test_a_limit_that_somebody_changed_meanwhile_is_noticed(tmp_path: Path) -> None:
    card = Card()
    enforce(card, FOUND, WANTED, tmp_path)
    card.now = 200_000
    assert moved(card, WANTED) == "power limit of 150 W: the device has 200 W at the end of the run"


def test_a_limit_that_does_not_come_back_stays_noted(tmp_path: Path) -> None:
    card = Card()
    enforce(card, FOUND, WANTED, tmp_path)
    card.refuse = RuntimeError("GPU is lost")
    with pytest.raises(PowerLimitError, match="the limit of 300 W cannot be set again: RuntimeError: GPU is lost"):
        restore(card, tmp_path)
    assert unrestored(tmp_path) == FOUND


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "null", "{", "[" * 100_000, '{"before_mw": 300000}'),
        *('{"before_mw": true, "restored": false}', '{"before_mw": -5, "restored": false}'),
        *('{"before_mw": 1e5, "restored": false}', '{"before_mw": "x", "restored": false}'),
    ],
)
def test_a_note_that_says_nothing_sets_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / NOTE).write_text(text)
    assert unrestored(tmp_path) is None


# -- from outside -----------------------------------------------------------------------------------------------------------

#: A plug-in whose limit lies in the file that ACME_CARD names; ACME_HANGS has it hang.
ACME = """
import os, time
from pathlib import Path
from npubench.contract import Availability, Backend, Device, PowerLimit, Rung

class Limit(PowerLimit):
    def read(self):
        return int(Path(os.environ["ACME_CARD"]).read_text())
    def set(self, milliwatts):
        if os.environ.get("ACME_HANGS"):
            time.sleep(600)
        Path(os.environ["ACME_CARD"]).write_text(str(milliwatts))

class Acme(Backend):
    def probe(self):
        return Availability(Rung.READY, devices=(Device("npu0", "ACME"),))
    def load(self, artefact, device, options):
        raise NotImplementedError
    def power_limit(self, device):
        return Limit()
"""


@pytest.fixture
def left(tmp_path: Path, make_spec: Callable[..., RunSpec]) -> Iterator[Callable[..., tuple[Path, dict[str, str]]]]:
    """Make the folder of a run that died under a limit of 150 W, and the environment of its card."""

    def make(**more: str) -> tuple[Path, dict[str, str]]:
        (tmp_path / "acme_limits.py").write_text(ACME)
        (tmp_path / "card").write_text(str(WANTED))
        folder = tmp_path / "open" / "run"
        folder.mkdir(parents=True)
        env = {"PYTHONPATH": str(tmp_path), "ACME_CARD": str(tmp_path / "card"), **more}
        spec = make_spec(target={"entry": "acme_limits:Acme", "python": sys.executable, "env": env, "power_limit_mw": WANTED})
        (folder / "spec.json").write_text(json.dumps(to_plain(spec)))
        (folder / NOTE).write_text(json.dumps({"before_mw": FOUND, "wanted_mw": WANTED, "restored": False}))
        return folder, {**os.environ, **env}

    yield make


def card_of(environment: Mapping[str, str]) -> str:
    return Path(environment["ACME_CARD"]).read_text()


def test_a_process_of_its_own_puts_back_what_a_worker_left(left: Callable[..., tuple[Path, dict[str, str]]]) -> None:
    folder, environment = left()
    assert restore_from_outside(sys.executable, environment, folder) == ""
    assert (card_of(environment), unrestored(folder)) == (str(FOUND), None)


def test_one_that_hangs_is_ended_and_told(left: Callable[..., tuple[Path, dict[str, str]]]) -> None:
    folder, environment = left(ACME_HANGS="1")
    told = restore_from_outside(sys.executable, environment, folder, deadline_s=0.5)
    assert told == "the device's power limit could not be put back: it took longer than 0.5 s; set it to 300 W by hand"
    assert unrestored(folder) == FOUND


def test_what_a_plugin_says_of_it_is_in_the_log(left: Callable[..., tuple[Path, dict[str, str]]]) -> None:
    folder, environment = left(ACME_CARD="/nowhere/card")
    told = restore_from_outside(sys.executable, environment, folder)
    assert told == "the device's power limit could not be put back; set it to 300 W by hand"
    assert "the power limit is not put back: PowerLimitError" in (folder / "worker.log").read_text()


def test_without_an_interpreter_it_is_told(left: Callable[..., tuple[Path, dict[str, str]]]) -> None:
    folder, environment = left()
    assert "could not be put back: FileNotFoundError" in restore_from_outside("/nowhere/python", environment, folder)


def test_the_next_suite_puts_back_what_a_killed_supervisor_left(left: Callable[..., tuple[Path, dict[str, str]]]) -> None:
    folder, environment = left()
    (folder.parent / "other").mkdir()
    assert restore_leftovers(folder.parent) == []
    assert card_of(environment) == str(FOUND)
    assert restore_leftovers(folder.parent / "nowhere") == []


def test_a_damaged_order_is_told_with_its_folder(left: Callable[..., tuple[Path, dict[str, str]]]) -> None:
    folder, _ = left()
    (folder / "spec.json").write_text("{")
    (told,) = restore_leftovers(folder.parent)
    assert told.startswith(f"{folder}: the device's power limit could not be put back: JSONDecodeError")


# -- the host's processors --------------------------------------------------------------------------------------------------


def zone(root: Path, name: str, files: Mapping[str, str]) -> None:
    (root / name).mkdir(parents=True)
    for file, text in files.items():
        (root / name / file).write_text(text + "\n")


def test_the_long_term_limits_of_all_packages_are_added(tmp_path: Path) -> None:
    for n, names in enumerate((("long_term", "short_term"), ("short_term", "long_term"))):
        limits = {"long_term": "205000000", "short_term": "246000000"}
        files = {f"constraint_{k}_name": name for k, name in enumerate(names)}
        files |= {f"constraint_{k}_power_limit_uw": limits[name] for k, name in enumerate(names)}
        zone(tmp_path, f"intel-rapl:{n}", {"name": f"package-{n}", **files})
        zone(tmp_path, f"intel-rapl:{n}:0", {"name": "dram"})
    assert package_limit_mw(tmp_path) == 410_000


def test_a_host_that_shows_none_has_none(tmp_path: Path) -> None:
    assert package_limit_mw(tmp_path) is None
    zone(tmp_path, "intel-rapl:0", {"name": "package-0", "constraint_0_name": "long_term"})
    assert package_limit_mw(tmp_path) is None


# -- the worker itself --------------------------------------------------------------------------------------------------------


def test_the_watch_says_what_could_not_be_put_back(
    tmp_path: Path, make_spec: Callable[..., RunSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    from npubench.measure import runner

    script = tmp_path / "python"
    script.write_text("#!/bin/sh\n" + "kill -KILL $$\n")
    script.chmod(0o755)
    monkeypatch.setattr(runner, "restore_from_outside", lambda python, environment, folder: "set it to 300 W by hand")
    (tmp_path / "run").mkdir()
    outcome = runner.run_worker(make_spec(target={"python": str(script)}), tmp_path / "run")
    assert (outcome.kind, outcome.exit_code) == ("died", -signal.SIGKILL)
    assert outcome.reason.endswith("; set it to 300 W by hand")
    assert power_limit.NOTE not in os.listdir(tmp_path / "run")  # noqa: PTH208
