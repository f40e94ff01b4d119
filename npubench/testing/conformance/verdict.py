"""A check, what one may find, and the rule of which checks are left out when an earlier one fails."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from npubench.measure.events import LONGEST_TEXT, words

if TYPE_CHECKING:
    from npubench.testing.conformance.subject import Subject

PASSED, FAILED, NOTED, SKIPPED = "passed", "failed", "noted", "skipped"
#: What a check can end with; ``noted`` is no fault, but the plug-in's author and users should know.
STATUSES = (PASSED, FAILED, NOTED, SKIPPED)

#: What a check may need → what must have been established before, the need itself included.
NEEDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "interpreter": (),
        "plugin": ("plugin",),
        "device": ("plugin", "device"),
        "sensors": ("plugin", "device", "sensors"),
        "artefact": ("plugin", "device", "artefact"),
        "executor": ("plugin", "device", "artefact", "executor"),
    }
)

#: How long a check may take unless it says otherwise, s.
DEADLINE_S = 120.0


class Broken(Exception):  # noqa: N818 - a verdict, raised by a check
    """The check fails; the text is what was seen."""


class Noted(Exception):  # noqa: N818 - a verdict, raised by a check
    """The check holds, but what was seen is worth saying."""


class NotApplicable(Exception):  # noqa: N818 - a verdict, raised by a check
    """There is nothing to check; the text says why."""


class Missing(NotApplicable):
    """What the check needs is not there, such as a device; ``need`` is one of :data:`NEEDS`."""

    def __init__(self, need: str, reason: str) -> None:
        super().__init__(reason)
        self.need = need


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must be true of a plug-in.

    Args:
        name: ``family/what``, such as ``"answers/determinism"``.
        expected: What should be, in one sentence.
        advice: What to do where it is not.
        needs: One of :data:`NEEDS`.
        look: Looks and returns what was seen; raises :class:`Broken`, :class:`Noted` or :class:`NotApplicable`.
        gives: The need that is established once this check has not failed; "" for most.
        fresh: Whether it wants a process in which no executor has been open.
        deadline_s: How long it may take before it counts as hung, s.
    """

    name: str
    expected: str
    advice: str
    needs: str
    look: Callable[[Subject], str]
    gives: str = ""
    fresh: bool = False
    deadline_s: float = DEADLINE_S

    @property
    def family(self) -> str:
        """The part of the name before the slash."""
        return self.name.partition("/")[0]


@dataclass(frozen=True, slots=True)
class Result:
    """What a check found.

    Args:
        name: The check's.
        status: One of :data:`STATUSES`.
        seen: What was seen; for a skipped check why.
        seconds: How long it took.
        missing: For a skipped check what it lacked, one of :data:`NEEDS`; "" where it does not concern this plug-in.
    """

    name: str
    status: str
    seen: str
    seconds: float = 0.0
    missing: str = ""


def look_at(check: Check, subject: Subject) -> Result:
    """Carry a check out in this process; whatever the plug-in raises fails it, with its words."""
    begun = time.monotonic()
    missing = ""
    try:
        status, seen = PASSED, check.look(subject)
    except Broken as verdict:
        status, seen = FAILED, str(verdict)
    except Noted as verdict:
        status, seen = NOTED, str(verdict)
    except Missing as verdict:
        status, seen, missing = SKIPPED, str(verdict), verdict.need
    except NotApplicable as verdict:
        status, seen = SKIPPED, str(verdict)
    except BaseException as error:  # noqa: BLE001 - a plug-in may raise anything, SystemExit included
        status, seen = FAILED, f"it raises {words(error)}"
    return Result(check.name, status, seen[:LONGEST_TEXT], time.monotonic() - begun, missing)


def walk(checks: Sequence[Check], ask: Callable[[Check], Result]) -> Iterator[Result]:
    """Carry checks out in order by ``ask``; what needs something that an earlier check found wanting is skipped."""
    lost: dict[str, str] = {}
    for check in checks:
        need = next((need for need in NEEDS[check.needs] if need in lost), None)
        result = Result(check.name, SKIPPED, lost[need], missing=need) if need else ask(check)
        if check.gives and check.gives not in lost and result.status in (FAILED, SKIPPED) and not result.missing:
            lost[check.gives] = f"{check.name} failed" if result.status == FAILED else result.seen
        yield result
