"""What a row's columns look like to a classifier, and what a template may not do."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tables import HOSTILE_NAMES

from datasette_ftclassify.core.errors import TemplateError
from datasette_ftclassify.core.rendering import (
    MAX_DEPTH,
    MAX_TEMPLATE,
    MAX_WORK,
    Rendered,
    renderer,
    sql_expression,
    template_columns,
)

TEXTS = st.text(min_size=1).filter(str.strip)


def render(template: str | None, **cells: object) -> str | None:
    return renderer(tuple(cells), template)(tuple(cells.values())).text  # type: ignore[arg-type]


@given(TEXTS)
def test_one_column_is_read_as_it_is(text: str) -> None:
    assert render(None, body=text) == text


def test_several_columns_are_named_lines() -> None:
    assert render(None, title="A", body="b\nc", note=None) == "title: A\nbody: b\nc\nnote: "
    assert render(None, n=5, x=2.5) == "n: 5\nx: 2.5"


@pytest.mark.parametrize("template", [None, "{{ a }}{{ b }}"])
@pytest.mark.parametrize(
    ("cells", "problem"),
    [
        ((None, None), "null"),
        (("", None), "empty"),
        ((" ", "\n"), "empty"),
        ((b"x", "text"), "blob"),
        ((b"", None), "blob"),
    ],
)
def test_rows_without_a_text(template: str | None, cells: tuple, problem: str) -> None:
    assert renderer(("a", "b"), template)(cells) == Rendered(None, problem)


def test_a_template_that_leaves_nothing() -> None:
    render_row = renderer(("a", "b"), "{% if a %} {{ b }} {% endif %}")
    assert render_row(("", "x")) == Rendered(None, "empty")
    assert render_row(("y", "x")) == Rendered(" x ")


def test_zero_is_a_text() -> None:
    assert render(None, n=0) == "0"


def test_templates() -> None:
    assert render("Ad: {{ ad }}\nFor: {{ product }}\n", ad="x", product=3) == "Ad: x\nFor: 3\n"
    assert render('{{ row["odd name"] }}!', **{"odd name": "x"}) == "x!"
    assert render("{% if a %}{{ a }}{% else %}{{ b }}{% endif %}", a=None, b="x") == "x"
    assert render("{{ a if a == 'x' else b }}", a="y", b="z") == "z"
    assert render("{{ a or b }}", a="", b="x") == "x"
    assert render("{{ a|trim|upper }}", a=" x ") == "X"
    assert render("{{ a|truncate(6) }}", a="one two three") == "one..."
    assert render("{{ a|truncate(6, true, '') }}", a="one two three") == "one tw"
    assert render("{{ a|default('none', true) }}{{ b }}", a=None, b="!") == "none!"
    assert render("{# a note #}{{ a }}<b>", a="<i>&") == "<i>&<b>"
    assert render("{% raw %}{{ a }}{% endraw %}{{ a }}", a="x") == "{{ a }}x"


@given(TEXTS, TEXTS)
def test_a_cell_is_never_taken_for_a_template(one: str, two: str) -> None:
    assert render("{{ a }}|{{ b }}", a=one, b=two) == f"{one}|{two}"


@pytest.mark.parametrize(
    "cell", ["{{ other }}", "{% for x in y %}", "{{ 7 * 7 }}", "{#", "{{ row['other'] }}"]
)
def test_not_even_one_that_looks_like_it(cell: str) -> None:
    assert render("{{ body }}{{ other }}", body=cell, other="!") == cell + "!"
    assert render(None, body=cell) == cell


FORBIDDEN = [
    "{% for c in a %}{{ c }}{% endfor %}",
    "{{ a.__class__ }}",
    "{{ a.upper() }}",
    "{{ a['__class__'] }}",
    "{{ a[0] }}",
    "{{ row[a] }}",
    "{{ row[0] }}{{ a }}",
    "{{ row['a']['b'] }}",
    "{{ row['a'].__class__ }}",
    "{{ row.a }}",
    "{{ (row)['a'].x }}",
    "{{ a() }}",
    "{{ range(10) }}{{ a }}",
    "{{ lipsum() }}{{ a }}",
    "{{ 'a' * 10**9 }}{{ a }}",
    "{{ a ~ a }}",
    "{{ a + a }}",
    "{{ a * 99999999 }}",
    "{{ a % a }}",
    "{{ -1 }}{{ a }}",
    "{{ [a, a] }}",
    "{{ {'x': a} }}",
    "{{ (a, a) }}",
    "{{ a in 'x' and a[1:2] }}",
    "{% include 'secret.html' %}{{ a }}",
    "{% import 'x' as y %}{{ a }}",
    "{% from 'x' import y %}{{ a }}",
    "{% extends 'x' %}{{ a }}",
    "{% set b = a %}{{ b }}",
    "{% macro m() %}{% endmacro %}{{ a }}",
    "{% call a() %}{% endcall %}",
    "{% block b %}{{ a }}{% endblock %}",
    "{% filter upper %}{{ a }}{% endfilter %}",
    "{% with b = a %}{{ b }}{% endwith %}",
    "{% autoescape true %}{{ a }}{% endautoescape %}",
    "{{ a is defined }}",
    "{{ a|attr('__class__') }}",
    "{{ a|replace('a', 'b') }}",
    "{{ a|center(1000000000) }}",
    "{{ a|format(a) }}",
    "{{ a|nonsense }}",
]


@pytest.mark.parametrize("template", FORBIDDEN)
def test_what_is_not_in_the_language(template: str) -> None:
    assert "allowed" in refusal(template) or "may" in refusal(template)


def refusal(template: str, columns: tuple[str, ...] = ("a",)) -> str:
    """The message of both readings of the template; one line, and no sentence ends twice."""
    with pytest.raises(TemplateError) as first:
        template_columns(template, columns)
    with pytest.raises(TemplateError) as second:
        renderer(columns, template)
    assert str(first.value) == str(second.value)
    assert "\n" not in str(first.value)
    assert ".." not in str(first.value)
    return str(first.value)


@pytest.mark.parametrize(
    "template",
    ["{{ a", "{% if a %}", "{% foo %}", "{{ a b }}", "{{ }}", "{% endif %}", "{{ 'a }}", "{{ a|}}"],
)
def test_templates_that_do_not_parse(template: str) -> None:
    assert refusal(template).startswith("The template does not parse, line 1: ")


DEEP = [
    "{{ " + "(" * 9_000 + "a" + ")" * 9_000 + " }}",
    "{{ " + "(" * 200 + "a" + ")" * 200 + " }}",
    "{{ a" + "|trim" * 3_000 + " }}",
    "{{ a" + " or a" * 3_000 + " }}",
    "{{ " + "not " * 4_000 + "a }}",
    "{% if a %}" * 500 + "x" + "{% endif %}" * 500,
    "{% if a %}" * 95 + "x" + "{% endif %}" * 95,
    "{{ " + "a if a else " * 1_000 + "a }}",
]


@pytest.mark.parametrize("template", DEEP, ids=lambda t: t[:12])
def test_templates_that_are_too_deep(template: str) -> None:
    assert f"deeper than {MAX_DEPTH} levels" in refusal(template)


def test_the_deepest_templates_render() -> None:
    ifs = MAX_DEPTH - 3
    assert render("{% if a %}" * ifs + "{{ a }}" + "{% endif %}" * ifs, a="x") == "x"
    assert render("{{ a" + "|trim" * (MAX_DEPTH - 3) + " }}", a=" x ") == "x"
    assert (
        render(
            "{% if not a %}{% elif not a %}" + "{% elif not a %}" * 200 + "{% else %}"
            "{{ a }}{% endif %}",
            a="x",
        )
        == "x"
    )
    assert render("{{ a }}" * 500, a="x") == "x" * 500


def test_templates_that_are_too_long() -> None:
    assert "longer than 20,000" in refusal("{{ a }}" + "x" * MAX_TEMPLATE)
    assert "does not parse" in refusal("{{ " + "1" * 5_000 + " }}{{ a }}")


def test_columns_that_are_not_there() -> None:
    assert refusal("{{ b }}") == "The template uses b, which is not a column. The columns are a."
    assert "uses x y, " in refusal('{{ row["x y"] }}')
    assert "names no column" in refusal("Hello")
    assert "names no column" in refusal("{{ none }}{{ 'a' }}")
    assert "uses row, " in refusal("{{ row }}")
    assert "uses keys, " in refusal("{{ row['keys'] }}")
    assert "uses self, " in refusal("{{ self }}")


def test_columns_come_in_the_order_of_the_table() -> None:
    template = '{{ c }}{{ a }}{{ row["b b"] }}{{ c }}'
    assert template_columns(template, ("a", "b b", "c", "d")) == ("a", "b b", "c")


@pytest.mark.parametrize("name", ["self", "row", "range", "loop", "caller", "context", "super"])
def test_a_column_may_have_a_name_that_jinja_uses(name: str) -> None:
    assert render(f"{{{{ {name} }}}} {{{{ row['{name}'] }}}}", **{name: "x"}) == "x x"


@pytest.mark.parametrize("name", ["true", "none", "if", "not", "in", "keys", *HOSTILE_NAMES])
def test_any_column_can_be_written_as_a_subscript(name: str) -> None:
    literal = name.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    template = f'<{{{{ row["{literal}"] }}}}>'
    assert template_columns(template, ("other", name)) == (name,)
    assert renderer((name,), template)(("x",)).text == "<x>"


@pytest.mark.parametrize("template", ["{{ a|truncate(1) }}", "{% if a > 5 %}{{ a }}{% endif %}"])
def test_templates_that_fail_on_a_row(template: str) -> None:
    render_row = renderer(("a",), template)
    with pytest.raises(TemplateError, match="The template failed on a row: ") as error:
        render_row(("some text",))
    assert not str(error.value).endswith("..")


def test_huge_cells() -> None:
    text = "x" * 5_000_000
    assert render("{{ a }}{{ a|trim }}", a=text) == text * 2
    assert render(None, a=text, n=2**62) == f"a: {text}\nn: {2**62}"


@pytest.mark.parametrize(
    ("columns", "template"),
    [
        (("a",), None),
        (("a", "it's b"), None),
        (("a",), "Company: {{ a }}\n'quoted' {{ a }}"),
        (("a", "it's b"), '{{ row["it\'s b"] }}, {{ a }}'),
    ],
)
def test_the_sql_puts_the_text_together_as_training_did(
    columns: tuple[str, ...], template: str | None
) -> None:
    expression = sql_expression(columns, template)
    render = renderer(columns, template)
    with closing(sqlite3.connect(":memory:")) as conn:
        conn.execute("""create table t ("a", "it's b")""")
        conn.executemany("insert into t values (?, ?)", [("x", 1), ("{{ a }}", None), (2.5, "y")])
        names = ", ".join('"' + column + '"' for column in columns)
        for row in conn.execute(f"select {expression}, {names} from t"):
            assert str(row[0]) == render(row[1:]).text


def test_filters_and_conditions_have_no_sql() -> None:
    assert sql_expression(("a",), "{{ a|upper }}") is None
    assert sql_expression(("a",), "{% if a %}{{ a }}{% endif %}") is None


@pytest.mark.parametrize(
    "template", ["{{ a }}" * 1800, "{{ a" + "|title" * 40 + " }}", "{{ a }}" * 5]
)
def test_a_long_cell_does_not_become_gigabytes(template):
    cell = "x" * (MAX_WORK // 5 + 1)
    with pytest.raises(TemplateError, match="a cell of 4,000,001 characters is too long"):
        renderer(["a"], template)([cell])
    assert renderer(["a"], "{{ a }}" * 5)([cell[:-1]]).text == cell[:-1] * 5
