"""The reader of questions, on questions of our own."""

import pytest

from bench.plans.parallelqa import plan, solve
from bench.plans.questions import UnreadableError, read


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("If K2 was 50% shorter and Mount Elbert was 10% taller, which mountain would be taller?", "Mount Elbert"),
        ("Take K2, add 10% to its height, then reduce Aconcagua's height by half. Which is the shortest?", "Aconcagua"),
        ("If the Volga River shrank to one-fifth and the Congo River doubled, what is the ratio?", "0.075128"),
        ("If Japan's population triples and China's remains unchanged, what is the total in millions?", "1775"),
        (
            "With a 10% rise in the Congo River and a 5% drop in the Volga River, what is the average length?",
            "4262.225",
        ),
        ("If K2 gains 10% and Aconcagua the same percentage, how much lower would Aconcagua be?", "1815"),
        (
            (
                "If the heights of K2 and Mount Elbert increase by 10% and 20% respectively, what is the difference "
                "between the tallest and the shortest?"
            ),
            "4190.9",
        ),
        (
            "If every height grew as follows: K2 by 10%, Mount Elbert by 20%, what would the combined height be?",
            "14753.3",
        ),
        (
            (
                "If K2 were 2 times higher, how many times would we need to stack "
                "the Burj Khalifa to match that height if it were 10% taller?"
            ),
            "18.863089",
        ),
        (
            (
                "If K2 were 10% taller, the CN Tower 20% taller, and the Burj Khalifa 10% shorter, how many times "
                "would we need to stack the taller of the CN Tower and the Burj Khalifa to reach the height of K2?"
            ),
            "12.680187",
        ),
        ("What is the smaller ratio between K2 and Mount Elbert, and between K2 and Aconcagua?", "1.237035"),
        ("What is the height difference between Mount Elbert and K2?", "4210"),
        ("Which value is larger: the average of China and Japan, or of Japan and Vietnam?", "762500000"),
        (
            "If Texas and Florida were to merge, what would be the smallest population density of it and Michigan?",
            "40.058418",
        ),
    ],
)
def test_a_question_is_read_and_answered(question: str, answer: str) -> None:
    assert solve(read(question)) == answer


@pytest.mark.parametrize(
    ("change", "written"),
    [
        ("grew by 12.5%", "$1 * 1.125"),
        ("was 30% slower", "$1 * 0.7"),
        ("was 4.5 times slower", "$1 / 4.5"),
        ("was reduced by a factor of ten", "$1 / 10"),
        ("was multiplied by five", "$1 * 5"),
        ("quadrupled", "$1 * 4"),
        ("shrank to a quarter", "$1 / 4"),
    ],
)
def test_a_change_is_written_as_one_factor(change: str, written: str) -> None:
    text = plan(f"If K2 {change} and Aconcagua grew by 1%, which would be tallest?")

    assert f'2. math("{written}")\n' in text


def test_a_thing_named_twice_is_searched_for_once_and_its_result_referred_to_again() -> None:
    text = plan("What is the smallest ratio of K2 to Mount Elbert, Mount Elbert to Aconcagua, and Aconcagua to K2?")

    assert text == (
        '1. search("K2 height")\n'
        '2. search("Mount Elbert height")\n'
        '3. math("$1 / $2")\n'
        '4. search("Aconcagua height")\n'
        '5. math("$2 / $4")\n'
        '6. math("$4 / $1")\n'
        '7. math("min($3, $5, $6)")\n'
        "8. join()\n"
    )


@pytest.mark.parametrize(
    ("question", "reason"),
    [
        ("Tell me about K2.", "nothing is asked"),
        ("If K2 grew by 10% and the Matterhorn by 20%, which is taller?", "nothing is known of 'Matterhorn'"),
        ("If K2 changed by 10%, which is taller?", "neither more nor less is said"),
        ("If K2 grew and shrank by 10%, which is taller?", "do not pair up|both more and less"),
        ("If K2 grew by 10% and 20%, which is taller?", "do not pair up"),
        ("If K2 grew by 10% and Aconcagua grew by 5%, which mountain is nicer?", "neither the largest nor"),
        ("If K2 grew by 10% and Aconcagua grew by 5%, what is their mood?", "no comparison that is known"),
        ("What is the ratio of K2?", "no pairs to compare"),
    ],
)
def test_a_question_outside_of_the_grammar_is_refused_with_the_reason(question: str, reason: str) -> None:
    with pytest.raises(UnreadableError, match=reason):
        read(question)
