"""A Redfish service (DSP0266) as something to log in to and read resources from; nothing here knows power."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import ssl
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from npubench.measure.meters.credentials import Secret

ROOT = "/redfish/v1"

_SESSIONS = f"{ROOT}/SessionService/Sessions"

#: No resource that is read here is larger, bytes; what is, is no Redfish resource.
_LARGEST = 4_000_000


class BmcError(Exception):
    """A resource cannot be had; the text holds no secret and nothing of the answer's body."""


@dataclass(frozen=True, slots=True)
class Account:
    """Who logs in."""

    user: Secret
    password: Secret


def trust(ca_file: str | None, insecure: bool) -> ssl.SSLContext:
    """Return how the service's certificate is checked: by the system's authorities, by a file's, or not at all.

    Raises:
        BmcError: The file cannot be read or holds no certificate.
    """
    if insecure:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    if ca_file is None:
        return ssl.create_default_context()
    try:
        return ssl.create_default_context(cadata=Path(ca_file).expanduser().read_text(encoding="ascii"))
    except (ssl.SSLError, ValueError):
        raise BmcError(f"settings.ca_file: {ca_file} holds no certificate in PEM") from None
    except OSError as error:
        raise BmcError(f"settings.ca_file: {ca_file} cannot be read: {error.strerror}") from None


class Bmc:
    """A service with a session. It is kept over many requests; one that has ended is opened again once.

    Attributes:
        where: Its host and port.
    """

    def __init__(self, host: str, port: int, account: Account, context: ssl.SSLContext, timeout_ms: int) -> None:
        self.where = f"{host}:{port}"
        self._timeout_s = timeout_ms / 1000
        self._connection = http.client.HTTPSConnection(host, port, timeout=self._timeout_s, context=context)
        self._account = account
        self._headers: dict[str, str] = {}
        self._session = ""

    def __repr__(self) -> str:
        return f"Bmc({self.where})"

    def login(self) -> None:
        """Open a session; a service without sessions gets the account with each request.

        Raises:
            BmcError: The service cannot be reached, is not trusted, or refuses the account.
        """
        self._headers, self._session = {}, ""
        user, password = self._account.user.reveal(), self._account.password.reveal()
        body = json.dumps({"UserName": user, "Password": password})
        status, headers, _ = self._request("POST", _SESSIONS, body)
        token = headers.get("X-Auth-Token", "")
        if status in (200, 201) and token:
            self._headers = {"X-Auth-Token": token}
            self._session = urlsplit(headers.get("Location", "")).path
        elif status in (404, 405, 501):
            plain = base64.b64encode(f"{user}:{password}".encode()).decode()
            self._headers = {"Authorization": f"Basic {plain}"}
        elif status in (400, 401, 403):
            raise BmcError(
                f"settings: {self.where} refuses the account (HTTP {status}); look at what user_env and password_env, or their "
                "files, name"
            )
        else:
            raise BmcError(f"settings.host: {self.where} opens no session: HTTP {status}; is it a Redfish service?")

    def get(self, path: str) -> dict[str, Any]:
        """Return a resource.

        Raises:
            BmcError: It cannot be had, or is no JSON object.
        """
        status, _, body = self._request("GET", path)
        if status == 401:
            self.login()
            status, _, body = self._request("GET", path)
        if status in (401, 403):
            raise BmcError(f"settings: {self.where} does not let this account read {path} (HTTP {status})")
        if status != 200:
            raise BmcError(f"{self.where} answers {path} with HTTP {status}")
        try:
            found = json.loads(body)
        except ValueError:
            raise BmcError(f"{self.where} answers {path} with something that is not JSON; is it a Redfish service?") from None
        if not isinstance(found, dict):
            raise BmcError(f"{self.where} answers {path} with JSON that is no object; is it a Redfish service?")
        return found

    def close(self) -> None:
        """End the session and hang up; a second call does nothing."""
        session, self._session = self._session, ""
        if session:
            with contextlib.suppress(BmcError):
                self._request("DELETE", session)
        self._headers = {}
        self._connection.close()

    def _request(self, method: str, path: str, body: str | None = None) -> tuple[int, http.client.HTTPMessage, bytes]:
        """Send a request and read its answer; a connection that the service has closed meanwhile is opened again once."""
        held = self._connection.sock is not None
        try:
            return self._once(method, path, body)
        except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
            if not held:
                raise BmcError(f"settings.host: {self.where} hangs up") from None
        with contextlib.suppress(OSError):
            self._connection.close()
        try:
            return self._once(method, path, body)
        except ConnectionError:
            raise BmcError(f"settings.host: {self.where} hangs up") from None

    def _once(self, method: str, path: str, body: str | None) -> tuple[int, http.client.HTTPMessage, bytes]:
        until = time.monotonic() + self._timeout_s
        headers = {"Accept": "application/json", "OData-Version": "4.0", **self._headers}
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            self._connection.request(method, path, body, headers)
            answer = self._connection.getresponse()
            whole = b""
            while piece := answer.read1(65536):
                whole += piece
                if len(whole) > _LARGEST:
                    raise BmcError(f"{self.where} answers {path} with more than {_LARGEST} bytes")
                # The socket's own limit is for a piece: an answer that drips must not hold the sampler.
                if time.monotonic() > until:
                    raise TimeoutError
            answer.read()  # pieces alone do not tell the connection that the answer is over
            return answer.status, answer.headers, whole
        except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
            self._connection.close()
            raise
        except ssl.SSLCertVerificationError as error:
            self._connection.close()
            raise BmcError(
                f"settings.host: the certificate of {self.where} is not trusted: {error.verify_message}; name its authority "
                "(ca_file), or say insecure = true and be sure of the network"
            ) from None
        except TimeoutError:
            self._connection.close()
            raise BmcError(f"settings.host: {self.where} does not answer {path} within {self._timeout_s:g} s") from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            self._connection.close()
            why = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
            raise BmcError(f"settings.host: {self.where} cannot be reached: {why}; look at host, port and firewall") from None
        except BmcError:
            self._connection.close()
            raise
