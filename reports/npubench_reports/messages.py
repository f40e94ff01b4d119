"""Words in the reader's language, from the catalogues beside this module; holds no word of its own.

Message ids are stable keys such as ``status.ok`` or ``finding.duration.advice``, so that the ids the kernel emits lead
to their translation without a table in between. Catalogues are read as text at run time: a translator edits a ``.po``
file and sees the result, nothing is compiled.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from babel.core import Locale
from babel.messages.pofile import read_po

from npubench.errors import InputError


@dataclass(frozen=True, slots=True, eq=False)
class Messages:
    """One language's catalogue: message id → text. Equal to itself alone, so that what it says can be kept by it."""

    language: str
    locale: Locale
    texts: Mapping[str, str]

    def __call__(self, key: str, /, **values: object) -> str:
        """Return the text of ``key`` with ``values`` filled in; the key itself where there is none."""
        text = self.texts.get(key)
        if text is None:
            return key
        return text.format(**values) if values else text

    def has(self, key: str) -> bool:
        """Tell whether the catalogue knows ``key``."""
        return key in self.texts

    def name(self, kind: str, identifier: str) -> str:
        """Return what ``identifier`` of ``kind`` is called, such as ``("status", "ok")``.

        An id that is newer than the catalogue, or a vendor's own, stands for itself: it stays visible.
        """
        return self.texts.get(f"{kind}.{identifier}", identifier)

    def of(self, texts: Mapping[str, str], fallback: str) -> str:
        """Return the text in this language out of a workload's ``texts``, else the English one, else ``fallback``."""
        return texts.get(self.language) or texts.get("en") or next(iter(texts.values()), "") or fallback

    def difference(self, what: str) -> str:
        """Return what a difference is called; ``package:numpy`` keeps the name behind its kind."""
        kind, colon, rest = what.partition(":")
        if not colon or not self.has(f"difference.{kind}:"):
            return self.name("difference", what)
        # Batch and requests in flight differ from load to load: "doc-orientation single-stream".
        workload, _, scenario = rest.rpartition(" ")
        if workload and self.has(f"scenario.{scenario}"):
            rest = f"{workload} · {self.name('scenario', scenario)}"
        return self(f"difference.{kind}:", name=self.name(kind, rest))


def languages() -> tuple[str, ...]:
    """Return the languages there are catalogues for."""
    return tuple(sorted({name.partition(".")[0] for name in _catalogues()}))


def _catalogues() -> list[str]:
    """Return the catalogues' file names: ``ko.po``, and ``ko.<part>.po`` for the words of one kind of report."""
    return sorted(entry.name for entry in (files(__package__) / "catalogues").iterdir() if entry.name.endswith(".po"))


@cache
def load(language: str) -> Messages:
    """Read the catalogue of ``language``.

    Raises:
        InputError: There is no such catalogue; the text names those there are.
    """
    known = languages()
    if language not in known:
        raise InputError(f"no report catalogue for language '{language}'; there are: {', '.join(known)}")
    texts: dict[str, str] = {}
    for name in _catalogues():
        if name.partition(".")[0] == language:
            with (files(__package__) / "catalogues" / name).open("rb") as file:
                catalogue = read_po(file, locale=language, abort_invalid=True)
            texts |= {str(message.id): str(message.string) for message in catalogue if message.id and message.string}
    return Messages(language=language, locale=Locale.parse(language), texts=texts)
