"""The page over HTTP, from the standard library.

GET   /                     the page; /page.css, /demo.css, /view.js, /demo.js belong to it
GET   /models               the models that can be chosen, and the longest photograph in bytes
POST  /picture              a photograph -> how it is shown
POST  /labels?model=NAME    a photograph -> what the model sees
POST  /overlay?model=NAME&opacity=0..1&photo=BYTES
                            a photograph of so many bytes and, behind it, its mask -> a PNG

Nothing is kept: a request's photograph is a file in a temporary folder while it is answered. What
is refused is a line in JSON. A server on a loopback address answers only those who ask for it by a
loopback name, so that no page of another site reaches it through a name that it has turned to
127.0.0.1 (DNS rebinding); no other origin may send anything, and the page may load nothing from
anywhere else (Content-Security-Policy).
"""

import errno
import ipaddress
import json
import os
import socket
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from segmodels.commands.demo.labelling import Labelling
from segmodels.core import supervise
from segmodels.data import images

WEB = Path(__file__).with_name("web")
PAGE_CSS = Path(__file__).parents[2] / "reporting/web/page.css"  # that of the results
FILES = {
    "/": (WEB / "demo.html", "text/html; charset=utf-8"),
    "/page.css": (PAGE_CSS, "text/css; charset=utf-8"),
    "/demo.css": (WEB / "demo.css", "text/css; charset=utf-8"),
    "/view.js": (WEB / "view.js", "text/javascript; charset=utf-8"),
    "/demo.js": (WEB / "demo.js", "text/javascript; charset=utf-8"),
}
JSON = "application/json"
PIXEL = 4  # bytes of an image's pixel, at most, as a file of it has them without compression
BLOCK = 1 << 20  # bytes that are read at once
SILENCE = 60  # seconds after which a connection is closed
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Refused(Exception):
    """What a request gets in place of an answer: a status and a line."""

    def __init__(self, status: HTTPStatus, line: str) -> None:
        super().__init__(line)
        self.status = status


class Server(ThreadingHTTPServer):
    """Listens from its construction on; `serve_forever` answers.

    Args:
        host: an address or a name.
        port: 0: any that is free.
        offered: name of each model -> where it comes from.
        chosen: those with which the page begins.
        folder: for photographs while they are answered.
    Raises:
        ValueError: the port is taken, or this machine has no such address.
    """

    daemon_threads = True

    def __init__(
        self,
        host: str,
        port: int,
        labelling: Labelling,
        offered: dict[str, str],
        chosen: Sequence[str],
        folder: str,
    ) -> None:
        self.folder = folder
        self.labelling = labelling
        self.offered = offered
        self.chosen = list(chosen)
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            super().__init__((host, port), Handler)
        except OSError as error:
            raise ValueError(_reason(host, port, error)) from None
        address = self.socket.getsockname()[0]
        self.own = ipaddress.ip_address(address).is_loopback

    def server_bind(self) -> None:
        """Without the look-up of this machine's name, which may ask a network."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()

    @property
    def url(self) -> str:
        """Of the page."""
        host, port = self.socket.getsockname()[:2]
        return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"

    def handle_error(self, request: object, client_address: object) -> None:
        """A reader who goes away is no error; all else is a defect."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            traceback.print_exc()


def _reason(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"--port {port}: taken by another program; name another, or 0 for any that is free"
    if error.errno == errno.EACCES:
        return f"--port {port}: not allowed; expected 1024 or more, or 0 for any that is free"
    return f"--host {host}: {error.strerror}; expected an address of this machine, as 127.0.0.1"


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    server: Server
    protocol_version = "HTTP/1.1"
    server_version = "segmodels"
    sys_version = ""
    timeout = SILENCE

    def do_GET(self) -> None:
        self._answer(self._get)

    def do_POST(self) -> None:
        self._answer(self._post)

    def log_message(self, *words: object) -> None:
        """Requests are not printed."""

    def _answer(self, compute: Callable[[], tuple[str, bytes]]) -> None:
        """Send what `compute` returns, a type and bytes, or the line of what it raises."""
        status = HTTPStatus.OK
        try:
            self._check_sender()
            kind, content = compute()
        except (ConnectionError, TimeoutError):
            raise
        except Refused as error:
            status, line = error.status, str(error)
            self.close_connection = True  # what it sent may not have been read
        except Exception as error:
            status, line = HTTPStatus.UNPROCESSABLE_ENTITY, supervise.one_line(error) or ""
            if not line:
                traceback.print_exc()
                status = HTTPStatus.INTERNAL_SERVER_ERROR
                line = "a defect of the program; the terminal where it was started says more"
        if status != HTTPStatus.OK:
            kind, content = JSON, json.dumps({"error": line}).encode()
        self.send_response(status)
        for name, value in HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)

    def _check_sender(self) -> None:
        """Refuse those who ask for a loopback address by another name, and other sites' pages."""
        host = self.headers.get("Host", "")
        if self.server.own and not _is_loopback(urlsplit(f"//{host}").hostname or ""):
            raise Refused(
                HTTPStatus.FORBIDDEN, f"Host {host!r:.80}: expected localhost or 127.0.0.1"
            )
        origin = self.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc != host:
            raise Refused(HTTPStatus.FORBIDDEN, f"Origin {origin!r:.80}: expected this page")

    def _get(self) -> tuple[str, bytes]:
        path = urlsplit(self.path).path
        if path in FILES:
            file, kind = FILES[path]
            return kind, file.read_bytes()
        if path != "/models":
            raise Refused(HTTPStatus.NOT_FOUND, f"{path:.80}: there is no such page")
        models = [{"name": name, "about": about} for name, about in self.server.offered.items()]
        found = {"models": models, "chosen": self.server.chosen, "most_bytes": _most_bytes()}
        return JSON, json.dumps(found).encode()

    def _post(self) -> tuple[str, bytes]:
        with tempfile.TemporaryDirectory(dir=self.server.folder) as folder:
            photo = Path(folder, "photograph")
            try:
                return self._labelled(photo)
            except ValueError as error:  # the page knows the photograph's own name
                line = str(error).removeprefix(f"{photo}: ")
                raise ValueError(line.replace(f"{folder}{os.sep}", "")) from None

    def _labelled(self, photo: Path) -> tuple[str, bytes]:
        url = urlsplit(self.path)
        asked = {name: values[0] for name, values in parse_qs(url.query).items()}
        labelling = self.server.labelling
        if url.path == "/picture":
            self._receive(photo)
            return JSON, json.dumps(labelling.picture(photo)).encode()
        if url.path == "/labels":
            name = self._model(asked)
            self._receive(photo)
            return JSON, json.dumps(labelling.labels(photo, name)).encode()
        if url.path == "/overlay":
            name, opacity = self._model(asked), _number(asked, "opacity", 1)
            size, mask = _number(asked, "photo", _most_bytes()), photo.with_name("mask")
            self._receive(photo, mask, int(size))
            return "image/png", labelling.overlay(photo, mask, name, opacity)
        raise Refused(HTTPStatus.NOT_FOUND, f"{url.path:.80}: there is no such page")

    def _model(self, asked: dict[str, str]) -> str:
        name = asked.get("model", "")
        if name not in self.server.offered:
            known = ", ".join(self.server.offered)
            raise Refused(HTTPStatus.NOT_FOUND, f"model {name:.80}: expected one of {known}")
        return name

    def _receive(self, photo: Path, mask: Path | None = None, size: int = 0) -> None:
        """Write what is sent into a file, or its first `size` bytes and the rest into two."""
        text, most = self.headers.get("Content-Length", ""), _most_bytes()
        if not text.isdecimal():
            raise Refused(HTTPStatus.LENGTH_REQUIRED, "expected a Content-Length")
        length = int(text)
        if length > most:
            line = f"{length:,} bytes, expected at most {most:,}; {images.LIMIT} sets the pixels"
            raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, line)
        if mask is None:
            self._copy(photo, length)
        else:
            self._copy(photo, min(size, length))
            self._copy(mask, max(0, length - size))

    def _copy(self, path: Path, length: int) -> None:
        with open(path, "wb") as file:
            while length > 0:
                block = self.rfile.read(min(BLOCK, length))
                if not block:
                    raise ConnectionResetError("the sender has gone")
                file.write(block)
                length -= len(block)


def _is_loopback(host: str) -> bool:
    """Whether a name of a Host header can mean this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _number(asked: dict[str, str], name: str, most: float) -> float:
    text = asked.get(name, "")
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= most:
        raise Refused(HTTPStatus.BAD_REQUEST, f"{name}={text:.80}: expected 0 to {most:g}")
    return value


def _most_bytes() -> int:
    """Of a photograph: those of the most pixels that are read."""
    return PIXEL * images.most_pixels()
