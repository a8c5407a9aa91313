"""Show the answer page of a study while it runs, refreshed as its runs end.

In:  a study's configuration file (--study), and the results beside it.
Out: a page on http://127.0.0.1:PORT, for browsers of this machine only, until Ctrl-C. Nothing is
     written and nothing is started.

Example:
  watch.py --study config/config.yaml
"""

import errno
import json
import mimetypes
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from optlab import command_line
from optlab.errors import UserError, in_one_line
from optlab.study import reading

HOST = "127.0.0.1"
PAUSE = 2.0  # seconds between two looks at the files, and at least as long as a page takes


@in_one_line
def main(words: Sequence[str] | None = None) -> int:
    p = command_line.Parser(__doc__)
    command_line.add_study(p)
    p.add_argument("--port", type=int, default=8765, help="0: any that is free (8765)")
    arguments = p.parse_args(words)
    if not 0 <= arguments.port <= 65535:
        raise UserError(f"--port {arguments.port}: must be between 0 and 65535")
    study = reading.load(arguments.study)
    from optlab.page.so_far import SoFar  # Bokeh: not before the words are checked

    found = SoFar(study)
    with server(arguments.port, Path("results", study["study"])) as serving:
        renew(serving, found)
        while not serving.page:
            time.sleep(PAUSE)
            renew(serving, found)
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        print(f"the page: http://{HOST}:{serving.server_port} (Ctrl-C ends it)", flush=True)
        while True:
            began = time.monotonic()
            renew(serving, found)
            time.sleep(max(PAUSE, time.monotonic() - began))


def renew(serving: "Server", found: Any) -> None:
    """Look at the study (`SoFar`), and serve its page if a run has ended since.

    Metrics that are just being replaced are not those that the record describes: the next look
    finds both. Nothing is set aside.
    """
    version = found.look()
    serving.progress = found.progress
    if version != serving.version:
        with suppress(UserError):
            serving.show(version, found.page())


class Server(ThreadingHTTPServer):
    """Serves the page, its progress, and the files of the study that the page links to.

    Attributes:
        version: changes with the page.
        progress: of the study.
        folder: of its results.
    """

    daemon_threads = True
    version, page = "", b""

    def __init__(self, port: int, folder: Path):
        super().__init__((HOST, port), Handler)
        self.folder = folder.resolve()
        self.progress: dict[str, Any] = {}

    def show(self, version: str, page: str) -> None:
        """Serve this page from now on."""
        self.page, self.version = page.encode(), version


def server(port: int, folder: Path) -> Server:
    """The server on a port of this machine.

    Raises:
        UserError: the port is taken, or not allowed.
    """
    try:
        return Server(port, folder)
    except OSError as error:
        taken = error.errno in (errno.EADDRINUSE, errno.EACCES)
        hint = "; give another one with --port, or 0" if taken else ""
        raise UserError(f"port {port}: {error.strerror}{hint}") from error


class Handler(BaseHTTPRequestHandler):
    """Answers GET; nothing can be changed."""

    server: Server

    def do_GET(self) -> None:
        # A page of elsewhere must not read this one by a name that leads to this machine.
        host = self.headers.get("Host", "").rpartition(":")[0]
        if host not in (HOST, "localhost"):
            return self.send_error(HTTPStatus.FORBIDDEN)
        path = unquote(urlsplit(self.path).path).lstrip("/")
        if path in ("", "index.html"):
            return self._send(self.server.page, "text/html; charset=utf-8")
        if path == "state":
            news = {"version": self.server.version, **self.server.progress}
            return self._send(json.dumps(news).encode(), "application/json")
        file = (self.server.folder / path).resolve()
        if not (file.is_relative_to(self.server.folder) and file.is_file()):
            return self.send_error(HTTPStatus.NOT_FOUND)
        kind = mimetypes.guess_type(file.name)[0] or "text/plain"
        return self._send(file.read_bytes(), kind)

    def _send(self, content: bytes, kind: str) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Requests are not logged."""


if __name__ == "__main__":
    sys.exit(main())
