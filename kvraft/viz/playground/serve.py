"""Serves a folder on this machine alone, with the types that modules and WebAssembly need."""

from __future__ import annotations

from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from kvraft.errors import BadInput

HOST = "127.0.0.1"


class _Handler(SimpleHTTPRequestHandler):
    # Some systems have these types wrong, and then a browser refuses the file.
    extensions_map = SimpleHTTPRequestHandler.extensions_map | {
        ".css": "text/css",
        ".html": "text/html; charset=utf-8",
        ".mjs": "text/javascript",
        ".wasm": "application/wasm",
        ".zip": "application/zip",
    }

    def end_headers(self) -> None:
        """End the headers: a page that was built again is fetched again."""
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing: a request is not news."""


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """Print nothing: a browser that closes a connection early is not an error."""


def server(folder: Path, port: int) -> ThreadingHTTPServer:
    """Return a server of ``folder`` on ``port`` of 127.0.0.1, 0 for a free one.

    Raises :class:`~kvraft.errors.BadInput` if the port cannot be used, such as one that is in use.
    The caller runs ``serve_forever`` and closes it.
    """
    try:
        return _Server((HOST, port), partial(_Handler, directory=str(folder)))
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or error
        raise BadInput(f"port {port} of {HOST} cannot be used: {why}") from None
