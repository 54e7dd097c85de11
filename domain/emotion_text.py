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

PAD, UNKNOWN, FIRST, LAST = "[PAD]", "[UNK]", "[CLS]", "[SEP]"

# Of a long text its beginning and its end are read, where feelings are mostly said.
HEAD_TOKENS, TAIL_TOKENS = 38, 24
MAX_TOKENS = HEAD_TOKENS + TAIL_TOKENS + 2
MAX_CHARACTERS = 2_000
LONGEST_WORD = 40

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
_DOUBLED = re.compile(r"([^\W\d_])\1+")
_TOKEN = re.compile(r"[^\W_]+|[^\w\s]|_")
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
    ['i', "'", 'm', 'happy', '!']
    """
    return _TOKEN.findall(text)


class Vocabulary:
    """The pieces of words that the model knows, each with its number: its place in the list.

    >>> pieces = Vocabulary(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "happy", "un", "##happy"])
    >>> pieces.encode("unhappy!")
    [2, 5, 6, 1, 3]
    """

    def __init__(self, pieces: Sequence[str]) -> None:
        self.pieces = tuple(pieces)
        self._numbers: Mapping[str, int] = {piece: at for at, piece in enumerate(pieces)}
        missing = [mark for mark in (PAD, UNKNOWN, FIRST, LAST) if mark not in self._numbers]
        if missing:
            raise ValueError(f"the vocabulary lacks {', '.join(missing)}; is it the model's file?")
        self._cut = lru_cache(20_000)(self._cut_word)

    def __len__(self) -> int:
        return len(self.pieces)

    def __contains__(self, piece: str) -> bool:
        return piece in self._numbers

    def encode(self, text: str) -> list[int]:
        """Numbers of a text's pieces, at most `MAX_TOKENS`; just the two end marks for no text."""
        return self.framed(self.numbers(normalized(text)))

    def numbers(self, text: str) -> list[int]:
        """Numbers of the pieces of a normalized text, however many."""
        return [number for word in words_and_marks(text) for number in self._cut(word)]

    def framed(self, numbers: list[int]) -> list[int]:
        """Pieces between the end marks; the middle of a long text is left out."""
        if len(numbers) > HEAD_TOKENS + TAIL_TOKENS:
            numbers = numbers[:HEAD_TOKENS] + numbers[-TAIL_TOKENS:]
        return [self._numbers[FIRST], *numbers, self._numbers[LAST]]

    def _cut_word(self, word: str) -> tuple[int, ...]:
        if word not in self._numbers:
            shorter = _DOUBLED.sub(r"\1", word)
            word = shorter if shorter in self._numbers else word
        return self._longest_first(word) or (self._numbers[UNKNOWN],)

    def _longest_first(self, word: str) -> tuple[int, ...]:
        """Cut a word into its longest known pieces, from the left; nothing where that fails."""
        found, at = [], 0
        while at < len(word) <= LONGEST_WORD:
            end = next((end for end in range(len(word), at, -1) if self._at(word, at, end)), None)
            if end is None:
                return ()
            found.append(self._numbers[self._piece(word, at, end)])
            at = end
        return tuple(found)

    def _at(self, word: str, at: int, end: int) -> bool:
        return self._piece(word, at, end) in self._numbers

    @staticmethod
    def _piece(word: str, at: int, end: int) -> str:
        return ("##" if at else "") + word[at:end]
