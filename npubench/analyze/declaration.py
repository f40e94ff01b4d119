"""Hold what the operator declares of a machine against what was captured of it. Pure functions.

A declared key that is a fact's id is compared; every other key is the operator's own and stays as it is. A fact that was
not captured contradicts nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from npubench.analyze.finding import Finding
from npubench.contract.facts import fact_of

#: Captured memory may be this much below what is declared: firmware and kernel keep a part, up to a tenth on small machines.
_RESERVED = 0.12
#: And quantities may differ by this much: 3.7 GHz is declared of 3,693 MHz.
_ROUNDED = 0.02

#: Unit → its size in the base unit of its kind; the kinds are bytes, Hz, W, transfers/s.
_UNITS: Mapping[str, tuple[str, float]] = {
    **{f"{prefix}ib": ("B", 2.0**power) for prefix, power in (("k", 10), ("m", 20), ("g", 30), ("t", 40))},
    **{f"{prefix}b": ("B", 10.0**power) for prefix, power in (("k", 3), ("m", 6), ("g", 9), ("t", 12))},
    **{f"{prefix}hz": ("Hz", 10.0**power) for prefix, power in (("", 0), ("k", 3), ("m", 6), ("g", 9))},
    **{f"{prefix}w": ("W", 10.0**power) for prefix, power in (("m", -3), ("", 0), ("k", 3))},
    **{f"{prefix}t/s": ("T/s", 10.0**power) for prefix, power in (("m", 6), ("g", 9))},
}
_QUANTITY = re.compile(r"([\d,]+(?:\.\d+)?)\s*([a-z/]*)", re.IGNORECASE)


def compare_declared(declared: Mapping[str, str], captured: Mapping[str, str], grade: str) -> Iterator[Finding]:
    """Yield a finding for every declared fact that the machine contradicts.

    Args:
        declared: Of the host file.
        captured: The stable facts by id.
        grade: Of the run; at grade official a contradiction makes it invalid.
    """
    for key, said in declared.items():
        seen = captured.get(key)
        if fact_of(key) is None or seen is None or agrees(said, seen):
            continue
        yield Finding(
            "declaration-differs",
            "invalid" if grade == "official" else "warning",
            f"{key} is {seen}",
            f"{said}, as the host file declares",
            "Correct the declaration in the host file, or find out what became of the machine.",
            {"fact": key, "seen": seen, "declared": said},
        )


def agrees(declared: str, captured: str) -> bool:
    """Return whether two texts say the same of a machine.

    Quantities are compared as such: ``"64 GB"`` and ``"62.7 GiB"`` of memory agree, ``"512 GiB"`` and ``"62.7 GiB"`` do not.
    Other texts agree if every word of the shorter one is in the longer one, in whatever case and order.
    """
    one, other = _quantity(declared), _quantity(captured)
    if one is not None and other is not None and one[0] == other[0]:
        return _alike(*one, other[1], re.search(r"\d\s*[kmgt]b", declared, re.IGNORECASE) is not None)
    words, found = _words(declared), _words(captured)
    return bool(words) and bool(found) and (words <= found or found <= words)


def _alike(kind: str, said: float, seen: float, decimal: bool) -> bool:
    """Compare two quantities; who writes GB of memory mostly means GiB."""
    meant = [said, said * (2**30 / 10**9)] if kind == "B" and decimal else [said]
    below = _RESERVED if kind == "B" else _ROUNDED
    return any(each * (1 - below) <= seen <= each * (1 + _ROUNDED) for each in meant)


def _quantity(text: str) -> tuple[str, float] | None:
    """Return kind and amount in the kind's base unit; ``None`` where the text is no single number."""
    matched = _QUANTITY.fullmatch(text.strip())
    if matched is None or not re.search(r"\d", matched[1]):
        return None
    kind, size = _UNITS.get(matched[2].lower(), (matched[2].lower(), 1.0))
    return kind, float(matched[1].replace(",", "")) * size


def _words(text: str) -> set[str]:
    return set(re.findall(r"[\w.]+", text.lower()))
