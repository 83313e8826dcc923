"""How the columns of a row become the text that a classifier reads.

One column is read as it is. Several become `name: value` lines, or whatever a template says.
Templates are Jinja in a sandbox, cut down further to what rendering a row needs: a stored template
may come from a stranger's file, so loops, calls and arithmetic (with which a short text can ask
for gigabytes) are not in the language at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from .database import Cell, NotUtf8, quote, quote_text
from .errors import TemplateError
from .text import Read

_FILTERS = {"trim", "lower", "upper", "title", "capitalize", "default", "d", "truncate", "string"}
MAX_TEMPLATE = 20_000
"""Characters a template may have."""
MAX_DEPTH = 50
"""How deep its conditions and filters may nest; Python's own compiler gives up at 100."""
MAX_WORK = 20_000_000
"""Characters that one row's columns and filters may handle in all. A column may be named a thousand
times, so that a cell of some megabytes would make gigabytes."""


@dataclass(frozen=True)
class Rendered:
    """A row's text, or why there is none: `null`, `empty`, `blob`.

    not_utf8: whether a cell of it has bytes that are no UTF-8
    """

    text: str | None
    problem: str | None = None
    not_utf8: bool = False


Renderer = Callable[[Sequence[Cell]], Rendered]


def renderer(
    columns: Sequence[str], template: str | None = None, read: Read | None = None
) -> Renderer:
    """A function from the cells of `columns` (in that order) to the text.

    read: what is done with the text that was put together; None: nothing
    Raises TemplateError when the template is malformed or uses a name that is not a column.
    """
    if template is not None:
        template_columns(template, columns)
        compiled = _compile(template)
        return _guard(
            lambda cells: compiled(dict(zip(columns, map(_text, cells), strict=True))), read
        )
    if len(columns) == 1:
        return _guard(lambda cells: _text(cells[0]), read)
    return _guard(
        lambda cells: "\n".join(
            f"{name}: {_text(cell)}" for name, cell in zip(columns, cells, strict=True)
        ),
        read,
    )


def _guard(render: Callable[[Sequence[Cell]], str], read: Read | None) -> Renderer:
    def checked(cells: Sequence[Cell]) -> Rendered:
        if all(cell is None for cell in cells):
            return Rendered(None, "null")
        if any(isinstance(cell, bytes) for cell in cells):
            return Rendered(None, "blob")
        if all(cell is None or (isinstance(cell, str) and not cell.strip()) for cell in cells):
            return Rendered(None, "empty")
        text = render(cells)
        if read is not None:
            text = read(text)
        if not text.strip():
            return Rendered(None, "empty")
        return Rendered(text, not_utf8=any(isinstance(cell, NotUtf8) for cell in cells))

    return checked


def _text(cell: Cell) -> str:
    # A str even of a NotUtf8: what is made of it is a text like any other.
    return "" if cell is None else str(cell)


def template_columns(template: str, columns: Sequence[str]) -> tuple[str, ...]:
    """The columns a template uses, in the table's order.

    A column whose name is no Jinja name is written `row["the name"]`.
    Raises TemplateError for a malformed template, one that names no column, or an unknown one.
    """
    from jinja2 import nodes

    names = {n.arg.value for n in _parse(template).find_all(nodes.Getitem)}
    for name in sorted(names - set(columns)):
        raise TemplateError(
            f"The template uses {name}, which is not a column. The columns are "
            f"{', '.join(columns)}."
        )
    if not names:
        raise TemplateError(
            "The template names no column: write one as {{ column }}, and a name with spaces "
            'as {{ row["the name"] }}.'
        )
    return tuple(column for column in columns if column in names)


@lru_cache(maxsize=1)
def _environment() -> Any:
    from jinja2 import StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    return ImmutableSandboxedEnvironment(
        undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True
    )


def _parse(template: str) -> Any:
    """The template's syntax tree, checked, in which every column is a subscript of `row`."""
    from jinja2 import TemplateSyntaxError

    if len(template) > MAX_TEMPLATE:
        raise TemplateError(f"The template is longer than {MAX_TEMPLATE:,} characters.")
    try:
        tree = _environment().parse(template)
    except TemplateSyntaxError as error:
        reason = str(error.message).rstrip(".")
        raise TemplateError(
            f"The template does not parse, line {error.lineno}: {reason}."
        ) from error
    except RecursionError:
        raise TemplateError(_TOO_DEEP) from None
    except ValueError as error:  # a number with thousands of digits
        raise TemplateError(f"The template does not parse: {error}.") from error
    _check_nodes(_walk(tree))
    return _subscripted(tree)


_TOO_DEEP = f"The template nests deeper than {MAX_DEPTH} levels: make it simpler."


def _walk(tree: Any) -> Iterator[Any]:
    """All nodes, without recursion. Raises TemplateError for a tree that is too deep for one."""
    waiting = [(tree, 0)]
    while waiting:
        node, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise TemplateError(_TOO_DEEP)
        yield node
        waiting.extend((child, depth + 1) for child in node.iter_child_nodes())


def _subscripted(tree: Any) -> Any:
    """`{{ name }}` as `{{ row["name"] }}`: so a column may have a name that means something else
    to Jinja, such as `self`, and one called `row` is a column like any other."""
    from jinja2 import nodes
    from jinja2.visitor import NodeTransformer

    class Subscripts(NodeTransformer):
        def visit_Getitem(self, node: nodes.Getitem) -> nodes.Getitem:
            return node

        def visit_Name(self, node: nodes.Name) -> nodes.Getitem:
            row = nodes.Name("row", "load")
            return nodes.Getitem(row, nodes.Const(node.name), "load", lineno=node.lineno)

    return Subscripts().visit(tree)


def _check_nodes(tree: Iterable[Any]) -> None:
    """Refuses whatever is not on the short list, so that new syntax is refused too."""
    from jinja2 import nodes

    allowed = (
        nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Const,
        nodes.Getitem, nodes.Filter, nodes.If, nodes.CondExpr, nodes.Compare, nodes.Operand,
        nodes.And, nodes.Or, nodes.Not,
    )  # fmt: skip
    for node in tree:
        if not isinstance(node, allowed):
            raise TemplateError(
                f"A template may hold {{{{ column }}}}, filters and {{% if %}}, "
                f"but not {type(node).__name__.lower()}."
            )
        if isinstance(node, nodes.Filter) and node.name not in _FILTERS:
            raise TemplateError(
                f"The filter {node.name} is not allowed: use one of {', '.join(sorted(_FILTERS))}."
            )
        if isinstance(node, nodes.Getitem) and not _is_column(node):
            raise TemplateError('Only row["column name"] may be subscripted in a template.')


def _is_column(node: Any) -> bool:
    """Whether a subscript is `row["…"]`."""
    named = isinstance(getattr(node.arg, "value", None), str)
    return named and getattr(node.node, "name", None) == "row"


def _compile(template: str) -> Callable[[dict[str, str]], str]:
    from jinja2 import nodes

    tree = _parse(template)
    uses = sum(isinstance(node, (nodes.Getitem, nodes.Filter)) for node in _walk(tree))
    compiled = _environment().from_string(tree)

    def render(values: dict[str, str]) -> str:
        longest = max(map(len, values.values()))
        if uses * longest > MAX_WORK:
            raise TemplateError(
                f"The template failed on a row: a cell of {longest:,} characters is too long for "
                f"one with {uses:,} columns and filters."
            )
        try:
            return str(compiled.render(row=values))
        except Exception as error:  # whatever a filter trips over: truncate asserts, for one
            reason = str(error).rstrip(".")
            raise TemplateError(f"The template failed on a row: {reason}.") from error

    return render


def sql_expression(columns: Sequence[str], template: str | None = None) -> str | None:
    """SQL that puts the text together from the columns as `renderer` does.

    None for a template with filters or conditions, which SQL cannot repeat.
    """
    if template is None and len(columns) == 1:
        return quote(columns[0])
    if template is None:
        lines = [f"{quote_text(f'{name}: ')} || {_sql_cell(name)}" for name in columns]
        return " || char(10) || ".join(lines)
    parts = _plain_parts(_parse(template))
    return None if parts is None else " || ".join(parts)


def _plain_parts(tree: Any) -> list[str] | None:
    from jinja2 import nodes

    if not all(isinstance(node, nodes.Output) for node in tree.body):
        return None
    parts = []
    for node in (part for output in tree.body for part in output.nodes):
        if isinstance(node, nodes.TemplateData):
            parts.append(quote_text(node.data))
        elif isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const):
            parts.append(_sql_cell(node.arg.value))
        else:
            return None
    return parts


def _sql_cell(column: str) -> str:
    return f"coalesce({quote(column)}, '')"
