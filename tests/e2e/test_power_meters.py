"""A meter of the host file beside a plug-in's sensors: two figures side by side, and no run where it cannot be used.

The counter is a folder that stands for the kernel's, moved at a known power by a thread of the test; all else is real.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .world import PLAIN, World, came_through, code_of, one_by_target, read_records

#: What the counter counts, W, and how often it moves, s.
WATTS = 80
EVERY_S = 0.002

HOST = """schema_version = 1
[meter.cpu]
kind = "{kind}"
domain = "chip"
targets = ["{target}"]
settings = {{ root = "{root}" }}
"""


@pytest.fixture
def powercap(tmp_path: Path) -> Iterator[Path]:
    """A powercap tree with one package, which draws a steady power until the test is over."""
    zone = tmp_path / "powercap" / "intel-rapl:0"
    zone.mkdir(parents=True)
    highest = WATTS * 60_000_000 - 1
    (zone / "name").write_text("package-0\n")
    (zone / "max_energy_range_uj").write_text(f"{highest}\n")
    over = threading.Event()

    def count() -> None:
        (zone / ".next").write_text(f"{time.monotonic_ns() * WATTS // 1000 % (highest + 1)}\n")
        (zone / ".next").replace(zone / "energy_uj")

    def run() -> None:
        while not over.wait(EVERY_S):
            count()

    count()
    thread = threading.Thread(target=run)
    thread.start()
    yield zone.parent
    over.set()
    thread.join()


def test_a_counter_of_the_host_stands_beside_the_devices_own_and_is_never_added(world: World, powercap: Path) -> None:
    suite = world.suite({"card": PLAIN, "other": PLAIN}, [{"targets": ["card", "other"], "workloads": ["probe"]}])
    host = world.folder / "testbed.toml"
    host.write_text(HOST.format(kind="rapl", target="card", root=powercap))
    done = world("run", suite, "--host", host, "--store", world.store())
    assert done.code == code_of(world.store()), done.err
    records = one_by_target(world.store())
    assert all(came_through(record) for record in records.values()), done.err
    own = [(row["domain"], row["evidence"]) for row in records["other"]["energy"]]
    assert own == [("card", "device energy counter"), ("card", "device power gauge")]
    chip = [row for row in records["card"]["energy"] if row["domain"] == "chip"]
    assert [(row["domain"], row["evidence"]) for row in records["card"]["energy"] if row not in chip] == own
    assert [(row["sensor"], row["evidence"]) for row in chip] == [("cpu package-0", "device energy counter")]
    # Over a second on a busy machine the counter's own unsteadiness is in the interval; the sum with the card would not be. Where
    # its thread or the sampler stood still for long, it says so.
    held_up = re.match(r"readings cover \d+\.\d% of the window", chip[0]["watts"]["reason"] or "")
    assert held_up or chip[0]["watts"]["value"] == pytest.approx(WATTS, rel=0.2), chip[0]
    # Not in the run's name, and said in its order.
    assert [meter["name"] for meter in records["card"]["spec"]["meters"]] == ["cpu"]
    assert records["other"]["spec"]["meters"] == []


def test_a_meter_that_cannot_be_used_is_said_before_anything_is_measured(world: World, tmp_path: Path) -> None:
    suite = world.suite({"card": PLAIN}, [{"targets": ["card"], "workloads": ["probe"]}])
    host = world.folder / "testbed.toml"
    for kind, target, said in (
        ("rapl", "card", f"{host}: meter.cpu: there is no RAPL counter below {tmp_path}"),
        ("rapl", "crad", f"{host}: meter.cpu.targets: unknown target 'crad'; did you mean 'card'?"),
        ("rap", "card", f"{host}: meter.cpu.kind: 'rap' is not valid; did you mean 'rapl'?"),
    ):
        host.write_text(HOST.format(kind=kind, target=target, root=tmp_path))
        done = world("run", suite, "--host", host, "--store", world.store())
        assert done.code == 2, done.err
        assert done.sentence.startswith(f"npubench: {said}")
        assert "Traceback" not in done.err
    assert read_records(world.store()) == {}
