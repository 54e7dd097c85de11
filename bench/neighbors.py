"""What an item's neighbours foretell, beside fading popularity and V-SKNN, and what they cost.

The half-lives learned stand beside each single one. `--retail` takes the original Online Retail
file as CSV; without it the demo's reduced one is read.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from time import process_time

from bench.next_item import Foreteller, Neighborly, Popular, SimilarSessions, event_of, measured
from bench.result import save
from bench.session_logs import DAY_MS, HOUR_MS, REDUCED, Market, News, Step, retail
from domain.item_pairs import pairs_of
from domain.neighbors import HALF_LIVES_MS
from domain.session import RECENT_ITEMS, RecentItem
from operators.counting import Tally
from operators.item_state import ItemFold
from operators.messages import Incoming
from schemas.codec import encode
from schemas.topics import ITEM_PAIRS

POPULAR = {"1 h": HOUR_MS, "1 d": DAY_MS, "7 d": 7 * DAY_MS, "30 d": 30 * DAY_MS}
NAMES = ("15 min", "6 h", "4 d", "60 d", "never")
LEARNED = "neighbours, learned"
COSTED = 20_000


def main() -> None:
    """Measure, print and keep the result."""
    options = _options()
    logs: dict[str, Callable[[], list[Step]]] = {
        "retail": lambda: retail(options.retail)[: options.steps],
        "news": lambda: News(seed=3).steps(options.sessions),
        "market": lambda: Market(seed=5).steps(options.sessions),
    }
    figures: dict[str, object] = {}
    for name in options.logs:
        steps = logs[name]()
        print(f"{name}: {len(steps)} steps", flush=True)
        asked = min(1.0, options.asked / (0.6 * len(steps)))
        found = measured(steps, _tellers(), warm=0.4, asked=asked)
        for teller, figure in found.items():
            print(f"  {teller:24s} {figure}", flush=True)
        figures[name] = {"steps": len(steps), **found, "summary": _summary(found)}
        print(f"  {figures[name]['summary']}", flush=True)  # type: ignore[index]
        figures[f"{name}_cost"] = cost = _cost(steps)
        print(f"  {cost}", flush=True)
    print(f"kept in {save('neighbors', figures)}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.neighbors", description=__doc__)
    parser.add_argument("--retail", type=Path, default=REDUCED)
    parser.add_argument("--steps", type=int, default=60_000, help="of the shop's orders")
    parser.add_argument("--sessions", type=int, default=10_000, help="of the made-up logs")
    parser.add_argument("--asked", type=int, default=2_000, help="questions, about")
    parser.add_argument("logs", nargs="*", default=["retail", "news", "market"])
    return parser.parse_args()


def _tellers() -> dict[str, Foreteller]:
    return {
        **{f"popular, {name}": Popular(ms) for name, ms in POPULAR.items()},
        "V-SKNN": SimilarSessions(),
        **{
            f"neighbours, {name}": Neighborly((ms,))
            for name, ms in zip(NAMES, HALF_LIVES_MS, strict=True)
        },
        LEARNED: Neighborly(HALF_LIVES_MS),
    }


def _summary(found: dict[str, dict[str, float]]) -> dict[str, float]:
    """NDCG of the learned half-lives over the best of each kind."""

    def best(kind: str) -> float:
        return max(f["ndcg_10"] for n, f in found.items() if n.startswith(kind) and n != LEARNED)

    learned = found[LEARNED]["ndcg_10"]
    return {
        "over_popular": round(learned / max(1e-9, best("popular")), 2),
        "over_v_sknn": round(learned / max(1e-9, best("V-SKNN")), 2),
        "over_best_single_half_life": round(learned / max(1e-9, best("neighbours")), 3),
    }


def _cost(steps: Sequence[Step]) -> dict[str, float]:
    """CPU time of the fold, decoded states kept as the job keeps them, and of its bytes."""
    messages, spent_s = _messages(steps[:COSTED])
    fold, tally = ItemFold(max_ahead_ms=1, half_life_ms=DAY_MS), Tally()
    states = {key: fold.empty() for key, _, _ in messages}
    began, told = process_time(), 0
    for key, value, at_ms in messages:
        message = Incoming(key, value, ITEM_PAIRS.name, 0, 0, at_ms)
        told += len(list(fold.step(states[key], message, tally)))
    taken_s, began = process_time() - began, process_time()
    stored = [fold.encode(state) for state in states.values()]
    encoded_s, began = process_time() - began, process_time()
    for one in stored:
        fold.decode(one)
    events, count = min(len(steps), COSTED), len(stored)
    return {
        "messages_per_event": round(len(messages) / events, 2),
        "told_per_event": round(told / events, 2),
        "emit_us_per_event": round(1e6 * spent_s / events, 1),
        "step_us_per_message": round(1e6 * taken_s / len(messages), 1),
        "encode_us_per_state": round(1e6 * encoded_s / count, 1),
        "decode_us_per_state": round(1e6 * (process_time() - began) / count, 1),
        "bytes_per_state": round(sum(map(len, stored)) / count),
    }


def _messages(steps: Sequence[Step]) -> tuple[list[tuple[bytes, bytes, int]], float]:
    met: dict[str, list[RecentItem]] = {}
    found: list[tuple[bytes, bytes, int]] = []
    spent_s = 0.0
    for step in steps:
        earlier = met.setdefault(step.session, [])
        event, began = event_of(step), process_time()
        found += [
            (pair.item_id.encode(), encode(pair), step.at_ms)
            for pair in pairs_of(event, earlier, log_time_ms=step.at_ms)
        ]
        spent_s += process_time() - began
        earlier.append(RecentItem(step.item_id, step.at_ms, step.kind))
        del earlier[:-RECENT_ITEMS]
    return found, spent_s


if __name__ == "__main__":
    main()
