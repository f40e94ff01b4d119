"""What ``npubench serve`` shows at which address: the store's list, a run, its queries, its log. Writes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote, unquote, urlencode

from npubench.contract.runspec import Scenario
from npubench.errors import RecordError
from npubench.plan.grades import GRADES
from npubench.record.store import Entry, read_record
from npubench.report.document import Cell, Column, Grid, Mark, Notice, Phrase, Row, Section, Text, Titles
from npubench.report.frame import banners
from npubench.report.run_index import RECORD, STATUSES, Header, RunIndex
from npubench.report.run_page import run_sections, status_cell
from npubench.report.run_traces import A_PAGE, TRACE, slowest_queries
from npubench.report.served_page import Field, Form, Link, ServedPage

#: Runs on one page of the list.
RUNS = 50
#: What the list can be narrowed by; each is a parameter of its address.
FILTERS = ("target", "workload", "scenario", "status", "grade")
#: The end of a log that is shown, bytes.
LOG_BYTES = 64 << 10
LOG = "worker.log"
HTML, JSON = "text/html; charset=utf-8", "application/json; charset=utf-8"
#: Renders a page into the reader's language.
Render = Callable[[ServedPage], bytes]


@dataclass(frozen=True, slots=True)
class Reply:
    """What goes back: HTTP status, kind, body; ``name`` where it is a file to be kept and not shown."""

    status: int
    kind: str
    body: bytes
    name: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


def list_page(index: RunIndex, query: Mapping[str, str], render: Render) -> Reply:
    """Return one page of the store's runs, the latest first; narrowed by the parameters of :data:`FILTERS`.

    Without a filter only the records of that page are read, so that a store of thousands answers at once.
    """
    wanted = {name: query[name] for name in FILTERS if query.get(name)}
    folders = index.folders()
    if wanted:
        headers = [header for header in map(index.header, folders) if _fits(header, wanted)]
        count = len(headers)
    else:
        headers, count = [], len(folders)
    page, pages = _page_of(query, count, RUNS)
    part = slice((page - 1) * RUNS, page * RUNS)
    shown = headers[part] if wanted else [index.header(folder) for folder in folders[part]]
    key = "serve.none" if not folders else "serve.none-fits" if not count else ""
    blocks = (Notice("note", Phrase(key)),) if key else (_runs(shown, count),)
    return _html(
        render(
            ServedPage(
                title=Phrase("serve.title", {"store": index.store.root.resolve().name}),
                address="/",
                query={**wanted, **({"page": str(page)} if page > 1 else {})},
                sections=(Section("runs", Phrase("serve.runs"), blocks),),
                forms=(_filter_form(index, wanted),),
                links=(Link(Phrase("serve.link.comparison"), "/compare"), Link(Phrase("serve.link.reports"), "/reports")),
                pages=_pages("/", wanted, page, pages),
                runs={header.key: run_address(header.system, header.run_id) for header in shown},
            )
        )
    )


def _fits(header: Header, wanted: Mapping[str, str]) -> bool:
    return all(getattr(header, name) == value for name, value in wanted.items())


def _runs(headers: Sequence[Header], count: int) -> Grid:
    names = ("run", "started", "target", "workload", "scenario", "precision", "grade", "status", "headline", "system")
    return Grid(
        "runs",
        Phrase("serve.caption.runs", {"count": count}),
        tuple(Column(Phrase(f"serve.column.{name}"), name == "headline") for name in names),
        tuple(map(_run_row, headers)),
    )


def _run_row(header: Header) -> Row:
    heading = Cell(Text(header.run_id), (header.key,))
    if header.problem:
        problem = Mark("missing", Phrase("serve.unreadable"))
        empty = (Cell(None),) * 6
        return Row(heading, (*empty, Cell(problem, remark=_own_words(header.problem)), Cell(None), Cell(Text(header.system))))
    simulated = Phrase("document.mark.simulated") if header.simulated else None
    return Row(
        heading,
        (
            Cell(Text(header.started_at[:16].replace("T", " "))),
            Cell(Text(header.target), remark=simulated),
            Cell(Titles(_brief(header.title), header.workload)),
            Cell(Phrase(f"scenario.{header.scenario}")),
            Cell(Phrase(f"precision.{header.precision}") if header.precision else None),
            Cell(Phrase(f"grade.{header.grade}") if header.grade in GRADES else Text(header.grade)),
            status_cell(header.status),
            Cell(header.headline),
            Cell(Text(header.system)),
        ),
    )


def _brief(title: Mapping[str, str]) -> dict[str, str]:
    """Return a workload's title without what stands behind its colon or in its brackets."""
    return {language: text.partition(": ")[0].partition(" (")[0] for language, text in title.items()}


def _own_words(text: str) -> Phrase:
    return Phrase("serve.words", {"words": text[:300]})


def _filter_form(index: RunIndex, wanted: Mapping[str, str]) -> Form:
    known = index.known()
    vocabulary: dict[str, list[tuple[str, Phrase | Text]]] = {
        "target": [(name, Text(name)) for name in sorted({h.target for h in known if h.target} | _one(wanted, "target"))],
        "workload": [(name, Text(name)) for name in sorted({h.workload for h in known if h.workload} | _one(wanted, "workload"))],
        "scenario": [(each.value, Phrase(f"scenario.{each.value}")) for each in Scenario],
        "status": [(each, Phrase(f"status.{each}")) for each in STATUSES],
        "grade": [(each, Phrase(f"grade.{each}")) for each in GRADES],
    }
    fields = tuple(
        Field(name, Phrase(f"serve.column.{name}"), wanted.get(name, ""), (("", Phrase("serve.any")), *vocabulary[name]))
        for name in FILTERS
    )
    return Form("/", Phrase("serve.filter"), Phrase("serve.filter.apply"), fields)


def _one(wanted: Mapping[str, str], name: str) -> set[str]:
    return {wanted[name]} if name in wanted else set()


def run_page(index: RunIndex, system: str, run_id: str, render: Render) -> Reply | None:
    """Return everything of one run; ``None`` where there is no such run. A damaged record is said to be damaged."""
    folder = index.find(system, run_id)
    if folder is None:
        return None
    address = run_address(system, run_id)
    trail = (Link(Phrase("serve.link.store"), "/"),)
    raw = Link(Phrase("serve.link.record"), f"{address}/record.json")
    log = Link(Phrase("serve.link.log"), f"{address}/log")
    try:
        record = read_record(folder / RECORD)
    except RecordError as error:
        words = str(error).replace(f"{folder / RECORD}: ", "")
        notice = Notice("stop", Phrase("serve.damaged", {"file": RECORD, "why": words}))
        section = Section("record", Phrase("serve.unreadable"), (notice,))
        page = ServedPage(Text(run_id), address, trail=trail, sections=(section,), links=(raw, log))
        return _html(render(page))
    # Where it lies is what it is called by: a record that was copied about keeps its own id inside.
    entry = Entry(folder, record)
    queries = Link(Phrase("serve.link.queries"), f"{address}/queries")
    target = Link(Phrase("serve.link.same-target"), "/?" + urlencode({"target": record.spec.target.name}, errors="replace"))
    workload = Link(Phrase("serve.link.same-workload"), "/?" + urlencode({"workload": record.spec.workload}, errors="replace"))
    return _html(
        render(
            ServedPage(
                title=Text(run_id),
                address=address,
                trail=trail,
                banners=banners([record]),
                sections=run_sections(entry),
                links=((queries,) if (folder / TRACE).exists() else ()) + (log, raw, target, workload),
                findings=record.findings,
                log=record.provenance.log_tail or None,
            )
        )
    )


def queries_page(index: RunIndex, system: str, run_id: str, query: Mapping[str, str], render: Render) -> Reply | None:
    """Return one page of a run's slowest queries; ``None`` where there is no such run."""
    folder = index.find(system, run_id)
    if folder is None:
        return None
    address = run_address(system, run_id)
    pages: tuple[Link, ...] = ()
    blocks: tuple[Grid | Notice, ...]
    try:
        entry = Entry(folder, read_record(folder / RECORD))
        page = _number(query)
        grid, count = slowest_queries(entry, page)
        if count and not grid.rows:
            page = max(1, -(-count // A_PAGE))
            grid, count = slowest_queries(entry, page)
        blocks = (grid,)
        pages = _pages(f"{address}/queries", {}, page, max(1, -(-count // A_PAGE)))
        query = {"page": str(page)} if page > 1 else {}
    except (RecordError, OSError, ValueError, OverflowError) as error:
        query = {}
        words = error.strerror if isinstance(error, OSError) and error.strerror else str(error).replace(f"{folder}/", "")
        blocks = (Notice("stop", Phrase("serve.damaged", {"file": TRACE, "why": words})),)
    return _html(
        render(
            ServedPage(
                title=Phrase("serve.queries.title", {"run": run_id}),
                address=f"{address}/queries",
                query=query,
                trail=(Link(Phrase("serve.link.store"), "/"), Link(Text(run_id), address)),
                sections=(Section("queries", Phrase("serve.queries"), blocks),),
                pages=pages,
            )
        )
    )


def log_page(index: RunIndex, system: str, run_id: str, render: Render) -> Reply | None:
    """Return the end of a run's log; ``None`` where there is no such run."""
    folder = index.find(system, run_id)
    if folder is None:
        return None
    address, path = run_address(system, run_id), folder / LOG
    text = ""
    if path.is_file() and index.inside(path):
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - LOG_BYTES))
            text = file.read(LOG_BYTES).decode("utf-8", "replace")
    empty = (Section("log-empty", Phrase("serve.log"), (Notice("note", Phrase("serve.no-log")),)),)
    return _html(
        render(
            ServedPage(
                title=Phrase("serve.log.title", {"run": run_id}),
                address=f"{address}/log",
                trail=(Link(Phrase("serve.link.store"), "/"), Link(Text(run_id), address)),
                sections=() if text.strip() else empty,
                log=text if text.strip() else None,
            )
        )
    )


def record_reply(index: RunIndex, system: str, run_id: str) -> Reply | None:
    """Return a run's ``record.json`` byte for byte as it lies on disk; ``None`` where there is no such run."""
    folder = index.find(system, run_id)
    return None if folder is None else Reply(200, JSON, (folder / RECORD).read_bytes())


def message_page(status: int, key: str, address: str, values: Mapping[str, str], render: Render) -> Reply:
    """Return a page that says why there is nothing to see; ``key`` is the sentence in the catalogue."""
    section = Section("message", Phrase("serve.message"), (Notice("note" if status == 404 else "warning", Phrase(key, values)),))
    trail = (Link(Phrase("serve.link.store"), "/"),)
    page = ServedPage(Phrase(f"serve.status.{status}"), address, trail=trail, sections=(section,))
    return Reply(status, HTML, render(page))


def run_address(system: str, run_id: str) -> str:
    """Return the address of a run's page."""
    return "/run/" + "/".join(quote(name, safe="", errors="surrogateescape") for name in (system, run_id))


def path_parts(path: str) -> tuple[str, ...]:
    """Return an address's parts, each decoded by itself, so that an encoded slash never makes a path."""
    return tuple(unquote(part, errors="surrogateescape") for part in path.split("/") if part)


def _html(body: bytes) -> Reply:
    return Reply(200, HTML, body)


def _number(query: Mapping[str, str]) -> int:
    text = query.get("page", "")
    return max(1, int(text)) if text.isascii() and text.isdigit() and len(text) < 9 else 1


def _page_of(query: Mapping[str, str], count: int, size: int) -> tuple[int, int]:
    pages = max(1, -(-count // size))
    return min(_number(query), pages), pages


def _pages(address: str, query: Mapping[str, str], page: int, pages: int) -> tuple[Link, ...]:
    """Return the links of a long table; none where it has one page."""
    if pages == 1:
        return ()

    def to(number: int) -> str:
        return address + "?" + urlencode({**query, "page": str(number)}, errors="replace")

    def each() -> Iterator[Link]:
        if page > 1:
            yield Link(Phrase("serve.page.first"), to(1))
            yield Link(Phrase("serve.page.before"), to(page - 1))
        yield Link(Phrase("serve.page.this", {"page": page, "pages": pages}), to(page), current=True)
        if page < pages:
            yield Link(Phrase("serve.page.next"), to(page + 1))
            yield Link(Phrase("serve.page.last"), to(pages))

    return tuple(each())
