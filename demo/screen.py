"""What the show looks like in a terminal."""

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from demo.service import Answer
from demo.show import Outcome
from demo.story import Customer, Theme


class Screen:
    """Draws the show; where there is no terminal it is plain text."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._titles: dict[str, str] = {}

    def step(self, text: str) -> None:
        """Say what is done now."""
        self._console.print(f"\n[bold cyan]{escape(text)}[/]")

    def note(self, text: str) -> None:
        """Say how it went."""
        self._console.print(f"[dim]{escape(text)}[/]", highlight=False, soft_wrap=True)

    def before(self, customer: Customer, answer: Answer, titles: dict[str, str]) -> None:
        """Show a customer and the list as it is."""
        self._titles = titles
        tastes = ", ".join(f"{count} {category}" for category, count in customer.favourites)
        self.step(f"Customer {customer.user_id}: {customer.purchases} purchases ({tastes})")
        self._console.print("Recommended now:")
        self._console.print(_table(answer))

    def theme(self, theme: Theme) -> None:
        """Show what the customer does."""
        self.step(f"The customer looks at something else: {theme.category}")
        for act in theme.acts:
            title = escape(self._titles.get(act.item_id, act.item_id))
            self._console.print(f"  {act.action:<12} {title}", highlight=False)

    def after(self, outcome: Outcome) -> None:
        """Show the list again, what is new in it, and how long it took."""
        was, now = outcome.of_theme
        self.step("Recommended now:")
        self._console.print(_table(outcome.after, before=outcome.before))
        self._console.print(
            f"\n[bold]{outcome.changed_ms:.0f} ms[/] from the first event to a changed answer, "
            f"[bold]{outcome.complete_ms:.0f} ms[/] until an answer knew all {outcome.accepted} "
            f"events: {was} of the list were {outcome.theme.category}, now {now} are.",
            highlight=False,
        )

    def farewell(self, addresses: dict[str, str], commands: dict[str, str]) -> None:
        """Show where to look and what to type next."""
        self.step("It goes on running:")
        grid = Table.grid(padding=(0, 2))
        for name, where in (*addresses.items(), *commands.items()):
            grid.add_row(escape(name), f"[bold]{escape(where)}[/]")
        self._console.print(grid)


def _table(answer: Answer, *, before: Answer | None = None) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("", "item", "category", "price", "source", "why"):
        table.add_column(heading, justify="right" if heading in {"", "price"} else "left")
    if before is not None:
        table.add_column("")
    for rank, item in enumerate(answer.items, start=1):
        news = _news(item.item_id, rank, before)
        price = "" if item.price is None else f"{item.price:.2f}"
        cells = (str(rank), item.title, item.category or "", price, item.source, item.reason)
        style = "bold green" if news == "new" else None
        table.add_row(
            *(escape(cell) for cell in cells), *([news] if before is not None else []), style=style
        )
    return table


def _news(item_id: str, rank: int, before: Answer | None) -> str:
    """What became of an item since the list before."""
    if before is None:
        return ""
    if item_id not in before.ids:
        return "new"
    moved = before.ids.index(item_id) + 1 - rank
    return f"{'up' if moved > 0 else 'down'} {abs(moved)}" if moved else ""
