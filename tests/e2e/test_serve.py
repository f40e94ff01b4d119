"""``npubench serve`` over a real loopback socket: what it shows, what it refuses, and what it looks like in a browser."""

from __future__ import annotations

import contextlib
import html
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from npubench.analyze.finding import Finding
from npubench.contract.runspec import Scenario
from npubench.errors import InputError, StoreError
from npubench.record.schema import PhaseTime
from npubench.record.store import Store
from npubench.verbs import serve_reports
from npubench.verbs.serve import Handler, Site, is_loopback, open_server

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
AXE = Path(os.environ.get("NPUBENCH_AXE", "no-axe"))
EVIL = "<script>boom()</script>\"'><img src=x onerror=boom()>"
RUN = "run-0000"


class Answer(NamedTuple):
    status: int
    headers: Any
    text: str


class Served(NamedTuple):
    root: Path
    port: int

    def ask(self, target: str, method: str = "GET", **headers: str) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        with contextlib.closing(connection):
            connection.request(method, target, headers=headers)
            reply = connection.getresponse()
            return Answer(reply.status, reply.headers, reply.read().decode("utf-8"))

    def raw(self, request: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as connection:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            found = b""
            while block := connection.recv(65536):
                found += block
            return found


@contextlib.contextmanager
def serving(root: Path) -> Iterator[Served]:
    server = open_server(Site(root), "127.0.0.1", 0)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield Served(root, int(server.server_address[1]))
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def root(
    tmp_path_factory: pytest.TempPathFactory,
    make_spec: Callable[..., Any],
    make_trace: Callable[..., Any],
    make_record: Callable[..., Any],
    publish: Callable[..., Any],
) -> Path:
    """A store: 60 good runs, one offline, one failed with a hostile name, a damaged record, a damaged trace."""
    folder = tmp_path_factory.mktemp("serve") / "밤 store"
    store = Store(folder)
    latencies = np.linspace(1e6, 9e6, 120).astype(np.int64)
    for n in range(60):
        trace = make_trace(latencies + n)
        phases = (PhaseTime(phase="measure", start_ns=trace.start_ns, end_ns=trace.end_ns),)
        found = (Finding("duration", "warning", "0.5 s measured", "1 s", "Measure longer."),)
        spec = make_spec(run_id=f"run-{n:04d}")
        publish(store, make_record(spec, trace, phases=phases, findings=found), trace)
    whole = make_trace([9_000_000], per_query=40, service_ns=1_000_000)
    publish(store, make_record(make_spec(Scenario.OFFLINE, run_id="whole"), whole), whole)
    evil = make_spec(run_id="evil", target={"name": EVIL})
    evil_record = make_record(evil, status="failed", reason=f"because {EVIL}")
    log = evil_record.provenance.model_copy(update={"log_tail": EVIL})
    publish(store, evil_record.model_copy(update={"provenance": log}))
    broken = publish(store, make_record(make_spec(run_id="broken"), make_trace(latencies)), make_trace(latencies))
    (broken.folder / "trace.npz").write_bytes(b"PK\x03\x04 no archive")
    torn = publish(store, make_record(make_spec(run_id="torn"), make_trace(latencies)))
    text = (torn.folder / "record.json").read_text(encoding="utf-8")
    (torn.folder / "record.json").write_text(text[: len(text) // 2], encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def served(root: Path) -> Iterator[Served]:
    with serving(root) as found:
        yield found


def links(text: str) -> set[str]:
    return {html.unescape(found) for found in re.findall(r'href="(/[^"]*)"', text)}


def test_every_link_of_the_store_leads_to_a_page_in_both_languages(served: Served) -> None:
    seen: dict[str, int] = {}
    left = ["/?lang=ko", "/?lang=en"]
    while left:
        address = left.pop()
        # One run of the sixty alike stands for all.
        if address in seen or re.search(r"run-00(?!00)\d\d", address):
            continue
        answer = served.ask(address)
        seen[address] = answer.status
        if "text/html" in answer.headers.get("Content-Type", "") and not address.startswith(("/compare", "/report/")):
            assert "serve." not in re.sub(r"<code>.*?</code>|title=\"[^\"]*\"", "", answer.text), address
            left += links(answer.text)
        if address == "/style.css":
            assert "url(" not in answer.text
    assert {address: status for address, status in seen.items() if status != 200 and address != "/favicon.ico"} == {}
    for part in ("/compare", "/reports", "/run/node-1/whole", f"/run/node-1/{RUN}/queries", f"/run/node-1/{RUN}/record.json"):
        assert any(address.startswith(part) for address in seen), part


def test_the_list_is_paged_and_narrowed_by_plain_addresses(served: Served) -> None:
    first, second = served.ask("/?lang=en").text, served.ask("/?lang=en&page=2").text
    assert len(re.findall('<th scope="row"', first)) == 50
    assert len(re.findall('<th scope="row"', second)) == 14
    assert "/?page=2&lang=en" in links(first)
    failed = served.ask("/?lang=en&status=failed").text
    assert links(failed) & {"/run/node-1/evil?lang=en", f"/run/node-1/{RUN}?lang=en"} == {"/run/node-1/evil?lang=en"}
    offline = served.ask("/?lang=en&scenario=offline&status=ok").text
    assert '<option value="offline" selected>' in offline
    assert len(re.findall('<th scope="row"', offline)) == 1
    assert "No run fits" in served.ask("/?lang=en&target=nobody").text
    for page in ("0", "-1", "x", "99999999999999999999", "٣"):
        assert served.ask(f"/?page={page}&lang=en" if page.isascii() else "/?page=%D9%A3&lang=en").status == 200


def test_a_damaged_record_is_in_the_list_and_has_a_page(served: Served) -> None:
    listed = served.ask("/?lang=en").text + served.ask("/?lang=en&page=2").text
    assert "/run/node-1/torn?lang=en" in links(listed)
    assert "Unreadable record" in listed
    page = served.ask("/run/node-1/torn?lang=en")
    assert page.status == 200
    assert "cannot be read: truncated or damaged" in page.text
    assert str(served.root) not in page.text
    assert served.ask("/run/node-1/torn/queries?lang=en").status == 200


def test_a_damaged_trace_hides_nothing_else(served: Served) -> None:
    page = served.ask("/run/node-1/broken?lang=en")
    assert page.status == 200
    assert "trace.npz cannot be read" in page.text
    assert "50th percentile latency" in page.text
    queries = served.ask("/run/node-1/broken/queries?lang=en")
    assert queries.status == 200
    assert "trace.npz cannot be read" in queries.text
    assert "Traceback" not in queries.text + page.text
    assert str(served.root) not in queries.text + page.text


def test_a_run_shows_what_was_measured(served: Served) -> None:
    page = served.ask(f"/run/node-1/{RUN}?lang=en").text
    for text in ("Findings", "Figures", "Latency and its tail", "Latency over time", "Phases", "Host", "0.5 s measured", "A CPU"):
        assert text in page, text
    assert page.count('class="picture"') == 2


def test_the_slowest_queries_come_first_and_are_paged(served: Served) -> None:
    first = served.ask(f"/run/node-1/{RUN}/queries?lang=en").text
    assert "/run/node-1/run-0000/queries?page=3&lang=en" in links(first)
    values = [float(found) for found in re.findall(r'title="(\d+) ns"><span class="value">', first)][::4]
    assert values[0] == 9e6
    assert values == sorted(values, reverse=True)
    assert len(values) == 50
    last = served.ask(f"/run/node-1/{RUN}/queries?lang=en&page=9999")
    assert "Page 3 of 3" in last.text
    assert len(re.findall('<th scope="row"', served.ask("/run/node-1/whole/queries?lang=en").text)) == 40


def test_the_raw_record_is_what_lies_on_disk(served: Served) -> None:
    answer = served.ask(f"/run/node-1/{RUN}/record.json")
    assert answer.headers["Content-Type"].startswith("application/json")
    assert answer.text == (served.root / "node-1" / RUN / "record.json").read_text(encoding="utf-8")


def test_comparison_and_reports_are_the_ones_the_verbs_write(served: Served) -> None:
    comparison = served.ask("/compare?lang=en")
    assert comparison.status == 200
    assert '<html lang="en">' in comparison.text
    assert served.ask("/compare?lang=en&baseline=nobody").status == 400
    page = served.ask("/reports?lang=en").text
    for kind in re.findall(r'action="(/report/[a-z]+)"', page):
        answer = served.ask(f"{kind}?lang=en&target=card")
        assert answer.status == 200, kind
        assert '<html lang="en">' in answer.text
    assert served.ask("/report/procurement?format=exe&lang=en").status == 400
    assert served.ask("/report/nothing?lang=en").status == 400
    kept = served.ask("/report/procurement?format=json")
    assert "filename*=UTF-8''procurement.json" in kept.headers["Content-Disposition"]
    assert json.loads(kept.text)


@pytest.mark.parametrize("report", ["/report/procurement?", "/report/feedback?target=card&", "/report/nightly?", "/compare?"])
def test_a_report_leads_back_to_the_store_and_on_to_the_runs_it_stands_on(served: Served, report: str) -> None:
    for language in ("ko", "en"):
        found = links(served.ask(f"{report}lang={language}").text)
        assert {f"/?lang={language}", f"/reports?lang={language}"} <= found
        runs = {address for address in found if address.startswith("/run/")}
        assert runs or report == "/compare?"
        for address in sorted(runs)[:3]:
            assert served.ask(address).status == 200


def test_a_report_that_is_kept_has_no_link_to_the_server(served: Served) -> None:
    for kept in ("md", "json"):
        assert "/run/node-1/" not in served.ask(f"/report/procurement?format={kept}").text


def test_a_report_is_made_once_until_a_record_changes(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / "store"
    shutil.copytree(root / "node-1" / RUN, copy / "node-1" / RUN)
    made = []
    build = serve_reports.build_comparison
    monkeypatch.setattr(serve_reports, "build_comparison", lambda *a: made.append(1) or build(*a))
    site = Site(copy)
    assert site.answer("/compare?lang=en").body == site.answer("/compare?lang=en").body
    assert len(made) == 1
    record = copy / "node-1" / RUN / "record.json"
    os.utime(record, ns=(1, 1))
    assert site.answer("/compare?lang=en").status == 200
    assert len(made) == 2


@pytest.mark.parametrize(
    "target",
    [
        "/run/../../etc/passwd",
        "/run/node-1/..%2f..%2f..%2fetc",
        "/run/%2e%2e/%2e%2e/record.json",
        "/run/node-1/../record.json",
        "/run//node-1/x",
        "/run/.open/x",
        "/run/node-1/run-0000/trace.npz",
        "/run/node-1/run-0000/spec.json",
        "/%ff%00%0a",
        "/nothing",
        "/" + "a/" * 400,
    ],
)
def test_no_address_leads_out_of_the_store(served: Served, target: str) -> None:
    answer = served.ask(target)
    assert answer.status == 404
    assert "text/html" in answer.headers["Content-Type"]
    assert "root:" not in answer.text


def test_a_link_out_of_the_store_is_not_followed(root: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    shutil.copytree(root / "node-1" / RUN, store / "node-1" / RUN)
    outside = tmp_path / "outside"
    shutil.copytree(root / "node-1" / RUN, outside / "secret")
    (store / "node-1" / "linked").symlink_to(outside / "secret")
    (store / "node-2").symlink_to(outside)
    (store / "node-1" / "file").mkdir()
    (store / "node-1" / "file" / "record.json").symlink_to(outside / "secret" / "record.json")
    (store / "node-1" / RUN / "worker.log").symlink_to(outside / "secret" / "record.json")
    site = Site(store)
    for name in ("node-1/linked", "node-2/secret", "node-1/file"):
        assert site.answer(f"/run/{name}").status == 404
        assert site.answer(f"/run/{name}/record.json").status == 404
    assert site.answer(f"/run/node-1/{RUN}").status == 200
    assert b"schema_version" not in site.answer(f"/run/node-1/{RUN}/log").body


def test_records_are_escaped_and_no_script_is_sent(served: Served) -> None:
    for target in (
        "/?lang=en&page=2",
        "/?lang=en",
        "/?status=failed",
        "/run/node-1/evil?lang=ko",
        "/reports",
        "/?target=" + "%3Cscript%3E",
    ):
        text = served.ask(target).text
        assert "<script" not in text
        assert "<img" not in text
    assert "&lt;script&gt;boom()" in served.ask("/run/node-1/evil").text


def test_headers_forbid_everything_that_is_not_needed(served: Served) -> None:
    for target in ("/", "/style.css", "/nothing", "/compare", f"/run/node-1/{RUN}/record.json"):
        headers = served.ask(target).headers
        assert headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert "script-src" not in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
        assert "Python" not in headers["Server"]


@pytest.mark.parametrize(
    "name", ["evil.example", "evil.example:{port}", "127.0.0.1:1", "127.0.0.1", "10.0.0.1:{port}", "[", "a@b:{port}"]
)
def test_another_host_name_is_turned_away(served: Served, name: str) -> None:
    answer = served.ask("/", Host=name.format(port=served.port))
    assert answer.status == 421
    assert "run-" not in answer.text


@pytest.mark.parametrize("name", ["127.0.0.1:{port}", "localhost:{port}", "LOCALHOST:{port}", "[::1]:{port}"])
def test_its_own_names_are_answered(served: Served, name: str) -> None:
    assert served.ask("/", Host=name.format(port=served.port)).status == 200


def test_requests_without_one_host_are_turned_away(served: Served) -> None:
    assert b" 421 " in served.raw(b"GET / HTTP/1.1\r\n\r\n").splitlines()[0]
    two = f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{served.port}\r\nHost: evil.example\r\n\r\n"
    assert b" 421 " in served.raw(two.encode()).splitlines()[0]
    assert b" 400 " in served.raw(b"nonsense that is no request\r\n\r\n").splitlines()[0]


def test_only_get_and_head_are_answered(served: Served) -> None:
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "CONNECT", "BREW"):
        answer = served.ask("/", method)
        assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD"), method
    head, get = served.ask("/?lang=en", "HEAD"), served.ask("/?lang=en")
    assert head.text == ""
    assert head.headers["Content-Length"] == get.headers["Content-Length"]


def test_the_language_is_the_one_asked_for_else_the_browsers(served: Served) -> None:
    def spoken(target: str, **headers: str) -> str:
        found = re.search('<html lang="([a-z]+)">', served.ask(target, **headers).text)
        assert found
        return found[1]

    accept = {"Accept-Language": "en-GB;q=0.9, fr, ko;q=0.2"}
    assert spoken("/") == "ko"
    assert spoken("/?lang=en") == "en"
    assert spoken("/", **accept) == "en"
    assert spoken("/?lang=ko", **accept) == "ko"
    assert spoken("/?lang=../x", **{"Accept-Language": ";;q=nan,en;q=x,fr"}) == "ko"
    assert spoken("/nothing?lang=en") == "en"


def test_an_error_of_its_own_is_a_page_without_a_traceback(
    served: Served, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("the secret of /home/somebody")

    monkeypatch.setattr("npubench.verbs.serve.run_page", fails)
    answer = served.ask(f"/run/node-1/{RUN}?lang=en")
    assert answer.status == 500
    assert "RuntimeError" in answer.text
    assert "secret" not in answer.text
    assert served.ask("/").status == 200


def test_an_empty_store_says_so(tmp_path: Path) -> None:
    site = Site(tmp_path)
    assert "There is no run in this store yet" in site.answer("/?lang=en").body.decode()
    assert site.answer("/reports?lang=en").status == 200
    for target in ("/compare?lang=en", "/report/procurement?lang=en"):
        found = site.answer(target)
        assert found.status == 400
        assert "there is no run" in found.body.decode()


def test_nothing_is_written(root: Path, tmp_path: Path) -> None:
    copy = tmp_path / "store"
    shutil.copytree(root / "node-1" / RUN, copy / "node-1" / RUN)
    before = sorted((str(path), path.stat().st_mtime_ns) for path in copy.rglob("*"))
    site = Site(copy)
    for target in (
        "/",
        "/?status=ok",
        f"/run/node-1/{RUN}",
        f"/run/node-1/{RUN}/queries",
        "/compare",
        "/reports",
        "/report/procurement",
    ):
        assert site.answer(target).status == 200, target
    assert sorted((str(path), path.stat().st_mtime_ns) for path in copy.rglob("*")) == before


def test_a_large_store_reads_only_the_records_that_a_page_shows(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = (root / "node-1" / RUN / "record.json").read_bytes()
    for n in range(400):
        (tmp_path / "node-1" / f"run-{n:05d}").mkdir(parents=True)
        (tmp_path / "node-1" / f"run-{n:05d}" / "record.json").write_bytes(record)
    read: list[Path] = []
    from npubench.report import run_index

    header = run_index.read_header
    monkeypatch.setattr(run_index, "read_header", lambda folder: read.append(folder) or header(folder))
    site = Site(tmp_path)
    assert "400 runs" in site.answer("/?lang=en").body.decode()
    assert len(read) == 50
    site.answer("/?lang=en")
    assert len(read) == 50
    site.answer("/?lang=en&status=ok")
    site.answer("/?lang=en&status=invalid")
    assert len(read) == 400


def test_names_of_any_bytes_lead_to_their_run(root: Path, tmp_path: Path) -> None:
    for name in ("한글 과 #?&%2f", "<b>", os.fsdecode(b"bad\xff")):
        shutil.copytree(root / "node-1" / RUN, tmp_path / "node-1" / name)
    site = Site(tmp_path)
    found = links(site.answer("/?lang=en").body.decode())
    runs = [address for address in found if address.startswith("/run/")]
    assert len(runs) == 3
    for address in runs:
        page = site.answer(address)
        assert page.status == 200, address
        for further in links(page.body.decode()):
            assert site.answer(further).status in (200, 204), further


def test_what_is_no_store_and_no_address_is_said_so(tmp_path: Path, root: Path) -> None:
    with pytest.raises(StoreError, match="no such folder"):
        Site(tmp_path / "nothing")
    with pytest.raises(InputError, match="cannot be listened on"):
        open_server(Site(root), "203.0.113.7", 0)


def test_only_loopback_is_called_so() -> None:
    assert [is_loopback(name) for name in ("127.0.0.1", "127.9.9.9", "::1", "localhost")] == [True] * 4
    assert [is_loopback(name) for name in ("0.0.0.0", "::", "10.0.0.1", "node", "127.0.0.1.evil.example")] == [False] * 5


def test_a_server_for_others_answers_to_addresses_and_its_own_name_alone() -> None:
    handler = object.__new__(type("H", (Handler,), {"listens_on": "0.0.0.0", "port": 80}))
    assert handler._own_name("10.0.0.1:80")
    assert handler._own_name(socket.gethostname())
    assert not handler._own_name("evil.example:80")


def test_the_command_prints_its_address_and_ends_quietly(root: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "npubench", "serve", str(root), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            line = process.stdout.readline()
            port = int(re.fullmatch(r"http://127\.0\.0\.1:(\d+)/\n", line)[1])  # type: ignore[index]
            assert Served(root, port).ask("/?lang=en").status == 200
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0
        said = process.stderr.read()
    assert "Traceback" not in said
    assert said.strip() == "stopped"


QUIET = [
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--hide-scrollbars", "--enable-logging=stderr",
    "--virtual-time-budget=20000", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]  # fmt: skip


def browse(address: str, folder: Path) -> tuple[str, str]:
    """Return a page's document and what was said on the console."""
    command = [str(CHROMIUM), *QUIET, f"--user-data-dir={folder / 'profile'}", "--dump-dom", address]
    done = subprocess.run(command, capture_output=True, timeout=120, check=False)
    said = done.stderr.decode("utf-8", "replace")
    return done.stdout.decode("utf-8", "replace"), "\n".join(line for line in said.splitlines() if "CONSOLE" in line)


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium")
def test_a_browser_shows_pages_without_a_word_on_its_console(served: Served, tmp_path: Path) -> None:
    for target in ("/?lang=ko", f"/run/node-1/{RUN}?lang=en"):
        page, console = browse(f"http://127.0.0.1:{served.port}{target}", tmp_path)
        assert "<h1" in page
        assert console == "", target


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium")
def test_a_phone_has_no_horizontal_scroll(served: Served, tmp_path: Path) -> None:
    style = served.ask("/style.css").text
    frames = []
    for target in ("/", f"/run/node-1/{RUN}", f"/run/node-1/{RUN}/queries", "/run/node-1/evil", "/reports"):
        for language in ("ko", "en"):
            page = served.ask(f"{target}?lang={language}").text
            page = page.replace('<link rel="stylesheet" href="/style.css" />', f"<style>{style}</style>")
            assert style in page
            frames += [
                f'<iframe width="{w}" height="800" style="border:0" srcdoc="{html.escape(page)}"></iframe>' for w in (390, 1280)
            ]
    script = """
      onload = () => {
        const pre = document.createElement('pre');
        pre.id = 'found';
        pre.textContent = JSON.stringify([...document.querySelectorAll('iframe')].map(f => {
          const e = f.contentDocument.documentElement; return [e.scrollWidth, e.clientWidth];
        }));
        document.body.append(pre);
      };
    """
    path = tmp_path / "frames.html"
    path.write_text(
        f"<!DOCTYPE html><meta charset='utf-8'><body>{''.join(frames)}<script>{script}</script></body>", encoding="utf-8"
    )
    found = re.search(r'<pre id="found">(.*?)</pre>', browse(path.as_uri(), tmp_path)[0], re.S)
    assert found
    widths = json.loads(html.unescape(found[1]))
    assert len(widths) == 20
    assert all(scroll <= client for scroll, client in widths), widths


@pytest.mark.skipif(CHROMIUM is None or not AXE.is_file(), reason="no Chromium, or NPUBENCH_AXE names no axe.min.js")
def test_axe_finds_no_violation_on_any_kind_of_page(served: Served, tmp_path: Path) -> None:
    """One browser for all pages; one without its language shows that this test can fail."""
    style = served.ask("/style.css").text
    places: tuple[str, ...] = (
        "/",
        "/?status=failed",
        f"/run/node-1/{RUN}",
        f"/run/node-1/{RUN}/queries",
        "/run/node-1/evil",
        "/run/node-1/torn",
    )
    places += ("/reports", "/compare")
    wanted = [f"{place}{'&' if '?' in place else '?'}lang={language}" for place in places for language in ("ko", "en")]
    pages = {target: served.ask(target).text.replace("</head>", f"<style>{style}</style></head>") for target in wanted}
    pages["broken"] = re.sub("<html [^>]*>", "<html>", pages["/?lang=en"])
    tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
    run = f"""
      document.querySelectorAll('details').forEach(d => d.open = true);
      axe.run(document, {{runOnly: {json.dumps(tags)}}}).then(r => {{
        window.found = r.violations.map(v => [v.id, v.nodes.map(n => n.html)]);
      }});
    """
    scripts = f"<script>{AXE.read_text(encoding='utf-8')}</script><script>{run}</script></body>"
    free = [re.sub("<meta http-equiv=[^>]*>", "", page).replace("</body>", scripts) for page in pages.values()]
    frames = "".join(f'<iframe width="1280" height="800" srcdoc="{html.escape(page)}"></iframe>' for page in free)
    collect = """
      const wait = setInterval(() => {
        const found = [...document.querySelectorAll('iframe')].map(f => f.contentWindow.found);
        if (found.some(each => each === undefined)) return;
        clearInterval(wait);
        const pre = document.createElement('pre');
        pre.id = 'found';
        pre.textContent = JSON.stringify(found);
        document.body.append(pre);
      }, 100);
    """
    path = tmp_path / "frames.html"
    path.write_text(f"<!DOCTYPE html><meta charset='utf-8'><body>{frames}<script>{collect}</script></body>", encoding="utf-8")
    found = re.search(r'<pre id="found">(.*?)</pre>', browse(path.as_uri(), tmp_path)[0], re.S)
    assert found
    violations = dict(zip(pages, json.loads(html.unescape(found[1])), strict=True))
    assert "html-has-lang" in {rule for rule, _ in violations.pop("broken")}
    assert {target: broken for target, broken in violations.items() if broken} == {}
