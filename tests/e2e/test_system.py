"""A run's record tells what machine it was and how the client fared, holds the declaration against it, and keeps no secret."""

from __future__ import annotations

import json

from npubench.contract.facts import fact_of

from .world import PLAIN, World, read_records

HOST = """schema_version = 1
[system]
memory = "9999 TiB"
cooling = "water"
"""


def test_the_record_describes_the_machine_and_the_client(world: World) -> None:
    suite = world.suite({"dev": PLAIN}, [{"targets": ["dev"], "workloads": ["probe"], "scenarios": ["offline"]}])
    host = world.folder / "testbed.toml"
    host.write_text(HOST)
    env = {"OMP_NUM_THREADS": "2", "ORT_API_TOKEN": "open-sesame"}
    world("run", suite, "--host", host, "--store", world.store(), env=env)
    (record,) = read_records(world.store()).values()
    system, client = record["system"], record["client"]
    assert {"memory", "threads", "kernel", "packages-digest", "device-kind"} <= system["stable"].keys()
    assert "load-average" in system["volatile"]
    assert all((fact := fact_of(key)) is not None and not fact.volatile for key in system["stable"])
    assert system["environment"]["OMP_NUM_THREADS"] == "2"
    assert client["cpu_share"] > 0
    assert client["cores"] >= 1
    assert client["major_faults"] is not None
    assert client["foreign_cpu_share"] is not None
    assert 0 <= client["harness_share"] <= 1
    (finding,) = (finding for finding in record["findings"] if finding["rule"] == "declaration-differs")
    assert finding["severity"] == "warning"
    assert finding["evidence"]["fact"] == "memory"
    kept = [path for path in world.store().rglob("*") if path.is_file() and b"open-sesame" in path.read_bytes()]
    assert kept == []


def test_two_of_its_runs_differ_in_what_was_asked_for(world: World) -> None:
    run = {"targets": ["dev"], "workloads": ["probe"], "scenarios": ["offline", "single-stream"]}
    world("run", world.suite({"dev": PLAIN}, [run]), "--store", world.store())
    one, other = (record["run_id"] for record in read_records(world.store()).values())
    done = world("diff", one, other, "--store", world.store(), "--json")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert told["incomparable"] == "simulated"
    assert "load.scenario" in {difference["what"] for difference in told["groups"]["spec"]}
