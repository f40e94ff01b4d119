"""Sentences in the reader's language that may carry a record's own words, kept apart so that each is marked as what it is.

Fills catalogue templates in and formats what goes into them; recognises nothing and knows no sentence.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from npubench_reports import numbers
from npubench_reports.messages import Messages

Value = float | int | str | bool | None
#: Says a value that is a sentence of its own.
Nested = Callable[[str], "Said"]
_AGAINST = "against "
_EACH = "each "


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of text; ``foreign`` where it is the record's own words, English or a vendor's, and not the catalogue's."""

    text: str
    foreign: bool


@dataclass(frozen=True, slots=True)
class Said:
    """A text of parts; as a string it is all of them."""

    parts: tuple[Part, ...]

    def __str__(self) -> str:
        return "".join(part.text for part in self.parts)

    def __len__(self) -> int:
        return sum(len(part.text) for part in self.parts)

    @property
    def foreign(self) -> bool:
        """Whether nothing of it is in the reader's language."""
        return all(part.foreign for part in self.parts)

    def head(self, length: int) -> Said:
        """Return the beginning, of at most ``length`` characters."""
        kept, left = [], length
        for part in self.parts:
            kept.append(Part(part.text[: max(left, 0)], part.foreign))
            left -= len(part.text)
        return Said(tuple(part for part in kept if part.text))


def verbatim(text: str) -> Said:
    """Return a record's own words as they are."""
    return Said((Part(text, True),) if text else ())


def own(text: str) -> Said:
    """Return a text of the catalogue."""
    return Said((Part(text, False),) if text else ())


def join(texts: Iterable[Said], between: str) -> Said:
    """Return several texts as one."""
    parts: list[Part] = []
    for text in texts:
        parts += [*([Part(between, False)] if parts else []), *text.parts]
    return Said(tuple(parts))


def fields(template: str) -> set[str]:
    """Return the names that a template needs."""
    found = [(name, kind or "") for _, name, kind, _ in string.Formatter().parse(template) if name]
    return {name for name, _ in found} | {kind.removeprefix(_AGAINST) for _, kind in found if kind.startswith(_AGAINST)}


def compose(messages: Messages, key: str, values: Mapping[str, Value], nested: Nested = verbatim) -> Said:
    """Fill the template ``key`` in.

    A field without a kind, ``{words}``, is the record's own text. With one it is formatted: ``{n:number}``,
    ``{x:percent}``, ``{x:change}`` (a percentage with its sign), ``{x:against y}`` (with the digits that tell it from
    ``y``), ``{x:reason}`` (a sentence of its own), ``{x:items}`` (several of these, with commas),
    ``{x:own}`` (in the reader's language already), ``{x:difference}``; any other kind is a
    vocabulary of the catalogue, such as ``{x:phase}``, or several words of one, with commas: ``{x:each phase}``.
    """
    parts: list[Part] = []
    for literal, name, kind, _ in string.Formatter().parse(messages.texts[key]):
        parts.append(Part(literal, False))
        if name:
            parts += _fill(messages, values, name, kind or "", nested).parts
    return Said(tuple(part for part in parts if part.text))


def _fill(messages: Messages, values: Mapping[str, Value], name: str, kind: str, nested: Nested) -> Said:
    value = values[name]
    text = str(value)
    if not kind:
        return verbatim(text)
    if kind == "reason":
        return nested(text)
    if kind == "items":
        return join(map(nested, text.split(", ")), ", ")
    if kind == "own":
        return own(text)
    if kind == "difference":
        return own(messages.difference(text))
    if kind.startswith(_EACH):
        return join((own(messages.name(kind.removeprefix(_EACH), word)) for word in text.split(", ") if word), ", ")
    if kind in ("number", "percent", "change") or kind.startswith(_AGAINST):
        other = values[kind.removeprefix(_AGAINST)] if kind.startswith(_AGAINST) else None
        return own(_figure(value, kind, other, messages))
    word = text.lower() if isinstance(value, bool) else text
    return own(messages.name(kind, word)) if messages.has(f"{kind}.{word}") else verbatim(word)


def _figure(value: Value, kind: str, other: Value, messages: Messages) -> str:
    try:
        number = float(str(value).replace(",", ""))
        bound = float(str(other)) if other is not None else None
    except ValueError:
        return str(value)
    if kind == "percent":
        return numbers.percent(number, messages.locale)
    if kind == "change":
        return numbers.change(number, messages.locale)
    if bound is not None:
        return numbers.against(number, bound, messages.locale)
    return numbers.number(number, messages.locale)
