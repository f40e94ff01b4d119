"""All checks, in the order in which they are carried out: what others need comes first."""

from __future__ import annotations

from collections.abc import Sequence

from npubench.contract.options import nearest
from npubench.errors import InputError
from npubench.testing.conformance import answers, artefacts, flight, identity, lifecycle, sensors
from npubench.testing.conformance.verdict import Check

#: Every check, by family.
CHECKS: tuple[Check, ...] = (
    *identity.CHECKS,
    *artefacts.CHECKS,
    *answers.CHECKS,
    *flight.CHECKS,
    *lifecycle.CHECKS,
    *sensors.CHECKS,
)


def chosen(names: Sequence[str]) -> tuple[Check, ...]:
    """Return the checks that are named, by name or by family, in the usual order; all where none is.

    Raises:
        InputError: There is no such check.
    """
    known = {check.name for check in CHECKS} | {check.family for check in CHECKS}
    for name in names:
        if name not in known:
            raise InputError(f"there is no check '{name}'{nearest(name, known)}")
    return tuple(check for check in CHECKS if not names or check.name in names or check.family in names)
