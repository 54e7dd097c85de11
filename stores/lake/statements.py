"""Which SQL only reads: what ClickHouse's own `readonly` lets through is found by its words.

Read-only, ClickHouse still writes files, by `INSERT INTO FUNCTION` (even one that is explained) and
by `INTO OUTFILE`; stricter than that it would not read the files of a lake either.
"""

import re
from collections.abc import Iterator

from stores.lake.errors import StatementError

READS = ("SELECT", "WITH", "FROM", "DESCRIBE", "DESC", "SHOW", "EXPLAIN", "EXISTS")
WRITES = ("INSERT", "OUTFILE")
# As ClickHouse divides a text: comments, heredocs, quoted texts and names, then words and signs.
_TOKEN = re.compile(
    r"""
    (?P<blank>\s+ | --[^\n]* | \#[ !][^\n]* | /\*.*?\*/)
    | (?P<quoted>\$(?P<tag>\w*)\$.*?\$(?P=tag)\$
        | '(?:[^'\\]|\\.|'')*' | "(?:[^"\\]|\\.|"")*" | `(?:[^`\\]|\\.|``)*`)
    | (?P<word>[^\W\d][\w$]*)
    | (?P<sign>\d[\w$]*|.)
    """,
    re.DOTALL | re.VERBOSE,
)


def require_reading(sql: str) -> None:
    """Refuse what is not one statement that reads.

    >>> require_reading("SELECT 'insert' AS said -- insert")
    >>> require_reading("INSERT INTO FUNCTION file('x.csv') SELECT 1")
    Traceback (most recent call last):
    ...
    stores.lake.errors.StatementError: ClickHouse did not take the statement: it begins with \
INSERT; only SELECT, WITH, FROM, DESCRIBE, DESC, SHOW, EXPLAIN, EXISTS are taken
    """
    tokens = list(_tokens(sql))
    first = next((one for one in tokens if one != "("), "nothing")
    if first not in READS:
        raise StatementError(f"it begins with {first}; only {', '.join(READS)} are taken")
    writing = next((one for one in tokens if one in WRITES), None)
    if writing is not None:
        raise StatementError(
            f"{writing} would write, and this only reads; a name that reads so belongs into `...`"
        )
    if ";" in "".join(tokens).rstrip(";"):
        raise StatementError("there is a ; in it; one statement at a time")


def _tokens(sql: str) -> Iterator[str]:
    """Yield words in capitals and signs; of what is quoted, that there was something."""
    for found in _TOKEN.finditer(sql):
        if found.lastgroup != "blank":
            yield "'" if found["quoted"] else found[0].upper()
