"""``npubench serve``: a store in a browser, on this machine alone. Reads, and writes nothing.

Whoever can make a browser open an address can ask this server, so it answers GET and HEAD alone, by its own names alone
(a foreign name that leads here is DNS rebinding), finds runs among those that the store lists, and sends no script.
"""

from __future__ import annotations

import http.server
import importlib
import ipaddress
import os
import socket
import socketserver
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

from npubench.errors import InputError, NpubenchError, StoreError
from npubench.plugins import REPORTS, plugin_entries
from npubench.record.store import Store
from npubench.report.run_index import RunIndex
from npubench.report.served_page import ServedPage
from npubench.verbs.console import data, err
from npubench.verbs.serve_pages import (
    Reply,
    list_page,
    log_page,
    message_page,
    path_parts,
    queries_page,
    record_reply,
    run_page,
)
from npubench.verbs.serve_reports import Reports, renderer, reports_page

#: How long a client may take to say what it wants, s.
PATIENCE_S = 15.0
#: The language where a browser asks for none that there is.
LANGUAGE = "ko"
#: The renderer of these pages among the entry points of ``npubench.reports``.
RENDERER = "served"
#: Nothing is loaded but the style sheet of this server (and a report's own, which its own policy pins by digest).
POLICY = (
    "default-src 'none'; style-src 'self' 'unsafe-inline'; img-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Site:
    """Every address of the server and what it answers; knows nothing of sockets.

    Args:
        store: The store's folder.

    Raises:
        StoreError: It is no folder that can be read.
        InputError: No renderer of pages is installed.
    """

    def __init__(self, store: Path) -> None:
        if not store.is_dir():
            raise StoreError(f"{store}: there is no such folder; name a store that 'npubench run' has written")
        if not os.access(store, os.R_OK | os.X_OK):
            raise StoreError(f"{store}: may not be read")
        self.index = RunIndex(Store(store))
        self._reports = Reports(self.index)
        self._render = renderer(RENDERER)
        module = importlib.import_module(plugin_entries(REPORTS)[RENDERER].partition(":")[0])
        self._style: bytes = module.style()
        self._languages: tuple[str, ...] = module.languages()

    def answer(self, target: str, accept_language: str = "") -> Reply:
        """Return the reply to a GET of ``target``, a path with its query; whatever is wrong becomes a readable page."""
        language = LANGUAGE
        try:
            address = urlsplit(target)
            query = dict(parse_qsl(address.query, keep_blank_values=False, max_num_fields=40))
            language = self._language(query.pop("lang", ""), accept_language)
            parts = path_parts(address.path)
            found = self._route(parts, query, language)
        except NpubenchError as error:
            found = self._message(400, "serve.cannot", language, {"why": self._without_path(str(error))})
        except ValueError:
            found = self._message(400, "serve.bad-address", language)
        return found if found is not None else self._message(404, "serve.no-such-page", language)

    def failed(self, error: BaseException, accept_language: str = "") -> Reply:
        """Return the page that stands where a page should: what kind of error it was, and no more."""
        language = self._language("", accept_language)
        return self._message(500, "serve.failed", language, {"kind": type(error).__name__})

    def warm(self) -> None:
        """Read every header once, so that the first filter need not."""
        for folder in self.index.folders():
            self.index.header(folder)

    def _route(self, parts: tuple[str, ...], query: Mapping[str, str], language: str) -> Reply | None:
        def render(page: ServedPage) -> bytes:
            made: bytes = self._render(page, language=language)
            return made

        match parts:
            case ():
                return list_page(self.index, query, render)
            case ("style.css",):
                return Reply(200, "text/css; charset=utf-8", self._style)
            case ("favicon.ico",):
                return Reply(204, "image/x-icon", b"")
            case ("compare",):
                return self._reports.comparison(query, language)
            case ("reports",):
                return reports_page(self.index, render)
            case ("report", kind):
                return self._reports.report(kind, query, language)
            case ("run", system, run_id):
                return run_page(self.index, system, run_id, render)
            case ("run", system, run_id, "record.json"):
                return record_reply(self.index, system, run_id)
            case ("run", system, run_id, "queries"):
                return queries_page(self.index, system, run_id, query, render)
            case ("run", system, run_id, "log"):
                return log_page(self.index, system, run_id, render)
        return None

    def _message(self, status: int, key: str, language: str, values: Mapping[str, str] = {}) -> Reply:
        def render(page: ServedPage) -> bytes:
            made: bytes = self._render(page, language=language)
            return made

        return message_page(status, key, "/", values, render)

    def _without_path(self, text: str) -> str:
        return text.replace(f"{self.index.store.root}/", "").replace(f"{self.index.store.root}: ", "")

    def _language(self, asked: str, accept: str) -> str:
        """Return the language asked for, else the one a browser likes best (RFC 9110, 12.5.4), else Korean."""
        if asked in self._languages:
            return asked
        best, weight = LANGUAGE, 0.0
        for part in accept.split(",")[:40]:
            tag, _, quality = part.strip().partition(";")
            try:
                q = float(quality.partition("q=")[2]) if quality else 1.0
            except ValueError:
                continue
            primary = tag.partition("-")[0].lower()
            if primary in self._languages and weight < q <= 1.0:
                best, weight = primary, q
        return best


def serve_store(store: Path, host: str, port: int) -> int:
    """Serve until interrupted; the address is printed on standard output.

    Raises:
        StoreError: There is no such store.
        InputError: The address cannot be listened on.
    """
    site = Site(store)
    server = open_server(site, host, port)
    name = f"[{host}]" if ":" in host else host
    if not is_loopback(host):
        err.print(
            f"[yellow]▲[/] {name} is not this machine alone: whoever reaches it reads every record of {store}, "
            "without a password and in clear text",
            soft_wrap=True,
        )
    threading.Thread(target=site.warm, daemon=True).start()
    with server:
        data(f"http://{name}:{server.server_address[1]}/")
        sys.stdout.flush()
        try:
            server.serve_forever(poll_interval=0.2)
        except KeyboardInterrupt:
            err.print("stopped")
    return 0


def is_loopback(host: str) -> bool:
    """Return whether an address is this machine's own."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def open_server(site: Site, host: str, port: int) -> http.server.ThreadingHTTPServer:
    """Return a server that listens on ``host`` and ``port`` (0 = any free one).

    Raises:
        InputError: It cannot be listened on.
    """

    class Server(http.server.ThreadingHTTPServer):
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        block_on_close = False

        def server_bind(self) -> None:
            # The base class asks the name service what it is called, which may take seconds and is of no use.
            socketserver.TCPServer.server_bind(self)
            self.server_name, self.server_port = host, self.server_address[1]

        def handle_error(self, request: Any, client_address: Any) -> None:
            """A browser that hangs up is no error to speak of."""

    handler = type("StoreHandler", (Handler,), {"site": site, "listens_on": host})
    try:
        return Server((host, port), handler)
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise InputError(f"--host {host} --port {port}: cannot be listened on: {why.lower()}; take another port, or 0") from error


class Handler(http.server.BaseHTTPRequestHandler):
    """One connection: checks who is asked for, and hands the address on to the site."""

    site: Site
    listens_on: str
    protocol_version = "HTTP/1.1"
    server_version = "npubench"
    timeout = PATIENCE_S

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return int(self.connection.getsockname()[1])

    def do_GET(self) -> None:
        """Answer with headers and body."""
        self._answer()

    def do_HEAD(self) -> None:
        """Answer with the headers alone."""
        self._answer()

    def __getattr__(self, name: str) -> Callable[[], None]:
        """Answer every other method: nothing can be changed here."""
        if name.startswith("do_"):
            return self._refuse
        raise AttributeError(name)

    def _refuse(self) -> None:
        self.close_connection = True
        self._plain(405, "only GET and HEAD are answered here", {"Allow": "GET, HEAD"})

    def _answer(self) -> None:
        names = self.headers.get_all("Host") or []
        if len(names) != 1 or not self._own_name(names[0]):
            self.close_connection = True
            self._plain(421, "this server does not answer to that name; open the address that 'npubench serve' printed")
            return
        language = self.headers.get("Accept-Language", "")
        try:
            reply = self.site.answer(self.path, language)
        except Exception as error:  # noqa: BLE001 - a reader gets a page, whatever a file of the store holds
            err.print(f"{type(error).__name__} while {self.path[:200]!r} was asked for", soft_wrap=True, markup=False)
            reply = self.site.failed(error, language)
        self._send(reply)

    def _own_name(self, name: str) -> bool:
        """Return whether the request names this server: by its address, or by this machine's own name where others may ask."""
        try:
            parsed = urlsplit(f"//{name}")
            host, port = parsed.hostname or "", parsed.port
        except ValueError:
            return False
        if parsed.path or parsed.query or parsed.username is not None or port not in (self.port, None):
            return False
        if port is None and self.port != 80:
            return False
        if is_loopback(self.listens_on):
            return is_loopback(host)
        try:
            ipaddress.ip_address(host)
            return True  # no name was looked up, so nothing was rebound
        except ValueError:
            return host.lower() in {"localhost", self.listens_on.lower(), socket.gethostname().lower()}

    def _send(self, reply: Reply) -> None:
        kept = {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(reply.name)}"} if reply.name else {}
        self._write(reply.status, reply.kind, reply.body, {**kept, **reply.headers})

    def _plain(self, status: int, text: str, headers: Mapping[str, str] = {}) -> None:
        self._write(status, "text/plain; charset=utf-8", (text + "\n").encode(), {**headers, "Connection": "close"})

    def _write(self, status: int, kind: str, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {**HEADERS, **headers}.items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD" and status != 204:
            self.wfile.write(body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer what is no HTTP with a line of text."""
        self.close_connection = True
        self.request_version = self.protocol_version  # before it is read it is 0.9, which has no headers
        self.command = getattr(self, "command", None) or "GET"
        self._plain(code, message or "this is no request")

    def version_string(self) -> str:
        """Return what answers; its version is nobody's business but its reader's."""
        return self.server_version

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing of requests."""
