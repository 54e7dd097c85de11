"""Text as the emotion classifier reads it; training and the running job call the same functions.

What differs between places where people write, and says little of how they feel, is made alike:
case, accents, names left out by a data set, links, mentions, quotes. What says much is kept in
words that the model knows: emoji become their names, emoticons too, stretched words their stem.
"""

import html
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple
from zlib import crc32

from domain.emotion_words import feeling_of, negates

# Of a long text its beginning and its end are read, where feelings are mostly said.
HEAD_WORDS, TAIL_WORDS = 38, 24
MAX_CHARACTERS = 2_000
LONGEST_WORD = 20
RUN_LENGTHS, PHRASE_LENGTHS = (3, 4, 5), (2, 3)
NEGATION_REACH = 3
STOPS = frozenset(".!?,;")

# Rows of the table of words: 0 is none, then signs, then hashes. Phrases have a table of their own.
WORD_ROWS, PHRASE_ROWS = 2**15, 2**17
VALENCE_SIGN, TURNED_VALENCE = 9, 20
FEELING_SIGN, TURNED_FEELING, TURNED_SIGN = 50, 8, 70
SIGNS = 128

EMOTICONS = MappingProxyType(
    {
        ":)": "smiling face",
        ":-)": "smiling face",
        "(:": "smiling face",
        "=)": "smiling face",
        ":]": "smiling face",
        ":d": "grinning face",
        ":-d": "grinning face",
        "=d": "grinning face",
        "xd": "laughing face",
        "^^": "smiling face",
        ";)": "winking face",
        ";-)": "winking face",
        ":p": "joking face",
        ":-p": "joking face",
        ";p": "joking face",
        "<3": "love heart",
        "</3": "broken heart",
        ":(": "sad face",
        ":-(": "sad face",
        "):": "sad face",
        "=(": "sad face",
        ":[": "sad face",
        ":'(": "crying face",
        ";(": "crying face",
        ":/": "doubtful face",
        ":-/": "doubtful face",
        ":|": "blank face",
        ":o": "surprised face",
        ":-o": "surprised face",
        "o_o": "surprised face",
        "d:": "shocked face",
        ">:(": "angry face",
    }
)

# Emoji whose official names say something else than people do.
EMOJI = MappingProxyType(
    {
        "\u2764": "love heart",
        "\u2665": "love heart",
        "\u263a": "smiling face",
        "\u2639": "sad face",
        "\U0001f621": "angry face",
        "\U0001f624": "annoyed face",
    }
)

_PLACEHOLDER = re.compile(r"\[(?:name|religion|user|username|url|deleted|removed)\]", re.IGNORECASE)
_LINK = re.compile(r"(?:https?://|www\.)\S+")
_MENTION = re.compile(r"(?<!\w)(?:@\w+|/?u/\w+)")
_HASHTAG = re.compile(r"#(\w+)")
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")
_EMOTICON = re.compile(
    r"(?<![\w:;=])(?:"
    + "|".join(re.escape(sign) for sign in sorted(EMOTICONS, key=len, reverse=True))
    + r")(?![\w/])"
)
_STRETCHED = re.compile(r"([^\W\d_])\1{2,}")
_REPEATED_MARK = re.compile(r"([^\w\s])\1{2,}")
_TOKEN = re.compile(r"[^\W_]+(?:'[^\W_]+)?|[^\w\s]|_")
_QUOTES = str.maketrans({"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "`": "'"})


def normalized(text: str) -> str:
    r"""Make alike what says nothing of a feeling, in lower case.

    >>> normalized("[NAME] I'm SOOOO happy!!!! 😂 see https://example.org @bob")
    "i'm soo happy!! face with tears of joy see"
    >>> normalized("café :( ")
    'cafe sad face'
    >>> normalized("#SoHappy")
    'so happy'
    """
    text = html.unescape(_ends(text)).translate(_QUOTES)
    for unsaid in (_PLACEHOLDER, _LINK, _MENTION):
        text = unsaid.sub(" ", text)
    text = _HASHTAG.sub(lambda found: _HUMP.sub(" ", found.group(1)), text)
    text = "".join(_plain(_REPEATED_MARK.sub(r"\1\1", text.lower())))
    text = _EMOTICON.sub(lambda found: f" {EMOTICONS[found.group()]} ", text)
    text = _STRETCHED.sub(r"\1\1", text)
    return " ".join(_REPEATED_MARK.sub(r"\1\1", text).split())


def _ends(text: str) -> str:
    """Beginning and end of what is longer than anyone reads."""
    half = MAX_CHARACTERS // 2
    return text if len(text) <= MAX_CHARACTERS else f"{text[:half]} {text[-half:]}"


def _plain(text: str) -> Iterator[str]:
    """Letters without accents, and emoji by their names."""
    for character in text if text.isascii() else unicodedata.normalize("NFKD", text).lower():
        yield character if character.isascii() else _plain_character(character)


@lru_cache(4_096)
def _plain_character(character: str) -> str:
    kind = unicodedata.category(character)
    if kind in ("Mn", "Me", "Cf", "Sk"):
        return ""
    if kind == "So":
        name = unicodedata.name(character, "").lower().replace("-", " ")
        return "" if name.startswith("regional") else f" {EMOJI.get(character, name)} "
    return character if kind[0] in "LNP" else " "


def words_and_marks(text: str) -> list[str]:
    """Words, and marks one by one, of a normalized text.

    >>> words_and_marks("i'm happy!")
    ["i'm", 'happy', '!']
    """
    return _TOKEN.findall(text)


class Read(NamedTuple):
    """A text in numbers: for each word the rows of its parts, and the rows of its phrases."""

    words: list[list[int]]
    phrases: list[int]


class Reader:
    """Words into rows of the model's tables: the word, its runs of letters, what is told of it.

    Rows are hashes, so there is no list of words: one never seen is read by its runs of letters.
    `valences` says of some words how good they are, in halves from -8 to 8; a negation before a
    word makes it another sign.

    >>> reader = Reader({"good": 4})
    >>> good, bad = reader.read("good").words[0], reader.read("not good").words[1]
    >>> [sign for sign in good if sign < SIGNS], [sign for sign in bad if sign < SIGNS]
    ([13], [33, 70])
    """

    def __init__(self, valences: Mapping[str, int]) -> None:
        self._valences = valences
        self._signs = lru_cache(20_000)(self._signs_of)

    def read(self, text: str) -> Read:
        """Words and phrases of a text; of a long one its beginning and its end."""
        words = words_and_marks(normalized(text))
        if len(words) > HEAD_WORDS + TAIL_WORDS:
            words = words[:HEAD_WORDS] + words[-TAIL_WORDS:]
        return Read(list(self._rows(words)), _phrases(words))

    def _rows(self, words: Sequence[str]) -> Iterator[list[int]]:
        turned = 0
        for word in words:
            yield [*_parts(word), *self._signs(word, turned=turned > 0)]
            turned = NEGATION_REACH if negates(word) else 0 if word in STOPS else turned - 1

    def _signs_of(self, word: str, *, turned: bool) -> tuple[int, ...]:
        """What is told of a word, as rows below `SIGNS`."""
        valence = self._valences.get(word)
        if valence is None and word.endswith("s"):
            valence = self._valences.get(word[:-1])
        feeling = feeling_of(word)
        signs = []
        if valence is not None:
            signs.append(VALENCE_SIGN + valence + TURNED_VALENCE * turned)
        if feeling is not None:
            signs.append(FEELING_SIGN + feeling + TURNED_FEELING * turned)
        return (*signs, TURNED_SIGN) if turned else tuple(signs)


@lru_cache(20_000)
def _parts(word: str) -> tuple[int, ...]:
    """Rows of a word and of its runs of letters, its ends marked."""
    runs = [f"={word}"]
    if word[0].isalnum():
        marked = f"<{word[:LONGEST_WORD]}>"
        runs += [
            marked[at : at + size]
            for size in RUN_LENGTHS
            if size < len(marked)
            for at in range(len(marked) - size + 1)
        ]
    return tuple(SIGNS + _hashed(run) % (WORD_ROWS - SIGNS) for run in runs)


def _phrases(words: Sequence[str]) -> list[int]:
    """Rows of two and three words in a row, the ends of the text among them."""
    marked = ["^", *words, "$"]
    return [
        _hashed(" ".join(marked[at : at + size])) % PHRASE_ROWS
        for size in PHRASE_LENGTHS
        for at in range(len(marked) - size + 1)
    ]


def _hashed(run: str) -> int:
    return crc32(run.encode("utf-8", "surrogatepass"))
