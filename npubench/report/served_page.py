"""A page of ``npubench serve`` as data: a document's parts, and the links and forms that lead on. Free of words and markup."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from npubench.analyze.finding import Finding
from npubench.report.document import Phrase, Section, Text


@dataclass(frozen=True, slots=True)
class Link:
    """A way on: what it is called and its address on this server; ``current`` is the place one is at."""

    label: Phrase | Text
    address: str
    current: bool = False


@dataclass(frozen=True, slots=True)
class Field:
    """One thing that a form asks for: a choice where there are ``choices`` (value and label), else free text."""

    name: str
    label: Phrase
    value: str = ""
    choices: tuple[tuple[str, Phrase | Text], ...] = ()
    required: bool = False


@dataclass(frozen=True, slots=True)
class Form:
    """A form that is sent as a plain GET to ``address``."""

    address: str
    heading: Phrase
    button: Phrase
    fields: tuple[Field, ...]
    note: Phrase | None = None


@dataclass(frozen=True, slots=True)
class Around:
    """Where a report stands that a server shows: the pages above it, and the page of every run by (system, run)."""

    trail: tuple[Link, ...]
    runs: Mapping[tuple[str, str], str]


@dataclass(frozen=True, slots=True)
class ServedPage:
    """A page.

    Args:
        title: What it is of.
        address: Its path on this server.
        query: Its parameters but the language.
        trail: The pages above it, from the store's list on.
        banners: What must be seen before anything else.
        sections: What it says.
        forms: What can be asked for, above the sections.
        links: Where it leads on.
        pages: The pages of a long table: first, before, this one, next, last.
        findings: The findings of a run, told by their rules.
        log: The last lines of a log, as they are.
        runs: ``system/run`` → the address of the run's page.
    """

    title: Phrase | Text
    address: str
    query: Mapping[str, str] = field(default_factory=dict)
    trail: tuple[Link, ...] = ()
    banners: tuple[Phrase, ...] = ()
    sections: tuple[Section, ...] = ()
    forms: tuple[Form, ...] = ()
    links: tuple[Link, ...] = ()
    pages: tuple[Link, ...] = ()
    findings: tuple[Finding, ...] | None = None
    log: str | None = None
    runs: Mapping[str, str] = field(default_factory=dict)
