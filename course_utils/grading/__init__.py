"""Grading a class. What a class folder's `nbgrader_config.py` asks for is `configure`."""

__all__ = ["configure"]


def __getattr__(name: str):
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from course_utils.grading.nbgrader_parts import configure

    return configure
