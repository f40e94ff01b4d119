"""What is kept of an order is fit to be handed on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from npubench.contract.runspec import RunSpec
from npubench.measure.capture import WITHHELD
from npubench.record.conduct import _kept


def test_values_of_secrets_in_a_targets_environment_are_not_kept(make_spec: Callable[..., RunSpec]) -> None:
    spec = make_spec()
    spec = replace(spec, target=replace(spec.target, env={"LICENCE_TOKEN": "s3cret", "OMP_NUM_THREADS": "4"}))
    kept = _kept(spec)
    assert kept.target.env == {"LICENCE_TOKEN": WITHHELD, "OMP_NUM_THREADS": "4"}
    assert replace(kept, target=spec.target) == spec
