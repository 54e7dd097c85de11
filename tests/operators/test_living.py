from operators.living import Living
from operators.messages import Incoming
from tests.operators.counts import QUIET_MS, WordFold, Words


def word(text: bytes, *, key: bytes = b"a", log_time_ms: int = 0) -> Incoming:
    return Incoming(key, text, "words", 0, 0, log_time_ms)


def test_who_is_due_is_woken_before_a_later_message() -> None:
    living: Living[Words] = Living(WordFold())
    assert len(list(living.take(word(b"x")))) == 1
    assert [one.topic for one in living.take(word(b"x", key=b"b", log_time_ms=QUIET_MS))] == [
        "counts"
    ]
    later = word(b"x", key=b"b", log_time_ms=QUIET_MS + 1)
    assert [one.topic for one in living.take(later)] == ["quiet", "counts"]


def test_the_end_of_the_log_wakes_whoever_is_left() -> None:
    living: Living[Words] = Living(WordFold())
    list(living.take_all([word(b"x"), word(b"x", key=b"b")]))
    assert [one.topic for one in living.pass_time(QUIET_MS)] == ["quiet", "quiet"]
    assert list(living.pass_time(QUIET_MS * 9)) == []


def test_what_is_forgotten_leaves_nothing() -> None:
    living: Living[Words] = Living(WordFold())
    list(living.take_all([word(b"x"), word(b"forget")]))
    assert living.states == {}


def test_a_bug_is_told_and_changes_nothing() -> None:
    living: Living[Words] = Living(WordFold())
    topics = [one.topic for one in living.take_all([word(b"x"), word(b"boom"), word(b"x")])]
    assert topics == ["counts", "dead-letters", "counts"]
    assert living.states[b"a"].startswith(b"2,")
    assert living.tally.counters == {"accepted": 2, "dead_letters.internal": 1}
