import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.emotion_text import (
    EMOTICONS,
    HEAD_TOKENS,
    MAX_CHARACTERS,
    MAX_TOKENS,
    TAIL_TOKENS,
    Vocabulary,
    normalized,
    words_and_marks,
)

MARKS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]


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


def test_words_are_cut_into_the_longest_known_pieces() -> None:
    pieces = Vocabulary([*MARKS, "un", "unhap", "##happy", "##py", "##hap"])
    assert pieces.encode("unhappy") == [2, 5, 7, 3]


def test_a_word_that_can_not_be_cut_is_unknown_as_a_whole() -> None:
    pieces = Vocabulary([*MARKS, "un", "happy"])
    assert pieces.encode("unhappy happy") == [2, 1, 5, 3]
    assert pieces.encode("x" * 500) == [2, 1, 3]


def test_a_word_longer_than_words_are_is_unknown() -> None:
    pieces = Vocabulary([*MARKS, "a", "##a", "##b"])
    assert pieces.encode("ab" * 20) == [2, 4, 6, *[5, 6] * 19, 3]
    assert pieces.encode("ab" * 20 + "a") == [2, 1, 3]


def test_a_stretched_word_is_known_by_its_short_form() -> None:
    pieces = Vocabulary([*MARKS, "so", "good", "n", "##o"])
    assert pieces.encode("SOOOO goooood nooo") == [2, 4, 5, 6, 7, 7, 3]
    assert Vocabulary([*MARKS, "no"]).encode("noooo") == [2, 4, 3]


def test_of_a_long_text_the_middle_is_left_out() -> None:
    pieces = Vocabulary([*MARKS, "a", "b", "c"])
    read = pieces.encode("a " * 50 + "b " * 50 + "c " * 50)
    assert len(read) == MAX_TOKENS == 64
    assert read[1 : 1 + HEAD_TOKENS] == [4] * HEAD_TOKENS
    assert read[-1 - TAIL_TOKENS : -1] == [6] * TAIL_TOKENS


def test_no_text_is_just_framed() -> None:
    assert Vocabulary(MARKS).encode(" [NAME] ") == [2, 3]


def test_a_list_without_the_marks_is_refused() -> None:
    with pytest.raises(ValueError, match=r"lacks \[CLS\], \[SEP\]; is it the model's file"):
        Vocabulary(["[PAD]", "[UNK]"])


def test_marks_stand_alone() -> None:
    assert words_and_marks("don't!? a_b") == ["don", "'", "t", "!", "?", "a", "_", "b"]


@given(st.text(alphabet=st.characters(codec="ascii")))
def test_numbers_are_those_of_pieces(text: str) -> None:
    pieces = Vocabulary(
        [*MARKS, *map(chr, range(33, 127)), *(f"##{chr(c)}" for c in range(97, 123))]
    )
    assert all(0 <= number < len(pieces) for number in pieces.encode(text))
