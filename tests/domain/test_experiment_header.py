import pytest

from domain.experiment_header import arms_in_header, header_text
from schemas.types import Exposure


def test_what_is_written_is_read_again() -> None:
    first = Exposure(experiment_id="explore", arm="bold")
    second = Exposure(experiment_id="ranking-v2", arm="control_2", forced=True)
    text = header_text([first, second])
    assert text == "explore=bold, ranking-v2=control_2;forced"
    assert arms_in_header(text) == {"explore": "bold", "ranking-v2": "control_2"}


def test_no_arm_no_header() -> None:
    assert header_text([]) is None
    assert arms_in_header(" ") == {}


def test_space_beside_a_comma_is_free() -> None:
    assert arms_in_header(" a=b ,\tc=d;forced") == {"a": "b", "c": "d"}


@pytest.mark.parametrize(
    "part", ["explore", "a=b;why", "a=1", "A=b", "a=b c=d", "", "a=" + "b" * 33]
)
def test_what_is_no_member_is_told(part: str) -> None:
    with pytest.raises(ValueError, match="it reads experiment=arm, experiment=arm;forced"):
        arms_in_header(f"x=y, {part}")
