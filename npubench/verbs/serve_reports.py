"""The reports of a store as ``npubench serve`` shows them: made when asked for, kept until a record changes."""

from __future__ import annotations

import importlib
import inspect
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from npubench.contract.options import nearest
from npubench.errors import InputError
from npubench.plugins import REPORTS, disputed_entries, plugin_entries
from npubench.record.store import Entry
from npubench.report.comparison_document import build_comparison
from npubench.report.document import Document, Phrase, Text
from npubench.report.run_index import RunIndex
from npubench.report.served_page import Around, Field, Form, Link, ServedPage
from npubench.verbs.documents import PREFIX, known_formats
from npubench.verbs.report import compare_all
from npubench.verbs.serve_pages import HTML, Render, Reply, run_address

#: Report → the function that builds it.
BUILDERS: Mapping[str, str] = {
    "procurement": "npubench.report.procurement:build_procurement",
    "feedback": "npubench.report.feedback:build_feedback",
    "nightly": "npubench.report.nightly:build_nightly",
}
#: What formats are sent as; those that are no one file are left to the command.
KINDS: Mapping[str, str] = {
    "html": HTML,
    "pdf": "application/pdf",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "md": "text/markdown; charset=utf-8",
    "json": "application/json; charset=utf-8",
}
#: How many finished reports are kept.
KEPT = 8


class Reports:
    """Makes one report at a time, and keeps the last few for as long as no record of the store changes.

    Args:
        index: The store's runs.
    """

    def __init__(self, index: RunIndex) -> None:
        self._index = index
        self._lock = threading.Lock()
        self._made: dict[tuple[object, ...], bytes] = {}

    def comparison(self, query: Mapping[str, str], language: str) -> Reply:
        """Return the comparison of everything in the store, or of one suite, in the format that is asked for; HTML where none is.

        Raises:
            InputError: There is no run, no such baseline, or no such format.
        """
        wanted = _format(query)
        suite, baseline = query.get("suite", ""), query.get("baseline", "")

        def make() -> bytes:
            page, entries = compare_all(self._entries(suite), baseline, suite, "baseline ")
            return _render(build_comparison(page, entries), wanted, entries, language)

        return _reply("comparison", wanted, self._once(("compare", suite, baseline, wanted, language), make))

    def report(self, kind: str, query: Mapping[str, str], language: str) -> Reply:
        """Return a report in the format that is asked for by ``format``; HTML where none is.

        Raises:
            InputError: It is not there, or what is asked for cannot be made of this store.
        """
        wanted = _format(query)
        asked = {name: query[name] for name in ("reference", "target") if query.get(name)}

        def make() -> bytes:
            build = builder(kind)
            entries = self._entries()
            document = _build(build, entries, self._index.store.root.resolve().name, asked)
            return _render(document, wanted, entries, language)

        return _reply(kind, wanted, self._once((kind, wanted, language, *sorted(asked.items())), make))

    def _entries(self, suite: str = "") -> list[Entry]:
        entries, _ = self._index.store.read()
        found = [entry for entry in entries if not suite or entry.record.spec.suite == suite]
        if not found:
            raise InputError(
                f"there is no run of suite '{suite[:80]}' in this store" if suite else "there is no run in this store"
            )
        return found

    def _once(self, key: tuple[object, ...], make: Callable[[], bytes]) -> bytes:
        with self._lock:
            whole = (*key, self._index.fingerprint())
            if whole not in self._made:
                made = make()
                while len(self._made) >= KEPT:
                    del self._made[next(iter(self._made))]
                self._made[whole] = made
            return self._made[whole]


def _around(entries: Iterable[Entry], language: str) -> Around:
    """Return the ways that lead on from a report in ``language``: to the store's list, to other reports, and to every run."""
    end = f"?lang={language}"
    trail = (Link(Phrase("serve.link.store"), f"/{end}"), Link(Phrase("serve.link.reports"), f"/reports{end}"))
    runs = {(e.record.system.system_id, e.record.run_id): run_address(e.folder.parent.name, e.folder.name) + end for e in entries}
    return Around(trail, runs)


def renderer(name: str) -> Callable[..., Any]:
    """Return what the installed renderer ``name`` renders with.

    Raises:
        InputError: There is none, or two claim the name, or it cannot be imported.
    """
    if name in disputed_entries(REPORTS):
        raise InputError(f"renderer {disputed_entries(REPORTS)[name]}")
    entry = plugin_entries(REPORTS).get(name)
    if entry is None:
        raise InputError(f"no renderer '{name}' is installed; run: pip install 'npubench[standard]'")
    module, _, attribute = entry.partition(":")
    try:
        found: Callable[..., Any] = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise InputError(f"the renderer '{name}' cannot be used: {error}; run: pip install 'npubench[standard]'") from error
    return found


def builder(kind: str) -> Callable[..., Any]:
    """Return the function that builds the report ``kind``.

    Raises:
        InputError: There is no such report here.
    """
    module, _, name = BUILDERS.get(kind, "").partition(":")
    if not module:
        raise InputError(f"report '{kind[:40]}': no such report{nearest(kind, BUILDERS)}")
    try:
        found: Callable[..., Any] = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise InputError(f"the report '{kind}' is not part of this npubench") from error
    return found


def _format(query: Mapping[str, str]) -> str:
    """Return the format that is asked for, HTML where none is."""
    wanted = query.get("format") or "html"
    if wanted not in KINDS or wanted not in known_formats():
        raise InputError(f"format '{wanted[:40]}': not shown here; there are: {', '.join(shown_formats())}")
    return wanted


def _render(document: Document, wanted: str, entries: Sequence[Entry], language: str) -> bytes:
    """Render a document; as a page its runs lead to theirs."""
    around = {"around": _around(entries, language)} if wanted == "html" else {}
    rendered: bytes = renderer(PREFIX + wanted)(document, language=language, **around)
    return rendered


def _reply(kind: str, wanted: str, body: bytes) -> Reply:
    """Return a report as a page, or as a file to keep."""
    return Reply(200, KINDS[wanted], body, name="" if wanted == "html" else f"{kind}.{wanted}")


def shown_formats() -> tuple[str, ...]:
    """Return the formats that a report can be had in here."""
    return tuple(name for name in known_formats() if name in KINDS)


def reports_page(index: RunIndex, render: Render) -> Reply:
    """Return the page that reports are asked for on."""
    targets = sorted({header.target for header in map(index.header, index.folders()) if header.target})
    formats = tuple((name, Text(name.upper())) for name in sorted(shown_formats(), key=lambda name: name != "html"))
    form_of = Field("format", Phrase("serve.field.format"), "html", formats)
    targets_known = tuple((name, Text(name)) for name in targets)
    any_target: tuple[tuple[str, Phrase | Text], ...] = (("", Phrase("serve.none-chosen")), *targets_known)
    forms = [
        _form("procurement", Field("reference", Phrase("serve.field.reference"), "", any_target), form_of),
        _form("feedback", Field("target", Phrase("serve.field.target"), targets[0] if targets else "", targets_known), form_of),
        _form("nightly", form_of),
    ]
    page = ServedPage(
        title=Phrase("serve.reports"),
        address="/reports",
        trail=(Link(Phrase("serve.link.store"), "/"),),
        forms=tuple(form for form in forms if form is not None),
        links=(Link(Phrase("serve.link.comparison"), "/compare"),),
    )
    return Reply(200, HTML, render(page))


def _form(kind: str, *fields: Field) -> Form | None:
    try:
        builder(kind)
    except InputError:
        return None
    note = Phrase(f"serve.about.{kind}")
    return Form(f"/report/{kind}", Phrase(f"document.kind.{kind}"), Phrase("serve.make"), fields, note)


def _build(build: Callable[..., Any], entries: list[Entry], subject: str, asked: Mapping[str, str]) -> Any:
    """Build a report with what it takes of what is asked for."""
    takes = inspect.signature(build).parameters
    if "target" in takes and "target" not in asked:
        raise InputError("this report is of one target: choose it on the page of reports")
    given = {name: value for name, value in {"subject": subject, **asked}.items() if name in takes}
    return build(entries, **given)
