"""Templates name parameters and do nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from makespan.errors import GraphError
from makespan.models.template import check, escape, render

names = st.from_regex(r"[a-z_][a-z0-9_]{0,5}", fullmatch=True)
texts = st.text(max_size=10)


def test_names_become_values_and_doubled_braces_stay_single() -> None:
    assert render('{{"q": "{q}"}} {n}{{{n}}}', {"q": "why", "n": "2"}) == '{"q": "why"} 2{2}'


@given(st.text())
def test_an_escaped_text_renders_to_itself(text: str) -> None:
    assert render(escape(text), {}) == text


@given(st.dictionaries(names, st.text(alphabet="{}ab.!:", max_size=20), min_size=1, max_size=4))
def test_values_are_put_in_once_and_never_read_again(values: dict[str, str]) -> None:
    template = "|".join(f"{{{name}}}" for name in values)

    assert render(template, values) == "|".join(values.values())


@given(st.lists(st.tuples(texts, names), max_size=4), st.dictionaries(names, texts, max_size=3))
def test_rendering_is_literal_text_and_values_side_by_side(
    parts: list[tuple[str, str]], values: dict[str, str]
) -> None:
    values = {**{name: name for _, name in parts}, **values}

    rendered = render("".join(escape(text) + f"{{{name}}}" for text, name in parts), values)

    assert rendered == "".join(text + values[name] for text, name in parts)


@given(st.text(alphabet="{}ab_.!:[]0 ", max_size=30), st.dictionaries(names, st.text(), max_size=3))
def test_check_and_render_agree_about_every_template(template: str, values: dict[str, str]) -> None:
    def outcome(attempt: object) -> str | None:
        try:
            render(template, values) if attempt is render else check(template, values)
        except GraphError as error:
            return str(error)
        return None

    assert outcome(render) == outcome(check)


@given(st.text(alphabet="{}ab", max_size=12))
def test_rendering_without_parameters_accepts_exactly_paired_braces(template: str) -> None:
    leftover = template.replace("{{", "").replace("}}", "")

    try:
        rendered = render(template, {})
    except GraphError:
        assert set(template) & set("{}")
    else:
        assert not set(leftover) & set("{}")
        assert escape(rendered) == template


@pytest.mark.parametrize(
    "field", ["q.__class__", "q!r", "q:>10", "q[0]", "0.__class__", "", "0", " q ", "q.a.b", "a b", "q:{n}"]
)
def test_only_a_bare_parameter_name_may_stand_in_braces(field: str) -> None:
    with pytest.raises(GraphError, match="line 1"):
        render(f"{{{field}}}", {"q": "value", "n": "1"})


@pytest.mark.parametrize("template", ["{", "}", "a { b", "{a}}", "{{}", "{a"])
def test_lone_braces_are_refused(template: str) -> None:
    with pytest.raises(GraphError, match="no partner"):
        check(template, ["a"])


def test_the_message_gives_line_and_column_and_the_closest_name() -> None:
    with pytest.raises(GraphError, match=r"line 2, column 6: `\{qestion\}` .*did you mean 'question'"):
        check("Be brief.\nNow: {qestion}", ["question", "answer"])


def test_the_message_says_what_to_write_instead_of_an_attribute() -> None:
    with pytest.raises(GraphError, match=r"write `\{doc\}` and shape the value in Python"):
        check("{doc.title}", ["doc"])
