"""`freshet catalog`: items into the log, with vectors made from their text."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from freshet.context import EXIT_WRONG_USE, settings_of

if TYPE_CHECKING:
    from demo.catalog import CatalogItem
    from demo.catalog_file import CatalogFile
    from domain.text import TextEncoder
    from settings import Settings

SHOWN_BAD_ROWS = 20

File = Annotated[
    Path | None,
    typer.Argument(
        help="CSV with item_id and title, and perhaps price, category, description, brand, "
        "image_url, availability. Default: the shop's items that ship with the project."
    ),
]
Words = Annotated[
    Path | None,
    typer.Option(help="Word counts that weigh the words of texts. Default: those of the shop."),
]

commands = typer.Typer(no_args_is_help=True, help="The items that can be recommended.")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(commands, name="catalog")


@commands.command()
def load(
    context: typer.Context,
    file: File = None,
    *,
    words: Words = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only check the file; needs no server.")
    ] = False,
) -> None:
    """Put items into the topic `items`; an item that is there already is replaced.

    Lines that can't be used are left out and listed; the exit code is then 1.
    """
    from demo.catalog import CatalogFileError, read_words
    from domain.text import TextEncoder
    from freshet.failing import explained

    with explained(CatalogFileError, code=EXIT_WRONG_USE):
        found = _read(file)
        encoder = TextEncoder(read_words(words) if words else read_words())
    _report(found)
    if dry_run:
        typer.echo(f"{len(found.items)} items can be loaded; nothing was sent")
    else:
        _send(settings_of(context), found.items, encoder)
        typer.echo(f"{len(found.items)} items sent; vectors of space {encoder.space}")
    if found.bad_rows:
        raise typer.Exit(1)


@commands.command()
def words(
    file: Annotated[Path, typer.Argument(help="CSV of the catalogue, as for `load`.")],
    out: Annotated[Path, typer.Argument(help="Where the counts go, for `load --words`.")],
) -> None:
    """Count the words of a catalogue, so that rare ones weigh more in its items' vectors.

    Do it once for a catalogue and keep the file: other counts make another space of vectors.
    """
    from demo.catalog import CatalogFileError, text_of, write_words
    from demo.catalog_file import read_catalog
    from domain.text import TextEncoder, WordCounts
    from freshet.failing import explained

    with explained(CatalogFileError, code=EXIT_WRONG_USE):
        found = read_catalog(file)
    _report(found)
    counts = WordCounts.learn(text_of(item) for item in found.items)
    with explained(OSError, code=EXIT_WRONG_USE):
        write_words(counts, out)
    typer.echo(f"{len(counts.words)} words of {counts.texts} items; {TextEncoder(counts).space}")


def _read(file: Path | None) -> "CatalogFile":
    from demo.catalog import catalog_of
    from demo.catalog_file import CatalogFile, read_catalog
    from demo.purchases import read_purchases

    if file is None:
        return CatalogFile(items=tuple(catalog_of(read_purchases())), bad_rows=())
    return read_catalog(file)


def _report(found: "CatalogFile") -> None:
    for row in found.bad_rows[:SHOWN_BAD_ROWS]:
        typer.echo(f"line {row.line}: {row.reason}", err=True)
    more = len(found.bad_rows) - SHOWN_BAD_ROWS
    if more > 0:
        typer.echo(f"and {more} more lines", err=True)
    if found.bad_rows:
        typer.echo(f"{len(found.bad_rows)} lines left out", err=True)


def _send(settings: "Settings", items: "tuple[CatalogItem, ...]", encoder: "TextEncoder") -> None:
    import time

    from rich.console import Console

    from demo.load import load
    from demo.progress import Counter
    from freshet.failing import explained
    from schemas.topics import ITEMS
    from stores.errors import LogUnavailable
    from stores.event_log import EventLog, create_topics

    kafka = settings.kafka
    with explained(LogUnavailable):
        create_topics(kafka.bootstrap, scale=kafka.partition_scale, replication=kafka.replication)
        with (
            EventLog(kafka.bootstrap, client_id="freshet-catalog") as log,
            Counter("items", total=len(items), console=Console(stderr=True)) as counter,
        ):
            for _ in load(
                items,
                encoder=encoder,
                updated_at_ms=int(time.time() * 1000),
                send=lambda event: log.send(ITEMS, event.item_id, event),
            ):
                counter.advance()
