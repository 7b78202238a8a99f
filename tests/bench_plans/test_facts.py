"""The fact table and its search."""

import pytest

from bench.plans.facts import ENTITIES, UNITS, mentions, query, search


def test_every_entity_is_found_by_its_own_query_and_by_each_of_its_names() -> None:
    for entity in ENTITIES:
        for name in (entity.name, *entity.also):
            assert [each.entity for each in mentions(f"about the {name}'s size")] == [entity]
        assert isinstance(search(query(entity)), float) == (len(entity.figures) == 1)


def test_names_and_figures_are_stated_once_in_known_units() -> None:
    names = [name.casefold() for entity in ENTITIES for name in (entity.name, *entity.also)]

    assert len(names) == len(set(names))
    assert len(ENTITIES) == 56
    assert sum(len(entity.figures) for entity in ENTITIES) == 61
    assert all(quantity in UNITS and value > 0 for entity in ENTITIES for quantity, value in entity.figures.items())


def test_a_search_for_one_quantity_gives_a_number_and_for_several_a_text_with_units() -> None:
    assert search("Mariana Trench depth") == 10_984.0
    assert search("what is the AREA of texas?") == 695_662.0
    assert search("Texas population and area") == search("Texas") == "30029572 people, 695662 km2"


def test_one_wrong_letter_in_a_long_word_is_forgiven_but_not_two() -> None:
    assert search("Conga River length") == search("Congo River length")
    with pytest.raises(LookupError, match="nothing that is in the table; ask for one: Congo River"):
        search("Canga River")


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("Nile length", "nothing that is in the table"),
        ("K2 and Aconcagua height", "K2 and Aconcagua"),
        ("K2 depth", "no depth of K2 is known; ask for its height"),
    ],
)
def test_a_search_that_cannot_be_answered_says_why(asked: str, message: str) -> None:
    with pytest.raises(LookupError, match=message):
        search(asked)
