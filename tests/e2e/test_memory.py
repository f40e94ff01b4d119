"""A worker's memory is read while it runs: a plug-in that keeps what it was given is seen to, and an honest one not."""

from __future__ import annotations

from typing import Any

from npubench.measure.memory import MEMORY, read_memory

from .world import PLAIN, World, came_through, one_by_target

#: What a request leaves behind, bytes. Accuracy alone has 64 of them, so that a leak has risen by more than :data:`ROOM` before
#: the window opens; an honest device stays below it, with all that LoadGen prepares for windows of a second.
LEFT, ROOM = 384 << 10, 20 << 20


def test_a_leak_is_in_the_readings_and_the_record_holds(world: World) -> None:
    targets: dict[str, dict[str, Any]] = {"leaking": {**PLAIN, "options": {"leak_bytes": LEFT}}, "honest": PLAIN}
    suite = world.suite(targets, [{"targets": [*targets], "workloads": ["probe"]}])
    world("run", suite, "--store", world.store())
    records = one_by_target(world.store())
    risen = {}
    for name, record in records.items():
        assert came_through(record), record["reason"]
        memory = record["memory"]
        risen[name] = memory["peak"]["value"] - memory["loaded"]["value"]
        # A window of a second has a reading or two: levels at the best, and never a rate.
        assert memory["growth"]["value"] is None
        assert "memory" in memory["growth"]["reason"]
        (path,) = world.store().glob(f"*/{record['run_id']}/{MEMORY}")
        track = read_memory(path)
        assert {"load-executor", "accuracy", "warm-up"} <= {track.phases[n] for n in track.phase}
    assert risen["leaking"] > ROOM > risen["honest"], risen
    assert world("verify", world.store()).code == 0
