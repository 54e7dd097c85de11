"""Messages for `dead-letters`: nothing is dropped in silence."""

from operators.fold import Outgoing, outgoing_record
from operators.messages import Incoming
from schemas.topics import DEAD_LETTERS
from schemas.types import DeadLetter

PAYLOAD_KEPT = 65_536
KEY_KEPT = 1_024
DETAIL_KEPT = 500


def dead_letter(message: Incoming, *, reason: str, detail: str, job: str) -> Outgoing:
    """Where a message stood, why it wasn't used, and the start of it."""
    letter = DeadLetter(
        topic=message.topic,
        partition=message.partition,
        offset=message.offset,
        log_time_ms=message.log_time_ms,
        key=None if message.key is None else message.key[:KEY_KEPT],
        payload=(message.value or b"")[:PAYLOAD_KEPT],
        payload_size=len(message.value or b""),
        reason=reason,
        detail=detail[:DETAIL_KEPT],
        job=job,
    )
    place = f"{message.topic}:{message.partition}:{message.offset}"
    return outgoing_record(DEAD_LETTERS, place, letter)
