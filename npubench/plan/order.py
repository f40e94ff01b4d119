"""Draw the order of a plan's runs by a seed, round by round, so that what changes over a night favours no target.

A round is every plan entry once. Within it, what is compared with each other, the targets and precisions of one workload in one
scenario, stands together as a block, so that neighbours in time can be compared; the order of blocks, and that within each, is
drawn. (Randomised blocks: Fisher 1935, *The Design of Experiments*, chapter IV.) The seed comes from the suite's content and the
round's number alone: a suite that is resumed, or shown by ``npubench plan``, has the order it had.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from typing import TypeVar

from npubench.contract.bundle import content_digest
from npubench.plan.suite import SuiteFile

Item = TypeVar("Item")


def round_seed(suite: SuiteFile, number: int) -> str:
    """Return the seed of a suite's round, as text: the digest of the suite's content, and the round's number from 1."""
    return f"{content_digest(suite.model_dump(mode='json'))} round {number}"


def draw_order(items: Iterable[Item], seed: str, block: Callable[[Item], str], member: Callable[[Item], str]) -> list[Item]:
    """Return ``items`` in an order drawn by ``seed``.

    An item's place follows from a digest of seed and name, and not from its neighbours: leaving some out, such as those of a
    target that cannot be used, changes the order of the others in nothing.

    Args:
        items: What is ordered.
        seed: Of this round.
        block: An item's block; blocks stay together.
        member: An item's name within its block; those of one name keep their order.
    """
    return sorted(items, key=lambda item: (_drawn(seed, block(item)), _drawn(seed, member(item))))


def _drawn(seed: str, name: str) -> str:
    return hashlib.sha256(f"{seed}\n{name}".encode()).hexdigest()
