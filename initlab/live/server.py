"""The built book behind the login of a Jupyter server, at whose kernels its cells are run.

A Jupyter Server extension: `python -m initlab live` loads it into a server of its own, and
`jupyter server --ServerApp.jpserver_extensions='{"initlab.live.server": true}'` into any other.
Page and kernels have one origin, so that neither CORS nor a pasted token is needed, and the page
carries nothing secret: the browser shows the login's cookie. A server that strangers could reach
or use is refused: whoever may run a cell may do what its owner may.
"""

from __future__ import annotations

import ipaddress
import json
import os
import re
import secrets
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.serverapp import ServerApp
from jupyter_server.utils import url_path_join
from tornado import web
from tornado.httputil import url_concat
from traitlets.config import Config

#: Environment variable that names the folder of the built book.
SITE = "INITLAB_SITE"
#: What the page loads when it has a server, and only then; bundled by `make vendor`.
SCRIPTS = "_static/vendor/cells"
#: Seconds that a kernel may do nothing before it is ended.
IDLE = 30 * 60
#: An origin that nobody has. A pattern that lets it in lets everybody in.
NOBODY = "https://nobody.invalid"


def dangers(app: ServerApp) -> Iterator[str]:
    """What lets strangers use this server, one clause each."""
    identity = app.identity_provider
    if not identity.token or not identity.auth_enabled:
        yield "it has no token, so that anybody on this machine could run code"
    if not app.sock and is_public(app.ip):
        yield f"the address {app.ip or '*'} can be reached from other machines; take 127.0.0.1"
    if app.allow_origin == "*" or re.match(app.allow_origin_pat or "$^", NOBODY):
        yield "every web page could use it; leave allow_origin as it is"
    if app.disable_check_xsrf:
        yield "requests are not checked for forgery; leave disable_check_xsrf as it is"
    if app.allow_remote_access and not is_public(app.ip):
        yield "it answers under foreign host names; leave allow_remote_access as it is"


def is_public(host: str) -> bool:
    """Whether a server bound to this name or address can be reached from other machines.

    A name that cannot be looked up counts as public.

    >>> [is_public(host) for host in ("127.0.0.1", "::1", "0.0.0.0", "::", "", "192.0.2.1")]
    [False, False, True, True, True, True]
    """
    try:
        found = socket.getaddrinfo(host or "0.0.0.0", None)
    except OSError:
        return True
    addresses = (str(entry[4][0]).partition("%")[0] for entry in found)
    return not all(ipaddress.ip_address(address).is_loopback for address in addresses)


def refuse(reasons: list[str]) -> None:
    """End the program, if there is a reason, with one line on stderr and status 2."""
    if reasons:
        print(f"initlab: this server is refused: {'; '.join(reasons)}", file=sys.stderr)
        sys.exit(2)


class Page(JupyterHandler, web.StaticFileHandler):
    """A file of the site, for those who are logged in."""

    @web.authenticated
    async def get(self, path: str, include_body: bool = True) -> None:  # type: ignore[override]
        """Give the file; a chapter's page with what it needs to reach its kernel."""
        if self.get_query_argument("token", None):
            # The cookie is set by now. A token in the address bar ends in history and pictures.
            self.redirect(self.request.path)
            return
        chapter = self._chapter(path)
        if chapter is None:
            await web.StaticFileHandler.get(self, path, include_body)
            return
        # Reading the token is what sets the cookie that the page's requests prove themselves by.
        assert self.xsrf_token
        self.set_header("Content-Type", "text/html; charset=UTF-8")
        self.set_header("Cache-Control", "no-store")
        page = Path(self.root, path).read_text(encoding="utf8")
        self.finish(page.replace("</head>", f"{self._head(chapter)}</head>", 1))

    @web.authenticated
    async def head(self, path: str) -> None:  # type: ignore[override]
        """Give what describes the file."""
        await web.StaticFileHandler.get(self, path, include_body=False)

    def validate_absolute_path(self, root: str, absolute_path: str) -> str | None:
        """Refuse what is not in the site, or only as a link to what is not."""
        if not self._has(absolute_path):
            raise web.HTTPError(404)
        return super().validate_absolute_path(root, absolute_path)

    def _has(self, path: str) -> bool:
        """Whether the site has a file or a folder of this name."""
        root = Path(self.root).resolve()
        try:
            return (root / path).resolve(strict=True).is_relative_to(root)
        except (OSError, ValueError):  # ValueError: no file can have this name
            return False

    def _chapter(self, path: str) -> str | None:
        """The notebook that a page shows, if it shows one."""
        notebook = f"{path.removesuffix('.html')}.ipynb"
        is_page = path.endswith(".html") and self._has(path)
        return notebook if is_page and self._has(f"_sources/{notebook}") else None

    def _head(self, chapter: str) -> str:
        settings = {"base": self.base_url, "notebook": chapter, "kernel": "python3"}
        # Inside a script element only "<" can end it early.
        data = json.dumps(settings).replace("<", "\\u003c")
        scripts = url_path_join(self.base_url, "book", SCRIPTS)
        return (
            f'<script type="application/json" id="initlab-server">{data}</script>'
            f'<link rel="stylesheet" href="{scripts}/main.css">'
            f'<script type="module" src="{scripts}/main.js"></script>'
        )

    def compute_etag(self) -> None:
        """Give none: a site that was built anew is seen anew."""
        return None

    def set_extra_headers(self, path: str) -> None:
        """Let the browser keep a copy, and ask whether it still holds."""
        self.set_header("Cache-Control", "no-cache")


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "initlab.live.server"}]


def _load_jupyter_server_extension(app: ServerApp) -> None:
    site = Path(os.environ.get(SITE, "_build/html")).resolve()
    found = list(dangers(app))
    if not (site / "index.html").is_file():
        found.append(f"there is no book in {site}; build it with `make book`")
    elif not (site / SCRIPTS / "main.js").is_file():
        found.append(f"the book in {site} has no {SCRIPTS}; build it again with `make book`")
    # It ends the program: an exception would be logged, and the server start without the book.
    refuse(found)
    route = url_path_join(app.base_url, r"/book/(.*)")
    options = {"path": str(site), "default_filename": "index.html"}
    app.web_app.add_handlers(".*", [(route, Page, options)])


class BookServer(ServerApp):
    """A Jupyter server for the book and nothing else, with a token and a secret of its own.

    What a user has configured for other Jupyter servers is not read.
    """

    name = "initlab-live"

    def find_server_extensions(self) -> None:
        """Find none: the book's own is the only one."""

    def load_config_file(self, *_: object, **__: object) -> None:
        """Read no file."""

    def init_configurables(self) -> None:
        """Look at the settings before anything else does."""
        super().init_configurables()
        refuse(list(dangers(self)))

    def start_app(self) -> None:
        """Start, and tell where."""
        super().start_app()
        page = url_path_join(self.connection_url, "book/")
        address = url_concat(page, {"token": self.identity_provider.token})
        print(f"The book, with code to run: {address}\nCtrl-C ends it.", flush=True)


def serve(port: int, options: list[str]) -> None:
    """Serve the book until Ctrl-C; `options` are those of Jupyter Server, and come last.

    Raises `SystemExit` with status 2 for a server that strangers could use, and for a site that
    is not there or was built without its scripts.
    """
    config = Config()
    config.ServerApp.ip = "127.0.0.1"
    config.ServerApp.port = port
    config.ServerApp.default_url = "/book/"
    config.ServerApp.open_browser = False
    config.ServerApp.answer_yes = True
    config.ServerApp.terminals_enabled = False
    config.ServerApp.allow_unauthenticated_access = False
    config.ServerApp.log_level = "WARN"
    config.IdentityProvider.token = os.environ.get("JUPYTER_TOKEN", secrets.token_hex(24))
    # Milliseconds. Jupyter's default is over tornado's limit, which each connection then tells.
    config.ServerApp.tornado_settings = {"ws_ping_timeout": 30_000}
    if os.name == "posix":
        # Sockets in a folder of the user's instead of ports that every user could reach.
        config.KernelManager.transport = "ipc"
    config.MappingKernelManager.cull_idle_timeout = IDLE
    config.MappingKernelManager.cull_interval = 60
    # An open page is no reason to keep a kernel: the page says so, and starts another.
    config.MappingKernelManager.cull_connected = True
    BookServer.launch_instance(
        options,
        config=config,
        jpserver_extensions={"initlab.live.server": True},
        no_browser_open_file=True,
        cookie_secret=secrets.token_bytes(32),
    )
