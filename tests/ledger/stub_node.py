"""A web server that answers what a test tells it to, or spoils what a real node answers."""

from __future__ import annotations

import json
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Request = dict[str, Any]
Answer = tuple[int, bytes] | None
"""HTTP status and body; None closes the connection without an answer."""


def result(value: Any) -> Answer:
    """A well-formed JSON-RPC answer."""
    return 200, json.dumps({"jsonrpc": "2.0", "id": 1, "result": value}).encode()


def error(code: int, message: str, data: Any = None) -> Answer:
    """A well-formed JSON-RPC error."""
    content = {"code": code, "message": message, "data": data}
    return 200, json.dumps({"jsonrpc": "2.0", "id": 1, "error": content}).encode()


def slow(seconds: float, then: Answer) -> Answer:
    """An answer that comes late."""
    time.sleep(seconds)
    return then


def forward(url: str, request: Request) -> Answer:
    """What the real node says."""
    sent = urllib.request.Request(
        url, json.dumps(request).encode(), {"content-type": "application/json"}
    )
    with urllib.request.urlopen(sent, timeout=10) as answer:
        return 200, answer.read()


@contextmanager
def serving(respond: Callable[[Request], Answer]) -> Iterator[str]:
    """The URL of a server that lives for the length of the block."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # head and body in one packet, or the client waits for the second

        def do_POST(self) -> None:
            length = int(self.headers["content-length"])
            answer = respond(json.loads(self.rfile.read(length)))
            if answer is None:
                self.close_connection = True
                return
            status, body = answer
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing on stderr."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
