from pathlib import Path

import pytest

from serving.contracts import generate
from serving.contracts.freshet.bandit.v1 import bandit_pb2 as pb

# As the design has them.
DESIGN = {
    "UpdateRequest": {"item_id": 1, "context_segment": 2, "reward": 3, "context_features": 4},
    "SampleRequest": {
        "item_ids": 1,
        "context_segment": 2,
        "context_features": 3,
        "num_samples": 4,
    },
    "SampleResponse": {"samples": 1},
    "SampleResponse.ItemSample": {"item_id": 1, "sampled_value": 2, "uncertainty": 3},
}


def test_the_code_is_that_of_the_contract() -> None:
    assert list(generate.different()) == []


def test_code_that_is_not_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = generate.modules()
    for path, text in made.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text, encoding="utf-8")
    stub = next(path for path in made if path.name == "bandit_pb2.pyi")
    (tmp_path / stub).write_text("# by hand", encoding="utf-8")
    assert list(generate.different(tmp_path)) == [stub]
    monkeypatch.setattr(generate, "different", lambda: iter([stub]))
    assert generate.main(["--check"]) == 1
    assert f"{stub} differs: run `python -m serving.contracts.generate`" in capsys.readouterr().err


@pytest.mark.parametrize(("message", "numbers"), DESIGN.items())
def test_the_fields_of_the_design_keep_their_numbers(message: str, numbers: dict[str, int]) -> None:
    descriptor = pb.DESCRIPTOR.pool.FindMessageTypeByName(f"freshet.bandit.v1.{message}")
    declared = {entry.name: entry.number for entry in descriptor.fields}
    assert {name: declared[name] for name in numbers} == numbers
    assert all(number >= 20 for name, number in declared.items() if name not in numbers)


def test_the_methods_are_those_of_the_design() -> None:
    methods = {
        one.name: (one.input_type.name, one.output_type.name)
        for one in pb.DESCRIPTOR.services_by_name["BanditService"].methods
    }
    assert methods == {
        "UpdatePosterior": ("UpdateRequest", "UpdateResponse"),
        "Sample": ("SampleRequest", "SampleResponse"),
        "GetParameters": ("ParameterRequest", "ParameterResponse"),
    }
