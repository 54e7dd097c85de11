"""`freshet sql`: ask the lake, or a ClickHouse server."""

import sys
from typing import Annotated

import typer

from freshet.context import settings_of
from freshet.failing import explained


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("sql")(sql)


def sql(
    context: typer.Context,
    statement: Annotated[
        str, typer.Argument(help="In ClickHouse's SQL, as in: SELECT count() FROM interactions.")
    ],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="As a JSON list of rows.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="As CSV with a header.")] = False,
) -> None:
    """Ask about interactions (each event once), events, impressions, rewards and snapshots."""
    from stores.errors import StoreError
    from stores.lake.errors import LakeError
    from stores.lake.sql import CSV, JSON_ROWS, TABLE, answering

    if as_json and as_csv:
        raise typer.BadParameter("--json and --csv exclude each other")
    form = JSON_ROWS if as_json else CSV if as_csv else TABLE
    settings = settings_of(context)
    server = settings.lake.clickhouse.get_secret_value()
    with (
        explained(LakeError, StoreError),
        answering(settings.lake_directory, server=server, timeout_s=settings.lake.timeout_s) as ask,
    ):
        answer = ask.ask(statement, form)
    sys.stdout.write(answer if answer.endswith("\n") or not answer else answer + "\n")
