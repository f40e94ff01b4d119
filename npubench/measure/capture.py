"""Capture what a machine is, fact by fact, as the kernel shows it. Standard library only; ids are those of ``contract.facts``.

As in :mod:`npubench.measure.surroundings`, everything is read below ``root``, and what cannot be read is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from npubench.contract.facts import fact_of
from npubench.measure import capture_cpu, capture_host
from npubench.measure.surroundings import ROOT

#: No fact is longer; a record is no place for a log, characters.
_LONGEST = 2000

#: A name that says its value is a secret.
_SECRET = re.compile(r"key|token|secret|passw|pwd|credential|auth(?!_sock)", re.IGNORECASE)
#: User and password inside an address.
_LOGIN = re.compile(r"(\w://)[^/@\s]+@")
#: What stands in a secret's place.
WITHHELD = "(withheld)"


@dataclass(frozen=True, slots=True)
class Captured:
    """Facts by id; stable ones change only when somebody changes the machine, volatile ones by themselves."""

    stable: Mapping[str, str] = field(default_factory=dict)
    volatile: Mapping[str, str] = field(default_factory=dict)


def capture_machine(root: Path = ROOT) -> Captured:
    """Capture the host."""
    facts = {**capture_host.facts(root), **capture_cpu.facts(root)}
    if line := facts.get("kernel-command-line"):
        facts["kernel-command-line"] = without_secrets(line)
    return sort_facts(facts.items())


def sort_facts(facts: Iterable[tuple[str, str]]) -> Captured:
    """Put facts apart by what the table says of them; what is empty or in no table is left out."""
    stable: dict[str, str] = {}
    volatile: dict[str, str] = {}
    for key, value in facts:
        text = " ".join(str(value).split())[:_LONGEST]
        fact = fact_of(key)
        if text and fact is not None:
            (volatile if fact.volatile else stable)[key] = text
    return Captured(stable, volatile)


def is_secret(name: str) -> bool:
    """Return whether a variable of this name holds a secret: KEY, TOKEN, SECRET, PASSWORD and the like."""
    return _SECRET.search(name) is not None


def telling_environment(environment: Mapping[str, str], prefixes: tuple[str, ...]) -> dict[str, str]:
    """Return the variables that begin with one of ``prefixes``, without secrets, by name; a login in an address is withheld."""
    return {
        name: _LOGIN.sub(rf"\1{WITHHELD}@", value)
        for name, value in sorted(environment.items())
        if name.startswith(prefixes) and not is_secret(name)
    }


def without_secrets(line: str) -> str:
    """Return a command line in which the values of secrets are withheld: ``name=value``, and the word after ``--name``."""
    words: list[str] = []
    follows = False
    for word in line.split():
        name, sign, _ = word.partition("=")
        if follows and not word.startswith("-"):
            words.append(WITHHELD)
        elif sign and is_secret(name):
            words.append(f"{name}={WITHHELD}")
        else:
            words.append(_LOGIN.sub(rf"\1{WITHHELD}@", word))
        follows = not sign and word.startswith("--") and is_secret(word)
    return " ".join(words)
