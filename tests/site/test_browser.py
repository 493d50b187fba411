"""The built site, opened in a real browser.

`INITLAB_SITE_DIR` names a site that is already built; `INITLAB_SHOTS` a folder for pictures of
every page at desktop and phone width, light and dark.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "book"))

import pages  # noqa: E402

from initlab import init  # noqa: E402

pytestmark = pytest.mark.site

DESKTOP, PHONE = 1280, 390


TOC = list(pages.documents(yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf8"))))
CHAPTERS = [name for name in TOC if name.startswith("notebooks/")]
PAGES = [f"{name}.html" for name in TOC] + ["search.html?q=initialization", "genindex.html"]


def test_every_expected_page_is_there(site):
    pages.check(site)


@pytest.mark.parametrize("width", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_whole(visit, name, width):
    """In one scheme as it is opened, and in the other when the reader's machine changes to it."""
    schemes = ("light", "dark") if width == DESKTOP else ("dark", "light")
    seen = visit(name, width=width, scheme=schemes[0])
    for scheme in schemes:
        seen.page.emulate_media(color_scheme=scheme)
        seen.page.wait_for_function(f"document.documentElement.dataset.theme === '{scheme}'")
        if shots := os.environ.get("INITLAB_SHOTS"):
            stem = name.split(".html")[0].replace("/", "-")
            seen.page.screenshot(path=Path(shots, f"{stem}-{width}-{scheme}.png"), full_page=True)
        assert seen.problems == []
        overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert seen.page.evaluate(overflow) <= 0, "the page is wider than the window"
        assert "".join(seen.page.locator("main h1").all_inner_texts()).strip()


def test_the_root_leads_to_the_front_page(visit):
    seen = visit("")
    seen.page.wait_for_url("**/book/index.html")
    assert seen.problems == []


def test_search_finds_pages(visit):
    seen = visit("search.html?q=length")
    seen.page.wait_for_selector("#search-results li a")
    assert seen.problems == []


def test_light_and_dark_can_be_chosen(visit):
    seen = visit("book/index.html", scheme="light")
    page = seen.page
    colour = "getComputedStyle(document.body).backgroundColor"
    seen_themes = {page.evaluate("document.documentElement.dataset.theme"): page.evaluate(colour)}
    for _ in range(3):  # automatic, light, dark
        page.locator(".theme-switch-button").first.click()
        theme = page.evaluate("document.documentElement.dataset.theme")
        seen_themes[theme] = page.evaluate(colour)
    assert seen_themes.keys() == {"light", "dark"}
    assert len(set(seen_themes.values())) == 2
    assert seen.problems == []


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_chapter_opens_elsewhere_and_downloads_without_outputs(visit, name):
    seen = visit(f"{name}.html")
    links = seen.page.locator("a.badge-link")
    targets = links.evaluate_all("(all) => all.map((a) => a.href)")
    repository = yaml.safe_load((ROOT / "_config.yml").read_text())["repository"]["url"]
    owner_and_name = repository.split("/", 3)[3]
    assert len(targets) == 3
    assert all(owner_and_name in target for target in targets[:2])
    source = seen.page.request.get(targets[2]).json()
    assert not any(cell.get("outputs") for cell in source["cells"])


def test_the_claims_are_served_as_a_file(visit):
    seen = visit("book/index.html")
    link = seen.page.locator(".scorecard-summary .data a")
    claims = seen.page.request.get(link.evaluate("(a) => a.href")).json()
    marks = seen.page.locator("table.marks a.mark")
    assert len(claims) == marks.count() > 0
    assert seen.page.locator("table.marks tbody tr").count() == len(CHAPTERS)
    target = marks.first.evaluate("(a) => a.href")
    chapter = visit(target.split("/lab/")[1].split("#")[0])
    assert chapter.page.locator(f"[id='{target.split('#')[1]}']").count() == 1


def test_all_initializers_can_be_filtered(visit):
    seen = visit("book/initializers.html")
    rows, shown = (seen.page.locator(f"table.starts tbody tr{s}") for s in ("", ":not([hidden])"))
    assert rows.count() == shown.count() == len(init.RULES | init.SCHEMES)
    form = seen.page.locator("form.table-filter")
    for select in form.locator("select").all():
        value = select.locator("option").nth(1).inner_text()
        field = select.get_attribute("name")
        select.select_option(value)
        fits = [row for row in rows.all() if row.get_attribute(f"data-{field}") == value]
        assert 0 < shown.count() == len(fits) < rows.count(), (field, value)
        told = form.locator("output").inner_text()
        assert told == f"{len(fits)} of {rows.count()} initializers"
        select.select_option("")
    links = seen.page.locator("table.starts th a").all()
    targets = [link.get_attribute("href") for link in links]
    assert all(seen.page.locator(target).count() == 1 for target in targets)
    assert seen.problems == []


def test_all_claims_can_be_filtered(visit):
    seen = visit("book/claims.html")
    page = seen.page
    rows, shown = page.locator("table.claims tbody tr"), "table.claims tbody tr:not([hidden])"
    claims = page.request.get(page.url.rsplit("/", 2)[0] + "/_static/claims.json").json()
    assert rows.count() == len(claims)
    for field, value, fits in (
        ("verdict", "undecided", lambda c: c["verdict"] == "undecided"),
        ("study", claims[0]["study"], lambda c: c["study"] == claims[0]["study"]),
        ("bound", "source", lambda c: any(k["bound_by"] == "source" for k in c["criteria"])),
    ):
        page.locator(f"form.table-filter select[name='{field}']").select_option(value)
        assert page.locator(shown).count() == sum(map(fits, claims))
        told = page.locator("form.table-filter output").inner_text()
        assert told == f"{sum(map(fits, claims))} of {len(claims)} claims"
        page.locator(f"form.table-filter select[name='{field}']").select_option("")
    linked = visit("book/claims.html?verdict=undecided")
    expected = sum(c["verdict"] == "undecided" for c in claims)
    assert linked.page.locator(shown).count() == expected
    assert seen.problems == linked.problems == []
