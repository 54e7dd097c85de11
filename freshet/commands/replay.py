"""`freshet replay`: history as a live stream."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from freshet.context import EXIT_WRONG_USE, settings_of

if TYPE_CHECKING:
    from demo.purchases import Purchase
    from demo.replay import Plan
    from settings import Settings

EXIT_INTERRUPTED = 130


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("replay")(replay)


def replay(
    context: typer.Context,
    file: Annotated[
        Path | None,
        typer.Argument(
            help="CSV (or CSV in gzip) of purchases: at, user_id, order_id, item_id, quantity, "
            "price, country, title. Default: the shop's history that ships with the project."
        ),
    ] = None,
    *,
    speed: Annotated[
        float, typer.Option(min=0, help="How many times faster than it was; 0: as fast as it goes.")
    ] = 3600.0,
    rebase: Annotated[
        Literal["live", "end", "none"] | None,
        typer.Option(
            help="Event times. live: when sent; end: as far apart as they were, the last one now; "
            "none: as recorded. Default: live, with speed 0 end."
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first events.")] = None,
    users: Annotated[int | None, typer.Option(min=1, help="Only the first users.")] = None,
    run: Annotated[
        str,
        typer.Option(
            help="Part of the event ids. The same name again repeats events: the jobs know the "
            "last ones of each user again (streams.dedup_ids). Another name makes new events."
        ),
    ] = "shop",
) -> None:
    """Send a history of purchases to the topic `user-events`, until its end or Ctrl-C."""
    import time

    from demo.purchases import SHIPPED, PurchaseFileError, read_purchases
    from demo.replay import Plan, Rebase, ReplayError, chosen, refuse_too_old
    from freshet.failing import explained

    settings = settings_of(context)
    with explained(PurchaseFileError, ReplayError, code=EXIT_WRONG_USE):
        purchases = chosen(read_purchases(file or SHIPPED), users=users, limit=limit)
        plan = Plan(
            speed=speed,
            rebase=Rebase(rebase) if rebase else Rebase.LIVE if speed else Rebase.END,
            start_ms=int(time.time() * 1000),
            run=run,
        )
        refuse_too_old(purchases, plan, max_age_days=settings.events.max_age_days)
    _run(settings, purchases, plan)


def _run(settings: "Settings", purchases: "list[Purchase]", plan: "Plan") -> None:
    import time

    from rich.console import Console

    from demo.progress import Counter
    from demo.replay import Sender, schedule
    from freshet.failing import explained
    from schemas.topics import USER_EVENTS
    from stores.errors import LogUnavailable
    from stores.event_log import EventLog, create_topics

    kafka = settings.kafka
    with explained(LogUnavailable):
        create_topics(kafka.bootstrap, scale=kafka.partition_scale, replication=kafka.replication)
        with EventLog(kafka.bootstrap, client_id="freshet-replay") as log:
            sender = Sender(
                send=lambda event: log.send(USER_EVENTS, event.user_id, event),
                clock=time.monotonic,
                sleep=time.sleep,
            )
            try:
                with Counter("events", total=len(purchases), console=Console(stderr=True)) as bar:
                    for _ in sender.run(schedule(purchases, plan)):
                        bar.advance()
            except KeyboardInterrupt:
                sender.settle()
                typer.echo(f"stopped: {sender.confirmed:,} events are in the log")
                raise typer.Exit(EXIT_INTERRUPTED) from None
    typer.echo(f"{sender.confirmed:,} events are in the log")
