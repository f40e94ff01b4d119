"""Worlds to run the command in; what takes long is started first and looked at last."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .acme import write_acme, write_broken, write_sleeping
from .night import BeginningNight, Night
from .scenes import BeginningScenes, Scenes
from .world import Result, World

LONG = ("night", "scenes")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put what waits for the long suites last, so that the rest runs meanwhile."""
    items.sort(key=lambda item: any(name in LONG for name in getattr(item, "fixturenames", ())))


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that holds the probe workload."""
    folder = tmp_path_factory.mktemp("cache")
    done = World(tmp_path_factory.mktemp("prepare"), folder)("workloads", "prepare", "probe")
    assert done.code == 0, done.err
    return folder


@pytest.fixture
def world(tmp_path: Path, cache: Path) -> World:
    """A world for one test."""
    return World(tmp_path, cache)


@pytest.fixture(scope="session")
def new_world(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Callable[[str], World]:
    """Worlds that several tests look at."""
    return lambda name: World(tmp_path_factory.mktemp(name), cache)


@pytest.fixture(scope="session")
def acme(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for PYTHONPATH with the distribution ``acme_npu``: a backend and a workload."""
    return write_acme(tmp_path_factory.mktemp("acme"))


@pytest.fixture(scope="session")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for PYTHONPATH with plug-ins that break at once."""
    return write_broken(tmp_path_factory.mktemp("broken"))


@pytest.fixture(scope="session")
def sleeping(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for PYTHONPATH with a plug-in whose probe never ends."""
    return write_sleeping(tmp_path_factory.mktemp("sleeping"))


@pytest.fixture(scope="session", autouse=True)
def begun(request: pytest.FixtureRequest, new_world: Callable[[str], World], acme: Path) -> Iterator[dict[str, Any]]:
    """The long suites that some test of this session looks at, started before the first test."""
    # A worker of pytest-xdist sees every test and is given some: there nothing is started before it is asked for.
    tests = [] if "PYTEST_XDIST_WORKER" in os.environ else request.session.items
    asked = {name for item in tests for name in getattr(item, "fixturenames", ())}
    started: dict[str, Any] = {}
    if "scenes" in asked:
        started["scenes"] = BeginningScenes(new_world)
    if "night" in asked:
        started["night"] = BeginningNight(new_world, acme)
    yield started
    for one in started.values():
        for command in one.started:
            command.kill()


@pytest.fixture(scope="session")
def night(begun: dict[str, Any], new_world: Callable[[str], World], acme: Path) -> Night:
    """A night in which nearly everything goes wrong, when it is over."""
    if "night" not in begun:
        begun["night"] = BeginningNight(new_world, acme)
    found: Night = begun["night"].end()
    return found


@pytest.fixture(scope="session")
def scenes(begun: dict[str, Any], new_world: Callable[[str], World]) -> Scenes:
    """Every scenario once on the simulated device; looked at by many tests and changed by none."""
    if "scenes" not in begun:
        begun["scenes"] = BeginningScenes(new_world)
    found: Scenes = begun["scenes"].end()
    return found


@pytest.fixture
def inside(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[Callable[..., Result]]:
    """The command inside this process, where only its words are looked at: a second less each."""
    from npubench.cli import main

    before = signal.getsignal(signal.SIGTERM)

    def call(world: World, *arguments: Any) -> Result:
        for name in [name for name in os.environ if name.startswith(("NPUBENCH_", "XDG_"))]:
            monkeypatch.delenv(name)
        for name in ("TMPDIR", "NPUBENCH_CACHE", "XDG_CONFIG_HOME", "COLUMNS"):
            monkeypatch.setenv(name, world.env[name])
        monkeypatch.chdir(world.folder)
        monkeypatch.setattr(sys, "argv", ["npubench", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capfd.readouterr()
        return Result(int(ended.value.code or 0), out, err)

    yield call
    signal.signal(signal.SIGTERM, before)
