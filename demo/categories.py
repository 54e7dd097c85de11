"""A category for each product, from the thing that its title names.

The rule: what follows WITH, IN or FOR is left away. Of the rest, the last word that stands in
`THINGS` (in the singular) decides; failing that the last that stands in `MOTIFS`, which are on
things more often than they are the thing; failing that the whole title is looked at in the same
way; and a title without any such word is `other`. In English the thing comes late and its pattern
follows it: JUMBO BAG RED RETROSPOT is a bag, JUMBO BAG TOYS too.
"""

import re
from collections.abc import Mapping

OTHER = "other"

THINGS = {
    "bags": "bag shopper purse wallet suitcase rucksack backpack umbrella parasol holdall",
    "baking": "case cutter mould cupcake whisk apron icing",
    "bath-and-beauty": "soap tissue toothbrush plaster lotion gloss lip manicure mirror sponge",
    "candles-and-lights": "light candle candleholder chocolatecandle holder lantern lamp hldr "
    "nightlight candlestick candelabra matches",
    "cards-and-wrap": "card wrap ribbon tag sticker envelope tape postcard",
    "christmas-and-easter": "bauble stocking advent snowflake",
    "clocks-and-frames": "clock frame album thermometer",
    "decorations": "decoration ornament garland wreath chime windmill feather clip",
    "furniture-and-hardware": "knob drawerknob hook hanger rack shelf cabinet table chair stool "
    "stand doorstop ladder handle cornice doormat rug mat bin coaster bench key",
    "garden": "planter watering trowel pot birdhouse bucket crate marker spade hammock twine fork",
    "jewellery-and-wear": "necklace bracelet earring ring brooch hairclip hairband scarf glove "
    "slipper sock hat fan poncho",
    "kitchen": "jar tin pan bowl dish jug bottle colander scale timer scoop spoon cutlery "
    "teaspoon container flask magnet tray glass lid towel brush cover placemat",
    "parties": "bunting balloon napkin doily tableware straw banner confetti flag pennant",
    "signs-and-words": "sign plaque chalkboard blackboard noticeboard memoboard word letter",
    "soft-furnishings": "cushion blanket quilt curtain throw hottie warmer cosy tablecloth",
    "stationery": "notebook notepad book pen pencil eraser ruler calculator sketchbook stamp "
    "sharpener journal crayon organiser folder calendar chalk stationery memo",
    "storage": "box cube basket chest trunk tidy hamper tub canister bank",
    "tea-and-table": "mug cup saucer teapot plate cakestand beaker tumbler teacup tier",
    "toys-and-crafts": "doll game puzzle jigsaw skittle domino puppet kit block playhouse bingo "
    "spinning soldier helicopter harmonica kaleidoscope paint clay glider ludo tattoo "
    "rope stencil",
}

MOTIFS = {
    "baking": "baking cake pastry cookie",
    "bath-and-beauty": "bath",
    "cards-and-wrap": "gift postage",
    "christmas-and-easter": "christmas easter santa reindeer tree angel",
    "clocks-and-frames": "photo picture poster print",
    "decorations": "heart star bird butterfly egg",
    "furniture-and-hardware": "drawer",
    "garden": "garden gardener flower herb plant seed",
    "kitchen": "kitchen pantry oven bread biscuit jam",
    "parties": "party picnic",
    "signs-and-words": "wall slate",
    "tea-and-table": "tea coffee sugar milk",
    "toys-and-crafts": "toy craft feltcraft dolly babushka teddy dinosaur ball farm bunny trick",
}


def _lookup(nouns: Mapping[str, str]) -> dict[str, str]:
    return {noun: name for name, together in nouns.items() for noun in together.split()}


_LOOKUPS = (_lookup(THINGS), _lookup(MOTIFS))
_AFTER_THE_THING = re.compile(r"\b(?:with|in|for)\b.*")
_WORD = re.compile(r"[^\W\d_]+")
_ES = re.compile(r"(?:sh|ch|x|ss)es$")


def category_of(title: str) -> str:
    """Name the category of a title.

    >>> category_of("JUMBO BAG RED RETROSPOT"), category_of("SET OF 6 T-LIGHTS SANTA")
    ('bags', 'candles-and-lights')
    """
    named = _named_in(_AFTER_THE_THING.sub("", title.lower())) or _named_in(title.lower())
    return named or OTHER


def _named_in(text: str) -> str | None:
    words = [singular(word) for word in reversed(_WORD.findall(text))]
    found = (lookup[word] for lookup in _LOOKUPS for word in words if word in lookup)
    return next(found, None)


def singular(word: str) -> str:
    """Take a plural's ending away.

    >>> [singular(word) for word in ("bags", "boxes", "berries", "glass", "christmas")]
    ['bag', 'box', 'berry', 'glass', 'christmas']
    """
    if word.endswith(("ss", "christmas", "matches")):
        return word
    if word.endswith("ies") and len(word) > 4:
        return f"{word[:-3]}y"
    if _ES.search(word):
        return word[:-2]
    return word.removesuffix("s")
