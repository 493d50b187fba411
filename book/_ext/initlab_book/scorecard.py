"""`{scorecard}`, `{claims-table}` and `{verdicts}`: published claims as tiles, table and counts."""

from __future__ import annotations

import html
import shutil
from typing import Any

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

from initlab import claims
from initlab_book.executed import published_path, study

log = logging.getLogger(__name__)
#: Where programs find the claims on the site.
FILE = "_static/claims.json"


class _OfClaims(SphinxDirective):
    """A directive over the published claims, of one study if named."""

    option_spec = {"study": directives.unchanged_required}  # noqa: RUF012

    def published(self) -> list[dict[str, Any]]:
        path = published_path(self.env.app)
        self.env.note_dependency(str(path))
        wanted = self.options.get("study")
        found = [c for c in claims.published(path) if wanted in (None, c["study"])]
        if not found:
            log.warning(
                "no published claims%s in %s",
                f" of {wanted}" if wanted else "",
                self.config.initlab_claims,
                type="initlab",
                subtype="claims",
                location=self.get_location(),
            )
        return found

    def raw(self, markup: str) -> nodes.raw:
        return nodes.raw("", markup, format="html")

    def up(self) -> str:
        return "../" * self.env.docname.count("/")

    def file_link(self) -> str:
        return f"<a href='{self.up()}{FILE}'>claims.json</a>"


class Scorecard(_OfClaims):
    """One tile per claim, under a line that counts the verdicts."""

    def run(self) -> list[nodes.Node]:
        """Give the tiles."""
        found = self.published()
        chapters = {study(name): name for name in self.env.found_docs if "notebooks/" in name}
        tiles = "".join(self._tile(claim, chapters.get(claim["study"])) for claim in found)
        return [
            self.raw(
                f"<p class='scorecard-summary'>{summary(found)} "
                f"<span class='data'>{self.file_link()}</span></p>"
                f"<ul class='scorecard'>{tiles}</ul>"
            )
        ]

    def _tile(self, claim: dict[str, Any], chapter: str | None) -> str:
        name = html.escape(claim["id"])
        if chapter:
            target = self.env.app.builder.get_relative_uri(self.env.docname, chapter)
            name = f"<a href='{target}#claim-{name}'>{name}</a>"
        ours = claims.measured(claim["checks"][claim["headline"]])
        return (
            f"<li class='tile {kind(claim['verdict'])}'>"
            f"<p class='tile-head'><span class='tile-id'>{name}</span>"
            f"{verdict(claim['verdict'])}</p>"
            f"<p class='tile-statement'>{html.escape(claim['statement'])}</p>"
            f"<dl><dt>Paper</dt><dd>{html.escape(claim['paper'])}</dd>"
            f"<dt>Here</dt><dd>{ours}</dd></dl></li>"
        )


class ClaimsTable(_OfClaims):
    """Every claim with its checks, as the chapters show it."""

    def run(self) -> list[nodes.Node]:
        """Give the table."""
        return [self.raw(claims.table(self.published()))]


class Verdicts(_OfClaims):
    """A line that counts the verdicts."""

    def run(self) -> list[nodes.Node]:
        """Give the line."""
        return [self.raw(f"<p class='scorecard-summary'>{summary(self.published())}</p>")]


class ClaimsFile(_OfClaims):
    """A line that leads to the claims as a file."""

    def run(self) -> list[nodes.Node]:
        """Give the link."""
        return [self.raw(f"<p>{self.file_link()}</p>")]


def kind(verdict: str) -> str:
    """The CSS class of a verdict."""
    return verdict.replace(" ", "-")


def verdict(name: str) -> str:
    """A verdict as a coloured word; its sign comes with the class, so colour is not alone."""
    return f"<span class='verdict {kind(name)}'>{name}</span>"


def summary(found: list[dict[str, Any]]) -> str:
    """How many claims met which verdict; that none failed is said as well.

    >>> "<b>0</b> <span class='verdict not-reproduced'>" in summary([])
    True
    """
    counts = {name: sum(c["verdict"] == name for c in found) for name in claims.VERDICTS}
    parts = [
        f"<span><b>{n}</b> {verdict(name)}</span>"
        for name, n in counts.items()
        if n or name == "not reproduced"
    ]
    return " ".join([f"<span>{len(found)} claim{'s' * (len(found) != 1)}</span>", *parts])


def _publish_file(app: Sphinx, exception: Exception | None) -> None:
    path = published_path(app)
    if exception is None and app.builder.format == "html" and path.is_file():
        target = app.outdir / FILE
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directives and the file."""
    app.add_directive("scorecard", Scorecard)
    app.add_directive("claims-table", ClaimsTable)
    app.add_directive("claims-file", ClaimsFile)
    app.add_directive("verdicts", Verdicts)
    app.connect("build-finished", _publish_file)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
