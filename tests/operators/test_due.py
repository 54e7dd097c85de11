from operators.due import Due


def test_who_planned_anew_is_due_once_at_the_later_time() -> None:
    due = Due(step_ms=10)
    due.plan(b"a", 20)
    due.plan(b"a", 40)
    assert due.passed(30) == []
    assert due.next_ms == 40
    assert due.passed(40) == [b"a"]
    assert due.next_ms is None


def test_who_is_planned_for_never_is_not_due() -> None:
    due = Due(step_ms=10)
    due.plan(b"a", 20)
    due.plan(b"a", None)
    assert (due.next_ms, due.at_ms(b"a"), due.passed(100)) == (None, None, [])


def test_a_time_that_has_passed_is_due_with_the_next_step() -> None:
    """Or a fold that asks for the same time again would be woken for ever."""
    due = Due(step_ms=10)
    due.plan(b"a", 20, after_ms=40)
    assert due.passed(40) == []
    assert due.next_ms == 50


def test_only_what_differs_has_to_be_stored() -> None:
    due = Due(step_ms=10)
    due.load([(b"a", 20)])
    due.plan(b"a", 19)
    assert due.changed == set()
    due.plan(b"a", 21)
    assert due.changed == {b"a"}


def test_keys_are_due_in_the_order_of_their_times() -> None:
    due = Due(step_ms=1)
    due.load([(b"a", 30), (b"b", 10)])
    due.plan(b"c", 20)
    assert due.passed(25) == [b"b", b"c"]
