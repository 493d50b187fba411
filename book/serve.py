"""The built site on this machine: `python book/serve.py FOLDER PORT`.

As a host of static sites serves it: to this machine alone, its own files alone.
"""

from __future__ import annotations

import sys
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class Site(SimpleHTTPRequestHandler):
    """Files of one folder; neither what links lead to outside it, nor lists of what there is."""

    def send_head(self) -> Any:
        """See `http.server`; nothing of what the site has not."""
        root = Path(self.directory).resolve()
        try:
            found = Path(self.translate_path(self.path)).resolve(strict=True)
            file = (found / "index.html").resolve(strict=True) if found.is_dir() else found
            has = file.is_relative_to(root)
        except (OSError, ValueError):  # ValueError: no file can have this name
            has = False
        if not has:
            self.send_error(HTTPStatus.NOT_FOUND)
            return None
        return super().send_head()


def serve(folder: str, port: int) -> ThreadingHTTPServer:
    """A server of a folder at a port of 127.0.0.1; port 0 is any that is free."""
    return ThreadingHTTPServer(("127.0.0.1", port), partial(Site, directory=folder))


if __name__ == "__main__":
    with serve(sys.argv[1], int(sys.argv[2])) as server:
        print(f"The book: http://127.0.0.1:{server.server_port}/ (Ctrl-C ends it)", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()
