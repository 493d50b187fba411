"""Docstrings are plain prose with `code`, as in the editor; here they become reStructuredText."""

from __future__ import annotations

import re

from sphinx.application import Sphinx

#: Signs that mean something to reStructuredText and nothing in our docstrings.
_MARKUP = re.compile(r"([*|\\]|_(?!\w))")
#: Sections of a docstring, and what they are to Sphinx; a space: a field for each of their items.
_FIELDS = {"Args": "param ", "Raises": "raises ", "Returns": "returns", "Yields": "yields"}
#: An item of such a section: its name, and what is said of it.
_ITEM = re.compile(r"    [*]{0,2}(\w[\w.]*): (.*)")
#: What is left as it is: code and emphasis.
_KEPT = re.compile(r"(`[^`]+`|(?<![\w*])\*[A-Za-z][\w -]*\*(?![\w*]))")


def to_rst(lines: list[str]) -> list[str]:
    """Code spans doubled, stray markup escaped; doctests are left as they are.

    >>> to_rst(["`x` is (R, *shape), |x| ≤ 1."])
    ['``x`` is (R, \\\\*shape), \\\\|x\\\\| ≤ 1.']
    >>> to_rst(["a *spec* of 2**3"])
    ['a *spec* of 2\\\\*\\\\*3']
    >>> to_rst([">>> `a*b`"])
    ['>>> `a*b`']
    """
    out, in_doctest = [], False
    for line in lines:
        in_doctest = bool(line.strip()) and (in_doctest or line.lstrip().startswith(">>>"))
        out.append(line if in_doctest else _prose(line))
    return out


def _prose(line: str) -> str:
    if line.count("`") % 2:  # a span that goes over the line's end: nothing can be told
        return line
    parts = _KEPT.split(line)
    parts[::2] = [_MARKUP.sub(r"\\\1", part) for part in parts[::2]]
    parts[1::2] = [f"`{part}`" if part.startswith("`") else part for part in parts[1::2]]
    return "".join(parts)


def with_fields(lines: list[str]) -> list[str]:
    """Sections Args, Returns, Yields and Raises as fields of reStructuredText.

    napoleon would take each `text: more` of a constant's or a property's docstring for a type.

    >>> with_fields(["It adds.", "", "Args:", "    x: a number", "        ≥ 0.", "    *y: more."])
    ['It adds.', '', ':param x: a number', '    ≥ 0.', ':param y: more.', '']
    >>> with_fields(["Returns:", "    A sum: one number."])
    [':returns:', '    A sum: one number.', '']
    """
    out, field, inside = [], "", False
    for line in lines:
        if line.rstrip(":") in _FIELDS and line.endswith(":"):
            field, inside = _FIELDS[line.rstrip(":")], True
            if not field.endswith(" "):
                out.append(f":{field}:")
        elif inside and not line.strip():
            inside = False
            out.append(line)
        elif inside and field.endswith(" ") and (item := _ITEM.match(line)):
            out.append(f":{field}{item[1]}: {item[2]}")
        else:
            out.append(line[4:] if inside and field.endswith(" ") else line)
    return [*out, ""] if inside else out


def _process(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]):
    lines[:] = to_rst(with_fields(lines))


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the hook."""
    app.setup_extension("sphinx.ext.autodoc")
    app.connect("autodoc-process-docstring", _process)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
