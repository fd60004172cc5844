"""A server on this machine that behaves as badly as a test asks it to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import NamedTuple


class Request(NamedTuple):
    """What was asked for."""

    path: str
    start: int
    """First byte of the range; 0 for the whole."""


class Answer(NamedTuple):
    """What the server does with one request."""

    status: int = 200
    content: bytes = b""
    cut_after: int | None = None
    """Bytes of this answer's body after which the connection is closed."""

    ranges: bool = True
    location: str | None = None
    headers: tuple[tuple[str, str], ...] = ()


class Server(NamedTuple):
    """Where it listens, and everything that it was asked."""

    address: str
    requests: list[Request]


@contextmanager
def serving(answer: Callable[[Request], Answer]) -> Iterator[Server]:
    """A server that answers every GET and HEAD as the function says."""
    requests: list[Request] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:  # noqa: N802
            self.reply(body=True)

        def do_HEAD(self) -> None:  # noqa: N802
            self.reply(body=False)

        def reply(self, *, body: bool) -> None:
            start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").split("-")[0])
            requests.append(Request(self.path, start))
            chosen = answer(requests[-1])
            status, content = chosen.status, chosen.content
            if status == 200 and chosen.ranges and start:
                status, content = (206, content[start:]) if start < len(content) else (416, b"")
            self.send_response(status)
            for name, value in (*chosen.headers, *((("Location", chosen.location),) if chosen.location else ())):
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if body:
                self.wfile.write(content[: chosen.cut_after])
            if chosen.cut_after is not None:
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield Server(f"http://127.0.0.1:{server.server_port}", requests)
    finally:
        server.shutdown()
        server.server_close()
