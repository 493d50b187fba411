"""`{claims-marks}`, `{claims-table}`, `{verdicts}` and `{claims-file}`: views of published claims.

Wording and bounds come from the registry, numbers from the published results.
"""

from __future__ import annotations

import html
import json
from importlib.resources import files
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
#: What the table of all claims is filtered by: the rows' attribute, and its name for a reader.
FILTERS = {"study": "Study", "verdict": "Verdict", "bound": "Whose bound", "asked": "Asked"}
BOUNDS = {"source": "the source's", "ours": "ours"}


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

    def chapters(self) -> dict[str, str]:
        """Address of each study's chapter, from this page, in the order of the book."""
        names = sorted(n for n in self.env.found_docs if "notebooks/" in n)
        builder = self.env.app.builder
        return {study(n): builder.get_relative_uri(self.env.docname, n) for n in names}

    def raw(self, markup: str) -> nodes.raw:
        return nodes.raw("", markup, format="html")

    def up(self) -> str:
        return "../" * self.env.docname.count("/")

    def file_link(self) -> str:
        return f"<a href='{self.up()}{FILE}'>claims.json</a>"


class Marks(_OfClaims):
    """One row per chapter, one mark per claim."""

    def run(self) -> list[nodes.Node]:
        """Give the rows."""
        found = self.published()
        rows = "".join(
            self._row(name, address, [c for c in found if c["study"] == name])
            for name, address in self.chapters().items()
        )
        return [
            self.raw(
                f"<p class='scorecard-summary'>{summary(found)}"
                f"<span class='data'>{self.file_link()}</span></p>"
                f"<table class='marks'><caption>Every claim, chapter by chapter</caption>"
                f"<thead><tr><th scope='col'>Chapter</th><th scope='col'>Claims</th></tr></thead>"
                f"<tbody>{rows}</tbody></table>"
            )
        ]

    def _row(self, name: str, address: str, found: list[dict[str, Any]]) -> str:
        marks = "".join(mark(c, address) for c in found)
        title = html.escape(claims.study(name).title if found else name)
        return (
            f"<tr><th scope='row'><a href='{address}'>{title}</a></th>"
            f"<td><ul class='mark-row'>{marks}</ul></td></tr>"
        )


class ClaimsTable(_OfClaims):
    """Every claim with its criteria, filtered by study, verdict and whose bound."""

    def run(self) -> list[nodes.Node]:
        """Give the table."""
        found, chapters = self.published(), self.chapters()
        address = self.config.html_theme_options["repository_url"]
        branch = self.config.html_theme_options.get("repository_branch", "main")
        lines: dict[str, list[str]] = {}

        def links(claim: dict[str, Any]) -> str:
            name = claim["study"]
            if name not in lines:
                lines[name] = registry_text(name).splitlines()
            at = next((i for i, s in enumerate(lines[name], 1) if _is_id(s, claim["id"])), 1)
            parts = []
            if name in chapters and claim["figure"]:
                parts.append(f"<a href='{chapters[name]}#{claim['figure']}'>its figure</a>")
            if name in chapters:
                parts.append(f"<a href='{chapters[name]}#claim-{claim['id']}'>in its chapter</a>")
            place = f"{address}/blob/{branch}/initlab/studies/{name}.toml#L{at}"
            parts.append(f"<a href='{place}'>its entry in the registry</a>")
            return f"<p class='claim-links'>{' · '.join(parts)}</p>"

        script = f"<script type='module' src='{self.up()}_static/table-filter.js'></script>"
        return [self.raw(filters(found) + claims.table(found, links) + script)]


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


def registry_text(name: str) -> str:
    """The registry of a study as it is written."""
    return files("initlab.studies").joinpath(f"{name}.toml").read_text("utf8")


def _is_id(line: str, name: str) -> bool:
    return line.replace(" ", "") == f'id="{name}"'


def filters(found: list[dict[str, Any]]) -> str:
    """Choices for a table of claims; a script shows them and puts them to work."""
    fields = []
    for field, label in FILTERS.items():
        values = {c["study"]: claims.study(c["study"]).title for c in found}
        if field == "verdict":
            values = {v: v for v in claims.VERDICTS if any(c["verdict"] == v for c in found)}
        elif field == "bound":
            values = BOUNDS
        elif field == "asked":
            values = {v: f"{v} the results" for v in sorted({c["asked"] for c in found})}
        options = "".join(
            f"<option value='{html.escape(v)}'>{html.escape(name)}</option>"
            for v, name in values.items()
        )
        fields.append(
            f"<label>{label} <select name='{field}'><option value=''>all</option>{options}"
            "</select></label>"
        )
    return (
        "<form class='table-filter' data-table='claims' data-things='claims' data-several='bound' "
        f"hidden>{''.join(fields)}<output>{len(found)} claims</output></form>"
    )


def mark(claim: dict[str, Any], address: str) -> str:
    """A claim as a small sign that leads to its row; hollow where it was asked afterwards."""
    name, verdict_ = html.escape(claim["id"]), claim["verdict"]
    asked = ", asked afterwards" if claim["asked"] == "afterwards" else ""
    told = html.escape(f"{claim['id']}, {verdict_}{asked}: {claim['statement']}", quote=True)
    return (
        f"<li><a class='mark {claims.kind(verdict_)} {claim['asked']}' "
        f"href='{address}#claim-{name}' title='{told}' aria-label='{told}'></a></li>"
    )


def verdict(name: str) -> str:
    """A verdict as a coloured word; its sign comes with the class, so colour is not alone."""
    return f"<span class='verdict {claims.kind(name)}'>{name}</span>"


def summary(found: list[dict[str, Any]]) -> str:
    """How many claims met which verdict, those registered before their results alone.

    >>> summary([])
    '<span>0 claims registered before the results</span>'
    """
    before = [c for c in found if c["asked"] == "before"]
    parts = [
        f"<span><b>{n}</b> {verdict(name)}</span>"
        for name, n in claims.counts(before).items()
        if n or (before and name == claims.NOT)
    ]
    after = len(found) - len(before)
    told = f"{len(before)} claim{'s' * (len(before) != 1)} registered before the results"
    later = f"<span>{after} asked afterwards, not counted</span>" if after else ""
    return " ".join(filter(None, [f"<span>{told}</span>", *parts, later]))


def _publish_file(app: Sphinx, exception: Exception | None) -> None:
    path = published_path(app)
    if exception is None and app.builder.format == "html" and path.is_file():
        target = app.outdir / FILE
        target.parent.mkdir(parents=True, exist_ok=True)
        known = json.dumps(claims.published(path), indent=1, ensure_ascii=False)
        target.write_text(known + "\n", encoding="utf8")


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directives and the file."""
    app.add_directive("claims-marks", Marks)
    app.add_directive("claims-table", ClaimsTable)
    app.add_directive("claims-file", ClaimsFile)
    app.add_directive("verdicts", Verdicts)
    app.connect("build-finished", _publish_file)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
