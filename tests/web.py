"""A web server in this process for tests, which can fail in all usual ways. It is on 127.0.0.1."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


@dataclass
class Web:
    """What the server gives, and what it was asked for."""

    url: str = ""  # http://127.0.0.1:port
    files: dict[str, bytes] = field(default_factory=dict)  # by path, as /folder/a.png
    statuses: dict[str, list[int]] = field(default_factory=dict)  # of the first answers
    cuts: Counter[str] = field(default_factory=Counter)  # answers that end in the middle
    broken: set[str] = field(default_factory=set)  # answers in chunks, the second is none
    drops: Counter[str] = field(default_factory=Counter)  # connections without an answer
    moved: dict[str, str] = field(default_factory=dict)  # redirects
    delays: dict[str, float] = field(default_factory=dict)  # seconds before an answer
    headers: dict[str, dict[str, str]] = field(default_factory=dict)  # more of them
    no_ranges: set[str] = field(default_factory=set)  # paths that are always given whole
    asked: list[str] = field(default_factory=list)  # paths with their queries
    sent: list[dict[str, str]] = field(default_factory=list)  # the headers of each request
    most: int = 0  # requests at a time
    now: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def put(self, path: str, content: bytes) -> str:
        """Serve bytes; gives their URL."""
        self.files[path] = content
        return self.url + path


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    web: Web

    def do_GET(self) -> None:
        web, path = self.web, self.path.partition("?")[0]
        with web.lock:
            web.asked.append(self.path)
            web.sent.append({name.lower(): value for name, value in self.headers.items()})
            web.now += 1
            web.most = max(web.most, web.now)
        try:
            self._answer(web, path)
        finally:
            with web.lock:
                web.now -= 1

    def _answer(self, web: Web, path: str) -> None:
        time.sleep(web.delays.get(path, 0.0))
        if web.drops[path] > 0:
            web.drops[path] -= 1
            self.close_connection = True
            return
        if path in web.moved:
            self._send(302, b"", {"Location": web.moved[path]})
            return
        if left := web.statuses.get(path):
            self._send(left.pop(0), b"no", web.headers.get(path, {}))
            return
        path = self.path if self.path in web.files else path
        if path not in web.files:
            self._send(404, b"<html>not here</html>", {})
            return
        content, status, more = web.files[path], 200, dict(web.headers.get(path, {}))
        if (asked := self.headers.get("Range")) and path not in web.no_ranges:
            first, _, last = asked.removeprefix("bytes=").partition("-")
            start, stop = int(first), min(int(last), len(content) - 1) + 1
            more["Content-Range"] = f"bytes {start}-{stop - 1}/{len(content)}"
            content, status = content[start:stop], 206
        if path in web.broken:
            self._send_broken(content)
            return
        cut = web.cuts[path] > 0
        web.cuts[path] -= cut
        self._send(status, content, more, cut=cut)

    def _send(
        self, status: int, content: bytes, headers: dict[str, str], *, cut: bool = False
    ) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if cut else content)
        self.close_connection |= cut

    def _send_broken(self, content: bytes) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"%x\r\n%b\r\n" % (len(content), content))
        time.sleep(0.05)  # so that the client has the first one
        self.wfile.write(b"no size\r\n")
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: object, client_address: object) -> None:
        """A client may go before it has its answer."""


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    """A server without files; waits between tries are short."""
    from jaxreg.sources import remote_http

    monkeypatch.setattr(remote_http, "FIRST_WAIT", 0.01)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    web = Web()
    handler = type("Handler", (_Handler,), {"web": web})
    server = _Server(("127.0.0.1", 0), handler)
    web.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield web
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        remote_http.close()
