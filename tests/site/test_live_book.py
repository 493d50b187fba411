"""The live sections where readers meet them: on the front page and in the built chapters."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml
from firefox import NAMES, Firefox

from tests.wait import WAIT

pytestmark = pytest.mark.site

ROOT = Path(__file__).resolve().parents[2]
#: Which page has which section.
PAGES = {
    "book/index": "start",
    "notebooks/01-how-to-start-training": "start",
    "notebooks/02-scaling-and-convergence": "scale",
    "notebooks/03-staying-near-the-start": "travel",
    "notebooks/04-when-reinitialization-works": "reinit",
    "notebooks/05-initialization-memory": "memory",
}
HOST = "document.querySelector('.initlab-live[data-live]')"
TRAINED = f"{HOST}.live?.trainer.run.step >= 30"
#: Moves the first slider one step, and gives how often networks were drawn before.
NUDGE = f"""(() => {{
  const slider = {HOST}.firstElementChild.shadowRoot.querySelector("input[type=range]");
  slider.valueAsNumber += slider.valueAsNumber < Number(slider.max) ? 1 : -1;
  slider.dispatchEvent(new Event("input", {{ bubbles: true }}));
  return {HOST}.live.trainer.run.generation;
}})()"""
AGAIN = f"{HOST}.live.trainer.run.generation > %d && {HOST}.live.trainer.run.step > 5"


def foreign(urls: list[str], home: str) -> list[str]:
    own = (home, "about:", "data:", "blob:")
    return [u for u in urls if not u.startswith(own) and not u.endswith("/favicon.ico")]


@pytest.mark.parametrize("name, section", PAGES.items())
def test_a_page_trains_and_restarts(browser, address, name, section):
    problems: list[str] = []
    asked: list[str] = []
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    try:
        page = context.new_page()
        page.set_default_timeout(WAIT)
        page.on("console", lambda m: m.type == "error" and problems.append(m.text))
        page.on("pageerror", lambda e: problems.append(f"uncaught: {e}"))
        page.on("request", lambda r: asked.append(r.url))
        page.goto(f"{address}{name}.html")
        page.wait_for_load_state("networkidle")
        assert not [url for url in asked if "/ort/" in url or "/graphs/" in url], "not in view yet"
        assert json.loads(page.evaluate(f"{HOST}.dataset.live"))["section"] == section
        assert page.locator(".initlab-live svg").first.is_visible(), "the still figure"
        page.evaluate(f"{HOST}.scrollIntoView()")
        page.wait_for_function(TRAINED)
        before = page.evaluate(NUDGE)
        page.wait_for_function(AGAIN % before)
        loss = page.evaluate(f"Array.from({HOST}.live.trainer.run.now.loss)")
        assert any(0 < value < 100 for value in loss)
        hidden = f"[...{HOST}.children].slice(1).every((still) => !still.checkVisibility())"
        assert page.evaluate(hidden), "the still figure beside the live one"
    finally:
        context.close()
    assert foreign(asked, address) == []
    assert [text for text in problems if "favicon" not in text] == []


@pytest.mark.skipif(not any(map(shutil.which, NAMES)), reason="no Firefox on this machine")
def test_the_pages_train_in_firefox(address):
    with Firefox() as firefox:
        firefox.size(1280, 900)
        for name in PAGES:
            firefox.goto(f"{address}{name}.html")
            firefox.evaluate(f"{HOST}.scrollIntoView()")
            firefox.until(TRAINED)
            firefox.until(AGAIN % firefox.evaluate(NUDGE))
        assert foreign(firefox.requests, address) == []
        assert firefox.problems == []


def test_every_chapter_with_a_live_section_is_named_here():
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf8"))
    listed = json.dumps(toc)
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        has = "from initlab.live import Live" in path.read_text(encoding="utf8")
        assert has == (f"notebooks/{path.stem}" in PAGES)
        assert not has or path.stem in listed
