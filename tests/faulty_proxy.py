"""An HTTP proxy before a server of S3: it counts requests, and may lose, delay or double them."""

import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

Fault = Literal[
    "lost",  # the server never sees the request
    "unanswered",  # the server has done what was asked, and its answer is lost
    "cut",  # half of the answer's body, then the connection ends
    "half",  # half of the request's body reaches the server, then both connections end
    "late",
    "double",  # the server gets the request twice
    "busy",  # 503 SlowDown
    "broken",  # 500 InternalError
    "denied",  # 403 AccessDenied
    "silent",  # no answer for as long as the client waits, or `Proxy.silence`
]
ONE_IN_TWENTY: tuple[Fault, ...] = ("lost", "unanswered", "cut", "half", "late", "double")


_REFUSALS = {
    "busy": (503, "SlowDown"),
    "broken": (500, "InternalError"),
    "denied": (403, "AccessDenied"),
}


class Request(NamedTuple):
    method: str
    path: str  # with what follows `?`
    fault: Fault | None
    signed_by: str  # the access key; "" for an anonymous request


class Proxy:
    """What a proxy has seen, and the faults that it makes."""

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream
        self.endpoint = ""
        self.requests: list[Request] = []
        self.fault: Callable[[str, str], Fault | None] = lambda method, path: None
        self.delay = 0.0  # seconds of every GET
        self.late = 0.05  # seconds of a late request
        self.silence = 30.0  # seconds
        self.in_flight = self.most_in_flight = 0
        self._lock = threading.Lock()

    def count(self) -> Counter[str]:
        """Requests by method; a listing is LIST."""
        return Counter("LIST" if "list-type" in r.path else r.method for r in self.requests)

    def draw_faults(
        self, seed: int, share: float = 0.05, kinds: Sequence[Fault] = ONE_IN_TWENTY
    ) -> None:
        """From now on, one request in 1 / share meets a fault."""
        drawn = random.Random(seed)

        def fault(method: str, path: str) -> Fault | None:
            return drawn.choice(kinds) if drawn.random() < share else None

        self.fault = fault

    def begin(self, method: str, path: str, authorization: str) -> Fault | None:
        signed_by = authorization.partition("Credential=")[2].partition("/")[0]
        with self._lock:
            fault = self.fault(method, path)
            self.requests.append(Request(method, path, fault, signed_by))
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
        return fault

    def end(self) -> None:
        with self._lock:
            self.in_flight -= 1


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: "_Server"  # pyright: ignore[reportIncompatibleVariableOverride]

    def handle_any(self) -> None:
        proxy = self.server.proxy
        fault = proxy.begin(self.command, self.path, self.headers.get("Authorization", ""))
        try:
            self._answer(proxy, fault)
        finally:
            proxy.end()

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_any

    def _answer(self, proxy: Proxy, fault: Fault | None) -> None:
        body = self._body()
        plain = self.command == "GET" and "list-type" not in self.path
        time.sleep(proxy.late if fault == "late" else proxy.delay if plain else 0)
        if fault in _REFUSALS:
            self._refuse(*_REFUSALS[fault])
            return
        if fault == "silent":
            time.sleep(proxy.silence)
        if fault == "half":
            self._forward(proxy, body[: len(body) // 2], stop=True)
        if fault in ("lost", "half", "silent"):
            self._hang_up()
            return
        answer = self._forward(proxy, body)
        if fault == "double":
            answer = self._forward(proxy, body)
        if fault == "unanswered" or answer is None:
            self._hang_up()
            return
        status, headers, content = answer
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                self.send_header(name, value)
        length = {n.lower(): v for n, v in headers}.get("content-length")
        sent = length if self.command == "HEAD" and length else str(len(content))
        self.send_header("Content-Length", sent)
        self.end_headers()
        if fault == "cut":
            self.wfile.write(content[: len(content) // 2])
            self._hang_up()
            return
        self.wfile.write(content)

    def _body(self) -> bytes:
        """The body as it came, with the frames of chunks."""
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        frames = b""
        while True:
            line = self.rfile.readline()
            size = int(line.split(b";")[0], 16)
            frames += line
            if size == 0:
                while (line := self.rfile.readline()) not in (b"\r\n", b""):
                    frames += line
                return frames + b"\r\n"
            frames += self.rfile.read(size + 2)

    def _forward(
        self, proxy: Proxy, body: bytes, *, stop: bool = False
    ) -> tuple[int, list[tuple[str, str]], bytes] | None:
        there = HTTPConnection(urlsplit(proxy.upstream).netloc, timeout=20)
        try:
            there.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in ("expect", "connection"):
                    there.putheader(name, value)
            there.endheaders()
            there.send(body)
            if stop:
                return None
            answer = there.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        except (OSError, HTTPException):
            return None
        finally:
            there.close()

    def _refuse(self, status: int, code: str) -> None:
        text = f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode()
        self.send_response_only(status)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    def _hang_up(self) -> None:
        self.close_connection = True
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_RDWR)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    proxy: Proxy

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that has gone is no news."""


@contextmanager
def proxy_before(upstream: str) -> Iterator[Proxy]:
    """A proxy on 127.0.0.1; it makes no faults until it is told to."""
    proxy = Proxy(upstream)
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.proxy = proxy
        proxy.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield proxy
        finally:
            server.shutdown()
            thread.join()
