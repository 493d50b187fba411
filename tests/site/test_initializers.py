"""The reference page has an entry for everything that is registered, measured as it is shown."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
EXTENSION = ROOT / "book" / "_ext"
sys.path.insert(0, str(EXTENSION))

from initlab_book import initializers  # noqa: E402
from sphinx.application import Sphinx  # noqa: E402
from sphinx.util.docutils import docutils_namespace  # noqa: E402

from initlab import init  # noqa: E402

OPTIONS = {"repository_url": "https://github.com/a/b"}
ALL = init.RULES | init.SCHEMES


@pytest.mark.parametrize("name", ALL)
def test_every_initializer_has_an_entry(name):
    state = torch.get_rng_state()
    text = "\n".join(initializers.entry(name, ALL[name], OPTIONS))
    assert torch.equal(state, torch.get_rng_state())
    assert text.startswith(f"### {ALL[name].label}\n")
    assert text.count("<svg") == 3
    assert not re.search(r"points='[^']*(nan|inf)", text)
    start = ALL[name]
    for said in (start.formula, start.use, start.preserves, start.source, start.note):
        assert said in text
    file, line = re.search(r"blob/main/(\S+\.py)#L(\d+)\)", text).groups()
    source = (ROOT / file).read_text().splitlines()
    assert f"class {type(ALL[name]).__name__}(" in "\n".join(source[int(line) - 1 :][:3])


def test_sources_are_in_the_bibliography():
    keys = set(re.findall(r"@\w+\{(\w+),", (ROOT / "book" / "references.bib").read_text()))
    for name, start in ALL.items():
        assert start.source in keys, name


def test_pictures_show_what_the_initializer_does():
    """He keeps the length of 8 ReLU layers within what one network of 32 units spreads."""
    level = initializers.picture(init.HeNormal())
    assert abs(np.log10(level.lengths["forward"][-1])) < 1
    assert level.weights.std() == pytest.approx((2 / 32) ** 0.5, rel=0.1)
    falling = initializers.picture(init.LecunNormal()).lengths["forward"]
    assert falling[-1] < 2**-8 * 10 and len(falling) == 9
    assert (initializers.picture(init.Zeros()).singular == 0).all()
    kept = initializers.picture(init.SkipInit())
    np.testing.assert_allclose(kept.lengths["forward"][1:], kept.lengths["forward"][1], rtol=1e-6)
    assert "trained factors" in kept.network


def test_charts_stay_within_their_frame():
    """SecondMoments beyond the decades stand on the edge, zeros at the bottom."""
    chart = initializers.signal_chart(
        {"forward": np.array([1.0, 1e9, 0.0]), "backward": np.array([1e-9, 1.0, 1e4])}
    )
    heights = re.findall(r"\d,([\d.]+)", chart)
    assert len(heights) == 6 and all(0 <= float(y) <= initializers.SIZE[1] for y in heights)
    one = initializers.spectrum(np.array([3.0, 1.0, 0.5]))
    line = float(re.search(r"M\d+ ([\d.]+)H\d+' stroke='currentColor'", one).group(1))
    points = re.search(r"<polyline points='([^']+)'", one).group(1).split()
    assert line == pytest.approx(float(points[1].split(",")[1]), abs=0.11), "the line is at 1"


def test_a_built_page(tmp_path, monkeypatch):
    two = {"he_normal": init.HeNormal(), "zeros": init.Zeros()}
    monkeypatch.setitem(initializers.REGISTRIES, "rules", two)
    (tmp_path / "index.md").write_text(
        "# All\n\n## Rules\n\n```{initializers} rules\n```\n\n## After\n"
    )
    settings = {
        "extensions": ["myst_nb", "sphinxcontrib.bibtex", "initlab_book.initializers"],
        "bibtex_bibfiles": ["references.bib"],
        "myst_enable_extensions": ["dollarmath"],
        "html_theme": "basic",
    }
    bibliography = (ROOT / "book" / "references.bib").read_text()
    (tmp_path / "references.bib").write_text(bibliography)
    monkeypatch.setattr(initializers, "code_link", lambda options, start: "https://example.org")
    out = tmp_path / "html"
    with (tmp_path / "warnings").open("w+") as warnings, docutils_namespace():
        Sphinx(tmp_path, None, out, tmp_path / "doctrees", "html", settings, None, warnings).build()
        warnings.seek(0)
        told = [line for line in warnings if "could not find bibtex" not in line]
    page = (out / "index.html").read_text()
    titles = re.findall(r"<h([123])>([^<]+)<", page[page.index("<h1>") : page.index("After<") + 9])
    assert titles == [
        ("1", "All"),
        ("2", "Rules"),
        ("3", "He normal"),
        ("3", "Zeros"),
        ("2", "After"),
    ]
    assert page.count("<figure class='initlab start'") == 2 and page.count("<svg") == 6
    assert told == []


class _Never(init.Rule):
    """Refuses every weight."""

    name = "Never"

    def stack(self, fans, shape, generator, count):
        raise ValueError("no")


def test_an_initializer_for_no_network_is_told():
    with pytest.raises(ValueError, match="Never is for none of a fully connected"):
        initializers.picture(_Never())


@pytest.mark.parametrize("scheme", initializers.TRANSFORMERS)
def test_schemes_for_transformers_are_drawn_on_one(scheme):
    drawn = initializers.picture(scheme())
    assert "transformer" in drawn.network
    assert len(drawn.lengths["forward"]) == len(drawn.lengths["backward"]) == 9
    for lengths in drawn.lengths.values():
        assert (np.abs(np.log10(lengths)) < 0.5).all(), "signal and gradient keep their order"
