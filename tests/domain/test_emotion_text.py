import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.emotion_text import (
    EMOTICONS,
    FEELING_SIGN,
    HEAD_WORDS,
    MAX_CHARACTERS,
    PHRASE_ROWS,
    SIGNS,
    TAIL_WORDS,
    TURNED_FEELING,
    TURNED_SIGN,
    TURNED_VALENCE,
    VALENCE_SIGN,
    WORD_ROWS,
    Reader,
    normalized,
    words_and_marks,
)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("WHY would [NAME] do this", "why would do this"),
        ("thanks [Religion] people", "thanks people"),
        ("sooooo goooood", "soo good"),
        ("what?!?!????", "what?!?!??"),
        ("see https://a.example/b?c=d now", "see now"),
        ("@bob look, /u/alice said so", "look, said so"),
        ("me@example.org", "me@example.org"),
        ("#BestDayEver", "best day ever"),
        ("rock &amp; roll", "rock & roll"),
        ("\u201cit\u2019s\u201d", '"it\'s"'),
        ("na\u00efve caf\u00e9", "naive cafe"),
        ("\U0001f62d\U0001f44d\U0001f3fd", "loudly crying face thumbs up sign"),
        ("I \u2764\ufe0f it", "i love heart it"),
        ("\U0001f602" * 9, " ".join(["face with tears of joy"] * 2)),
        ("\U0001f1e9\U0001f1ea", ""),
        ("good :) bad :( hm :/", "good smiling face bad sad face hm doubtful face"),
        ("at 10:30, ratio 3:1", "at 10:30, ratio 3:1"),
        ("wait\u2026", "wait.."),
        ("\U0001d4d0\U0001d4e6\U0001d4d4", "awe"),
        (" \t\n", ""),
    ],
)
def test_what_is_made_alike(written: str, read: str) -> None:
    assert normalized(written) == read


@pytest.mark.parametrize("sign", EMOTICONS)
def test_every_emoticon_is_read(sign: str) -> None:
    assert normalized(f"well {sign.upper()} then") == f"well {EMOTICONS[sign]} then"


def test_the_ends_of_a_very_long_text_are_read() -> None:
    read = normalized("begin " + "x " * MAX_CHARACTERS + " end")
    assert read.startswith("begin x")
    assert read.endswith("x end")
    assert len(read) <= MAX_CHARACTERS + 1


@given(st.text())
def test_any_text_can_be_read_and_a_second_reading_changes_little(text: str) -> None:
    read = normalized(text)
    assert read == " ".join(read.split())
    assert not any(char.isupper() for char in read if char.isascii())


def signs(row: list[int]) -> list[int]:
    return [one for one in row if one < SIGNS]


def test_a_word_is_read_by_itself_and_by_its_runs_of_letters() -> None:
    (lamp,), (mug,) = Reader({}).read("lamp").words, Reader({}).read("mug").words
    # <la lam amp mp>, <lam lamp amp>, <lamp lamp>, and the word
    assert len(lamp) == 1 + 4 + 3 + 2
    assert len(mug) == 1 + 3 + 2
    assert set(lamp).isdisjoint(mug)


def test_a_misspelt_word_shares_runs_with_the_right_one() -> None:
    (right,), (wrong,) = (Reader({}).read(word).words for word in ("terrible", "terible"))
    assert len(set(right) & set(wrong)) >= 8


def test_a_mark_is_read_by_itself() -> None:
    assert [len(row) for row in Reader({}).read("ok!").words][1:] == [1]


def test_how_good_a_word_is_stands_beside_it() -> None:
    reader = Reader({"good": 4, "lamp": -8})
    assert [signs(row) for row in reader.read("good lamps are").words] == [[13], [1], []]


def test_a_negation_turns_three_words_or_to_a_stop() -> None:
    reader = Reader({"good": 4})
    far = [signs(row) for row in reader.read("not a b good good").words]
    assert far == [[], [70], [70], [33, 70], [13]]
    near = [signs(row) for row in reader.read("not a. good").words]
    assert near == [[], [70], [70], [13]]


def test_a_named_feeling_stands_beside_its_word() -> None:
    reader = Reader({})
    assert [signs(row) for row in reader.read("terrifying don't terrify").words] == [
        [52],
        [],
        [60, 70],
    ]


def test_phrases_know_the_ends_of_a_text() -> None:
    reader = Reader({})
    assert len(reader.read("one two").phrases) == 3 + 2
    assert set(reader.read("one two").phrases) & set(reader.read("one").phrases)


def test_of_a_long_text_the_middle_is_left_out() -> None:
    reader = Reader({})
    (a,), (c,) = reader.read("a").words, reader.read("c").words
    read = reader.read("a " * 50 + "b " * 50 + "c " * 50).words
    assert read == [a] * HEAD_WORDS + [c] * TAIL_WORDS


def test_no_text_has_no_words() -> None:
    assert Reader({}).read(" [NAME] ").words == []


def test_marks_stand_alone() -> None:
    assert words_and_marks("don't!? a_b's '") == ["don't", "!", "?", "a", "_", "b's", "'"]


@given(st.text(), st.dictionaries(st.sampled_from(["good", "bad"]), st.integers(-8, 8)))
def test_any_text_is_in_the_tables(text: str, valences: dict[str, int]) -> None:
    read = Reader(valences).read(f"{text} not good bad")
    assert all(0 < one < WORD_ROWS for row in read.words for one in row)
    assert all(0 <= one < PHRASE_ROWS for one in read.phrases)
    assert len(read.words) <= HEAD_WORDS + TAIL_WORDS


def test_signs_have_a_number_each() -> None:
    valences = {VALENCE_SIGN + at + turn for at in range(-8, 9) for turn in (0, TURNED_VALENCE)}
    feelings = {FEELING_SIGN + at + turn for at in range(6) for turn in (0, TURNED_FEELING)}
    assert len(valences | feelings | {TURNED_SIGN}) == 2 * 17 + 2 * 6 + 1
    assert max(*valences, *feelings, TURNED_SIGN) < SIGNS
    assert min(valences) > 0
