"""Grading a class, beside nbgrader and behind its own extension points."""
