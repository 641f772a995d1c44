"""Grading a class. What a class folder's `nbgrader_config.py` asks for is `configure`."""

import sys

# To check addresses of a kind that no notebook has, jsonschema would import this, which takes a
# second of every command; without it, it leaves them unchecked.
sys.modules.setdefault("rfc3987_syntax", None)

__all__ = ["configure"]


def __getattr__(name: str):
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from course_utils.grading.nbgrader_parts import configure

    return configure
