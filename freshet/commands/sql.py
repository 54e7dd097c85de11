"""`freshet sql`: ask the lake, or a ClickHouse server."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from freshet.context import settings_of
from freshet.failing import explained

if TYPE_CHECKING:
    from settings import Settings
    from stores.lake.sql import Answering


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
    from stores.lake.sql import CSV, JSON_ROWS, TABLE

    if as_json and as_csv:
        raise typer.BadParameter("--json and --csv exclude each other")
    form = JSON_ROWS if as_json else CSV if as_csv else TABLE
    with explained(LakeError, StoreError), _answering(settings_of(context)) as answering:
        answer = answering.ask(statement, form)
    sys.stdout.write(answer if answer.endswith("\n") or not answer else answer + "\n")


@contextmanager
def _answering(settings: "Settings") -> Iterator["Answering"]:
    from stores.lake.sql import ServerSql, local_sql

    server = settings.lake.clickhouse.get_secret_value()
    if server:
        yield ServerSql(server, timeout_s=settings.lake.timeout_s)
        return
    with local_sql(settings.lake_directory) as local:
        yield local
