"""``npubench run --profile``: after the run, in a process of its own; nothing of it where it is not asked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .world import PLAIN, World


def records(store: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(store.glob("*/*/record.json"))]


def test_a_backend_without_a_profile_leaves_a_reason_and_the_record_can_be_checked(world: World) -> None:
    suite = world.suite({"npu": PLAIN}, [{"targets": ["npu"], "workloads": ["probe"]}])
    world("run", suite, "--store", "store", "--profile")
    (record,) = records(world.folder / "store")
    assert record["operators"]["reason"] == "this backend gives no times of operators"
    assert record["operators"]["total"]["value"] is None
    assert {"operators.json", "profile.log"} <= set(record["provenance"]["files"])
    assert world("verify", "store").code == 0
