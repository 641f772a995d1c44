"""Which cells of a notebook have to run so that its exercises can be checked.

A lesson trains networks and draws figures that no answer needs. What runs is what a student wrote,
and of the course's own cells only those that define a name that something running uses.
"""

import ast
import re
import symtable
from contextlib import suppress
from typing import NamedTuple

from nbformat import NotebookNode

from course_utils.grading.parsing import parse

_LONGEST = 50_000  # characters of a cell that is read for names
_MOST = 400_000  # characters of all cells together


class Check(NamedTuple):
    """What a check cell asks: `check("name", answer)`."""

    exercise: str
    answer: str  # an expression


def check_of(cell: NotebookNode) -> Check | None:
    """The check that a locked, graded cell makes. Its text is the course's, not the student's."""
    if not is_locked_check(cell):
        return None
    for node in ast.walk(_parsed(cell.source)):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "check":
            return Check(ast.literal_eval(node.args[0]), ast.unparse(node.args[1]))
    return None


def is_locked_check(cell: NotebookNode) -> bool:
    """Whether it is code that only gives points for other cells."""
    return cell.cell_type == "code" and _is(cell, "grade") and not _is(cell, "solution")


def _is(cell: NotebookNode, what: str) -> bool:
    return cell.metadata.get("nbgrader", {}).get(what, False)


def needed(cells: list[NotebookNode], release: list[NotebookNode]) -> list[int]:
    """Indices of the code cells to run, in order."""
    ours = {cell.source for cell in release if cell.cell_type == "code"}
    code = [n for n, cell in enumerate(cells) if cell.cell_type == "code"]
    chosen = {n for n in code if _counts(cells[n], ours)}
    flows, read = {}, 0
    for n in code:
        source = cells[n].source
        read += len(source)
        flows[n] = Flow.of(source) if read <= _MOST else Flow(set(), set())
        if len(source) > _LONGEST or read > _MOST:  # what it uses, nobody knows
            chosen |= {n for n in code if not cells[n].metadata.get("tags")}
    waiting = sorted(chosen)
    while waiting:
        user = waiting.pop()
        for name in flows[user].uses:
            definer = _definer(name, user, flows)
            if definer is not None and definer not in chosen:
                chosen.add(definer)
                waiting.append(definer)
    return sorted(chosen)


def _definer(name: str, user: int, flows: dict[int, "Flow"]) -> int | None:
    """The last cell before that defines the name; else the first after, for what a function uses
    that is called later."""
    definers = [n for n, flow in flows.items() if n != user and name in flow.defines]
    before = [n for n in definers if n < user]
    return before[-1] if before else min(definers, default=None)


def _counts(cell: NotebookNode, ours: set[str]) -> bool:
    """What students wrote or may have changed, and what is graded."""
    return _is(cell, "grade") or _is(cell, "solution") or cell.source not in ours


class Flow(NamedTuple):
    """The names that a cell takes from cells before it, and those that it leaves behind."""

    uses: set[str]
    defines: set[str]

    @classmethod
    def of(cls, source: str) -> "Flow":
        try:
            return cls(*_in_order(_parsed(source).body))
        except RecursionError:  # as for a cell that cannot be read
            return cls(set(), set())


def _in_order(statements: list[ast.stmt]) -> tuple[set[str], set[str]]:
    """The names that statements, one after the other, take from before them and leave behind."""
    uses, makes = set(), set()
    for statement in statements:
        flows = [_in_order(branch) for branch in _branches(statement)] or [_names(statement)]
        uses = uses.union(*(used - makes for used, _ in flows))
        makes = makes.union(*(made for _, made in flows))
    return uses, makes


def _branches(statement: ast.stmt) -> list[list[ast.stmt]]:
    """The ways through a statement that holds others; none through any other."""
    match statement:
        case ast.For() | ast.AsyncFor():
            head = [_set(statement.target, statement.iter)]
            return [head + statement.body, head + statement.orelse]
        case ast.With() | ast.AsyncWith():
            heads = [_set(item.optional_vars, item.context_expr) for item in statement.items]
            return [heads + statement.body]
        case ast.If() | ast.While():
            head = [_set(None, statement.test)]
            return [head + statement.body, head + statement.orelse]
        case ast.Try() | ast.TryStar():
            tried = statement.body + statement.orelse + statement.finalbody
            return [tried, *(_handled(each) for each in statement.handlers)]
    return []


def _set(target: ast.expr | None, value: ast.expr) -> ast.stmt:
    made = ast.Assign([target], value) if target else ast.Expr(value)
    return ast.fix_missing_locations(made)


def _handled(handler: ast.ExceptHandler) -> list[ast.stmt]:
    name = ast.Name(handler.name, ast.Store()) if handler.name else None
    return [_set(name, handler.type or ast.Constant(None)), *handler.body]


def _names(statement: ast.stmt) -> tuple[set[str], set[str]]:
    """Those that one statement takes from outside, and those that it makes."""
    try:
        table = symtable.symtable(ast.unparse(statement), "", "exec")
        used = _used(table)
    except Exception:  # as for a cell that cannot be read
        return set(), set()
    made = {s.get_name() for s in table.get_symbols() if s.is_assigned() or s.is_imported()}
    if isinstance(statement, ast.AugAssign) and isinstance(statement.target, ast.Name):
        used.add(statement.target.id)
    if not isinstance(statement, ast.Assign | ast.AugAssign | ast.AnnAssign):
        used -= made  # a function that calls itself
    return used, made


def _used(table: symtable.SymbolTable) -> set[str]:
    """Names that are looked up outside: referenced at the top, or global in a function."""
    top = table.get_type() == "module"
    used = {
        symbol.get_name()
        for symbol in table.get_symbols()
        if symbol.is_referenced() and (top or symbol.is_global())
    }
    return used.union(*map(_used, table.get_children()))


# What only IPython understands: `%time x`, `!ls`, `files = !ls`, `?x` and `x?`. No name comes of it
# that an answer could use.
MAGIC = re.compile(
    r"^([ \t]*)(?:[%!?].*|[\w., \t]+=[ \t]*[%!].*|[\w. \t]+\?+[ \t]*)$", re.MULTILINE
)


def _parsed(source: str) -> ast.Module:
    """Empty for what is not Python, or too much to be read here, where time is everybody's: it has
    no names then, and still runs, where it costs its author only."""
    if len(source) > _LONGEST:
        return ast.Module([], [])
    for text in (source, MAGIC.sub(r"\1pass", source)):
        with suppress(Exception):
            return parse(text)
    return ast.Module([], [])
