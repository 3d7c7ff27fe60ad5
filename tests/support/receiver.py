"""A receiver of alerts: an HTTP server on this machine."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Receiver:
    """An HTTP server on this machine: keeps what is posted to it, and answers if it `goes_on`."""

    def __init__(self) -> None:
        self.posted: list[dict[str, str]] = []
        self.status = 200
        self.goes_on = threading.Event()
        self.goes_on.set()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.posted.append(json.loads(body))
                receiver.goes_on.wait()
                self.send_response(receiver.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_request(self, code: object = "-", size: object = "-") -> None:
                del code, size

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self.thread.start()

    @property
    def port(self) -> int:
        """Return where it listens."""
        return self.server.server_port

    @property
    def url(self) -> str:
        return f"json://user:hidden@127.0.0.1:{self.port}/hook"

    def close(self) -> None:
        """Stop; a second time changes nothing."""
        self.goes_on.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()
