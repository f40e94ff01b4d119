"""The profile of operators that a plug-in gave, as it stands in a run's folder: bounded, checked, and nothing else believed."""

from __future__ import annotations

import json
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from npubench.contract.profile import OperatorTime

#: The file in a run's folder.
OPERATORS = "operators.json"

#: More operators than the largest graphs have once a runtime has fused them; with texts of this length the file stays below
#: the 16 MB that are read of any JSON document.
MOST_OPERATORS = 10_000
#: The longest name and kind that are kept, characters.
LONGEST_NAME, LONGEST_KIND = 200, 60
#: No sum of times is longer, ns (31 years), and no operator ran more often.
MOST_NS = 10**18
MOST_CALLS = 10**12
#: The longest reason that is kept, characters.
LONGEST_REASON = 1000
#: The largest file that is read, bytes.
_MOST_BYTES = 16 << 20

_PLACES = ("device", "host", "")


class ProfileError(ValueError):
    """There is no profile that can be used; the text says why, as half a sentence."""


@dataclass(frozen=True, slots=True)
class Profile:
    """Operators with their times over all requests of a profiling run.

    Args:
        samples: Samples in those requests.
        batch: Samples in each.
        operators: Every operator that ran.
    """

    samples: int
    batch: int
    operators: tuple[OperatorTime, ...]


def checked_operators(given: Any) -> tuple[OperatorTime, ...]:
    """Return what a plug-in gave as plain values: names are cut and freed of what cannot be printed.

    Raises:
        ProfileError: It is no sequence of operators with sane times; names the first that is not.
    """
    if isinstance(given, str | bytes | Mapping) or not isinstance(given, Sequence):
        raise _none(f"it is {type(given).__name__}, not a sequence of OperatorTime")
    if not given:
        raise _none("it names no operator")
    if len(given) > MOST_OPERATORS:
        raise _none(f"it names {len(given)} operators; at most {MOST_OPERATORS} are taken")
    return tuple(_checked(n, each) for n, each in enumerate(given))


def _none(what: str) -> ProfileError:
    return ProfileError(f"what the plug-in gave is no profile: {what}")


def _checked(n: int, each: Any) -> OperatorTime:
    if not isinstance(each, OperatorTime):
        raise _none(f"operator {n} is {type(each).__name__}, not OperatorTime")
    for what, text in (("name", each.name), ("kind", each.kind)):
        if not isinstance(text, str) or not text.strip():
            raise _none(f"operator {n} has the {what} {_short(text)}, which is not text")
    for what, value, least, most in (("nanoseconds", each.nanoseconds, 0, MOST_NS), ("calls", each.calls, 1, MOST_CALLS)):
        if type(value) is not int or not least <= value <= most:
            raise _none(f"operator {n} has {what} {_short(value)}, which is no whole number from {least} to {most}")
    if each.where not in _PLACES:
        raise _none(f"operator {n} has where {_short(each.where)}; it is 'device', 'host' or ''")
    return OperatorTime(
        printable(each.name, LONGEST_NAME), printable(each.kind, LONGEST_KIND), each.nanoseconds, each.calls, each.where
    )


def printable(text: str, most: int) -> str:
    """Return text that a terminal and a JSON file can hold, cut to ``most`` characters."""
    whole = "".join(c if c.isprintable() else " " for c in text)
    return whole if len(whole) <= most else whole[: most - 1] + "…"


def profile_json(profile: Profile) -> str:
    """Return what stands in :data:`OPERATORS`."""
    rows = [[each.name, each.kind, each.nanoseconds, each.calls, each.where] for each in profile.operators]
    return json.dumps({"samples": profile.samples, "batch": profile.batch, "operators": rows}, ensure_ascii=False)


def reason_json(reason: str) -> str:
    """Return what stands in :data:`OPERATORS` where there is no profile."""
    return json.dumps({"reason": printable(reason, LONGEST_REASON)}, ensure_ascii=False)


def read_profile(path: Path) -> Profile:
    """Read a file that :func:`profile_json` or :func:`reason_json` made, or somebody who would like it taken for one.

    Raises:
        ProfileError: It holds a reason, which is the text; or it is missing or damaged.
    """
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            raise ProfileError("the profile is damaged: no plain file")
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
        found = json.loads(data.decode("utf-8")) if len(data) <= _MOST_BYTES else None
    except FileNotFoundError as error:
        raise ProfileError("there is no profile of this run") from error
    except (OSError, ValueError, RecursionError) as error:
        if isinstance(error, ProfileError):
            raise
        raise ProfileError("the profile is damaged: it cannot be read as JSON") from error
    if isinstance(found, dict) and set(found) == {"reason"} and isinstance(found["reason"], str):
        raise ProfileError(printable(found["reason"], LONGEST_REASON) or "the profile is damaged: it gives no reason")
    return _profile(found)


def _profile(found: Any) -> Profile:
    if not isinstance(found, dict) or set(found) != {"samples", "batch", "operators"} or not isinstance(found["operators"], list):
        raise ProfileError("the profile is damaged: it lacks samples, batch or operators")
    for key in ("samples", "batch"):
        if type(found[key]) is not int or not 1 <= found[key] <= MOST_CALLS:
            raise ProfileError(f"the profile is damaged: {key} is {_short(found[key])}")
    rows = found["operators"]
    if not all(isinstance(row, list) and len(row) == 5 for row in rows):
        raise ProfileError("the profile is damaged: an operator is no row of five")
    return Profile(found["samples"], found["batch"], checked_operators([OperatorTime(*row) for row in rows]))


def _short(value: Any) -> str:
    """Return a value as it may stand in a sentence."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - a plug-in's object may raise in its own __repr__
        text = type(value).__name__
    return printable(text, 60)
