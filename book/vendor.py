"""Copy the browser scripts that the site serves from `node_modules` to `book/_static/vendor`.

Only what a page can ask for is copied; the scripts themselves are pinned in package-lock.json.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MODULES = ROOT / "node_modules"
VENDOR = ROOT / "book" / "_static" / "vendor"
WIDGETS = "@jupyter-widgets/html-manager/dist"
#: File or folder of a package → its place under `vendor`.
FILES = {
    "mathjax/es5/tex-mml-chtml.js": "mathjax/tex-mml-chtml.js",
    # Asked for on first use: fonts, the rarer macros, the speech of the accessibility menu.
    "mathjax/es5/output/chtml/fonts": "mathjax/output/chtml/fonts",
    "mathjax/es5/input/tex/extensions": "mathjax/input/tex/extensions",
    "mathjax/es5/a11y": "mathjax/a11y",
    "mathjax/es5/sre/mathmaps/base.json": "mathjax/sre/mathmaps/base.json",
    "mathjax/es5/sre/mathmaps/en.json": "mathjax/sre/mathmaps/en.json",
    "mathjax/LICENSE": "mathjax/LICENSE",
    "requirejs/require.js": "require.js",
    f"{WIDGETS}/embed-amd.js": f"{WIDGETS}/embed-amd.js",
    # Of what is bundled into it; it comes without one of its own.
    f"{WIDGETS}/embed.js.LICENSE.txt": f"{WIDGETS}/embed.js.LICENSE.txt",
}
#: Its own.
LICENSE = ROOT / "book" / "licenses" / "@jupyter-widgets.txt"
#: Where the widgets' bundle makes code of text, which the site's policy forbids: validators of the
#: pages' own widget states, which nbconvert has written and nobody else.
VALIDATORS = ("gt.compile(At)", "gt.compile(pt)", "k.compile(y)", "k.compile(v)")
#: A validator that finds no fault.
ANYTHING = "(()=>!0)"


def copy() -> None:
    """Make the vendor folder anew."""
    missing = [name for name in FILES if not (MODULES / name).exists()]
    if missing:
        sys.exit(f"not in node_modules: {', '.join(missing)}; run npm ci in {ROOT}")
    shutil.rmtree(VENDOR, ignore_errors=True)
    # The bundle's icon fonts have hashed names; browsers take woff2.
    fonts = {str(p.relative_to(MODULES)) for p in (MODULES / WIDGETS).glob("*.woff2")}
    for name, place in {**FILES, **{font: font for font in fonts}}.items():
        target = VENDOR / place
        target.parent.mkdir(parents=True, exist_ok=True)
        if (MODULES / name).is_dir():
            shutil.copytree(MODULES / name, target)
        else:
            shutil.copyfile(MODULES / name, target)
    shutil.copyfile(LICENSE, VENDOR / WIDGETS / "LICENSE")
    bundle = VENDOR / WIDGETS / "embed-amd.js"
    bundle.write_text(without_validators(bundle.read_text(encoding="utf8")), encoding="utf8")


def without_validators(bundle: str) -> str:
    """The bundle with validators that are not compiled; exits if it is not the one that is known.

    >>> without_validators("E=k.compile(y),$=k.compile(v);gt.compile(At),gt.compile(pt)")
    'E=(()=>!0),$=(()=>!0);(()=>!0),(()=>!0)'
    """
    for call in VALIDATORS:
        if bundle.count(call) != 1:
            sys.exit(f"{WIDGETS}/embed-amd.js holds {call} {bundle.count(call)} times, not once")
        bundle = bundle.replace(call, ANYTHING)
    return bundle


if __name__ == "__main__":
    copy()
