"""`freshet profile`: what a user said, beside what was learned; and entries by hand."""

import getpass
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from freshet.context import settings_of
from freshet.failing import explained

if TYPE_CHECKING:
    from stores.records.database import Database
    from stores.records.entered import Hand, ProfileEntries

commands = typer.Typer(no_args_is_help=True, help="Profiles: what users entered, and what is kept.")

User = Annotated[str, typer.Argument(help="The user's id.")]
By = Annotated[
    str,
    typer.Option(default_factory=getpass.getuser, help="Who enters it; kept with the entry."),
]
Item = Annotated[str, typer.Option(help="An item's id.")]
Creator = Annotated[str, typer.Option(help="A creator's id.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(commands, name="profile")


@commands.command()
def show(context: typer.Context, user_id: User) -> None:
    """Print a profile as JSON, with every entry and who made it."""
    from stores.records.reading import RecordReader

    with _opened(context) as database:
        reader = RecordReader(database)
        profile = reader.profile(user_id)
        entries = reader.entries(user_id)
    if profile is None:
        typer.echo(f"error: the records know no user {user_id}", err=True)
        raise typer.Exit(1)
    shown = {**asdict(profile), "entries": [asdict(entry) for entry in entries]}
    typer.echo(json.dumps(shown, indent=2, ensure_ascii=False))


@commands.command()
def prefer(
    context: typer.Context,
    user_id: User,
    preferences: Annotated[str, typer.Argument(help="""A JSON object, as in '{"drama": 0.8}'.""")],
    by: By,
) -> None:
    """Replace what the user says they prefer."""
    try:
        chosen = json.loads(preferences)
    except json.JSONDecodeError as error:
        raise typer.BadParameter(f"{preferences!r} is no JSON: {error}") from error
    if not isinstance(chosen, dict):
        raise typer.BadParameter(f"{preferences!r} is no JSON object, as in '{{\"drama\": 0.8}}'")
    with _entering(context, by) as (entries, hand):
        entries.enter_preferences(user_id, chosen, hand)


@commands.command()
def block(
    context: typer.Context,
    user_id: User,
    by: By,
    item: Item = "",
    creator: Creator = "",
) -> None:
    """Keep that the user wants no more of an item, or of a creator."""
    _need_one(item, creator)
    with _entering(context, by) as (entries, hand):
        if item:
            entries.block_item(user_id, item, hand)
        if creator:
            entries.block_creator(user_id, creator, hand)


@commands.command()
def unblock(
    context: typer.Context,
    user_id: User,
    by: By,
    item: Item = "",
    creator: Creator = "",
) -> None:
    """Take a block back."""
    _need_one(item, creator)
    with _entering(context, by) as (entries, hand):
        if item:
            entries.unblock_item(user_id, item, hand)
        if creator:
            entries.unblock_creator(user_id, creator, hand)


def _need_one(item: str, creator: str) -> None:
    if not (item or creator):
        raise typer.BadParameter("say --item or --creator")


@contextmanager
def _entering(context: typer.Context, by: str) -> "Iterator[tuple[ProfileEntries, Hand]]":
    from stores.records.entered import Hand, ProfileEntries

    with _opened(context) as database:
        yield ProfileEntries(database), Hand(by=by, at_ms=time.time_ns() // 1_000_000)


@contextmanager
def _opened(context: typer.Context) -> "Iterator[Database]":
    from stores.errors import StoreError
    from stores.records.database import Database

    with explained(StoreError), Database(settings_of(context).records_url) as database:
        database.prepare()
        yield database
