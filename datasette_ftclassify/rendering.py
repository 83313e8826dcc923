"""How the columns of a row become the text that a classifier reads.

One column is read as it is. Several become `name: value` lines, or whatever a template says.
Templates are Jinja in a sandbox, cut down further to what rendering a row needs: a stored template
may come from a stranger's file, so loops, calls and arithmetic (with which a short text can ask
for gigabytes) are not in the language at all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from .errors import TemplateError
from .sql import Cell

_FILTERS = {"trim", "lower", "upper", "title", "capitalize", "default", "d", "truncate", "string"}
MAX_TEMPLATE = 20_000
"""Characters a template may have."""


@dataclass(frozen=True)
class Rendered:
    """A row's text, or why there is none: `null`, `empty`, `blob`."""

    text: str | None
    problem: str | None = None


Renderer = Callable[[Sequence[Cell]], Rendered]


def renderer(columns: Sequence[str], template: str | None = None) -> Renderer:
    """A function from the cells of `columns` (in that order) to the text.

    Raises TemplateError when the template is malformed or uses a name that is not a column.
    """
    if template is not None:
        compiled = _compile(template)
        return _guard(lambda cells: compiled(dict(zip(columns, map(_text, cells), strict=True))))
    if len(columns) == 1:
        return _guard(lambda cells: _text(cells[0]))
    return _guard(
        lambda cells: "\n".join(
            f"{name}: {_text(cell)}" for name, cell in zip(columns, cells, strict=True)
        )
    )


def _guard(render: Callable[[Sequence[Cell]], str]) -> Renderer:
    def checked(cells: Sequence[Cell]) -> Rendered:
        if all(cell is None for cell in cells):
            return Rendered(None, "null")
        if any(isinstance(cell, bytes) for cell in cells):
            return Rendered(None, "blob")
        if all(cell is None or (isinstance(cell, str) and not cell.strip()) for cell in cells):
            return Rendered(None, "empty")
        text = render(cells)
        return Rendered(text) if text.strip() else Rendered(None, "empty")

    return checked


def _text(cell: Cell) -> str:
    return "" if cell is None else str(cell)


def template_columns(template: str, columns: Sequence[str]) -> tuple[str, ...]:
    """The columns a template uses, in the table's order.

    A column whose name is no Jinja name is written `row["the name"]`.
    Raises TemplateError for a malformed template, one that names no column, or an unknown one.
    """
    names = _names(template)
    for name in sorted(names - set(columns)):
        raise TemplateError(
            f"The template uses {name}, which is not a column: there is {', '.join(columns)}."
        )
    if not names:
        raise TemplateError(
            "The template names no column: write one as {{ column }}, and a name with spaces "
            'as {{ row["the name"] }}.'
        )
    return tuple(column for column in columns if column in names)


def _names(template: str) -> set[str]:
    from jinja2 import nodes

    tree = _parse(template)
    subscripts = [n for n in tree.find_all(nodes.Getitem) if _is_row(n.node)]
    rows = {id(n.node) for n in subscripts}
    plain = {n.name for n in tree.find_all(nodes.Name) if id(n) not in rows}
    return plain | {n.arg.value for n in subscripts if isinstance(n.arg, nodes.Const)}


def _is_row(node: Any) -> bool:
    return getattr(node, "name", None) == "row"


@lru_cache(maxsize=1)
def _environment() -> Any:
    from jinja2 import StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    return ImmutableSandboxedEnvironment(
        undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True
    )


def _parse(template: str) -> Any:
    from jinja2 import TemplateSyntaxError

    if len(template) > MAX_TEMPLATE:
        raise TemplateError(f"The template is longer than {MAX_TEMPLATE:,} characters.")
    try:
        tree = _environment().parse(template)
    except TemplateSyntaxError as error:
        raise TemplateError(
            f"The template does not parse, line {error.lineno}: {error.message}."
        ) from error
    _check_nodes(tree)
    return tree


def _check_nodes(tree: Any) -> None:
    """Refuses whatever is not on the short list, so that new syntax is refused too."""
    from jinja2 import nodes

    allowed = (
        nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Const,
        nodes.Getitem, nodes.Filter, nodes.If, nodes.CondExpr, nodes.Compare, nodes.Operand,
        nodes.And, nodes.Or, nodes.Not,
    )  # fmt: skip
    for node in tree.find_all(nodes.Node):
        if not isinstance(node, allowed):
            raise TemplateError(
                f"A template may hold {{{{ column }}}}, filters and {{% if %}}, "
                f"but not {type(node).__name__.lower()}."
            )
        if isinstance(node, nodes.Filter) and node.name not in _FILTERS:
            raise TemplateError(
                f"The filter {node.name} is not allowed: use one of {', '.join(sorted(_FILTERS))}."
            )
        if isinstance(node, nodes.Getitem) and not (
            _is_row(node.node) and isinstance(node.arg, nodes.Const)
        ):
            raise TemplateError('Only row["column name"] may be subscripted in a template.')


def _compile(template: str) -> Callable[[dict[str, str]], str]:
    from jinja2 import TemplateError as JinjaError

    _parse(template)
    compiled = _environment().from_string(template)

    def render(values: dict[str, str]) -> str:
        try:
            return str(compiled.render({**values, "row": values}))
        except (JinjaError, TypeError, ValueError) as error:
            raise TemplateError(f"The template failed on a row: {error}.") from error

    return render
