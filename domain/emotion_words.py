"""Words that the reader of emotion is told of, beside what it learns: written for it, by hand.

A data set of a few ten thousand texts lacks most words of fear or disgust. Here they share a sign
with those that it has, so that what is learned of one word is known of all.
"""

from collections.abc import Mapping
from types import MappingProxyType

from domain.emotion import FELT, Label

_NEGATIONS = (
    "not no never none nothing nobody neither nor without hardly barely cannot cant dont doesnt "
    "didnt isnt wasnt wont wouldnt couldnt shouldnt aint"
)
NEGATIONS = frozenset(_NEGATIONS.split())

# A stem of five letters or more stands for every word that begins so, a shorter one for itself.
LONG_STEM = 5
STEMS: Mapping[Label, str] = MappingProxyType(
    {
        "anger": "angry anger angri furious fury rage raging outrag irritat annoy infuriat hostil "
        "hate hated hating hatred resent enrag mad pissed livid wrath hateful indignant bitter "
        "spite vengeance cruel insult offend scold quarrel fuck bullshit asshole idiot damn stfu",
        "disgust": "disgust gross grossed vile revolt repuls nause sicken vomit puke filthy nasty "
        "loath abhor foul rotten stink stench repugnan yuck eww ewww ew yikes cringe creep putrid "
        "obscene contempt",
        "fear": "afraid fear fearful fright scare scared scary scaring terrif terror horrif horror "
        "panic anxi nervous worr dread threat danger alarm trembl shiver creepy spooky nightmare "
        "phobia paranoi apprehens timid coward uneas tense",
        "joy": "happy happi joy joyful glad delight cheer love loved loving lovely wonderful great "
        "awesome excit thrill thank gratef proud pleas amus laugh lol lmao haha hahaha enjoy fun "
        "funny smil grin merry bless celebrat yay hooray bliss content relie hope congrat",
        "sadness": "sad sadness sadly unhappy cry cried cries crying weep wept tears sorrow grief "
        "griev mourn depress misera heartbr lonel alone despair hopeless disappoint regret sorry "
        "apolog hurt gloom melanchol lost lament sob sobbed tragic unfortunate ashamed embarrass",
        "surprise": "surpris amaz astonish astound shock stun startl unexpected unbeliev wow omg "
        "whoa woah sudden incredibl wonder curious confus bewilder puzzl speechless huh really",
    }
)
_FEELING_OF = {stem: at for at, label in enumerate(FELT) for stem in STEMS[label].split()}


def feeling_of(word: str) -> int | None:
    """The place in `FELT` of the feeling that a word names, by its longest stem.

    >>> feeling_of("terrified"), feeling_of("mad"), feeling_of("made")
    (2, 0, None)
    """
    ends = (end for end in range(len(word), 1, -1) if end == len(word) or end >= LONG_STEM)
    return next((_FEELING_OF[word[:end]] for end in ends if word[:end] in _FEELING_OF), None)


def negates(word: str) -> bool:
    """Whether a word turns those after it around.

    >>> negates("don't"), negates("do")
    (True, False)
    """
    return word in NEGATIONS or word.endswith("n't")
