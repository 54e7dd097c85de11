"""The file of experiments: what it says, and what is told of one that can't be used."""

from pathlib import Path

import pytest

import serving.experiments
from domain.experiments import Arm, Changes, Experiment
from domain.readout import ReadoutRules
from serving.experiments import ExperimentsError, load_experiments

EXPLORE = """
[experiments.explore-more]
layer = "page"
traffic = 0.1
offset = 0.25
salt = "7f3a"
start = 2026-09-21T00:00:00Z
end = 2026-10-05T02:00:00+02:00
arms = [
    { name = "control", weight = 0.5 },
    { name = "bold", weight = 0.5, exploration_rate = 0.3, posteriors = "own" },
]
overrides = { "u-17850" = "bold" }
conversions = ["click", "purchase"]
level = 0.01
sharpest_at = 5_000
"""
CALM = """
[experiments.calm]
layer = "page"
traffic = 0.25
start = 2026-09-21T00:00:00Z
end = 2026-10-05T00:00:00Z
arms = [{ name = "a", weight = 0.5 }, { name = "b", weight = 0.5, diversity_weight = 0 }]
"""
START_MS, END_MS = 1_789_948_800_000, 1_791_158_400_000


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "experiments.toml"


def refusal(file: Path, text: str) -> str:
    """What is told of a text, without the file's name."""
    file.write_text(text)
    with pytest.raises(ExperimentsError) as error:
        load_experiments(file)
    lines = str(error.value).splitlines()
    assert all(line.startswith(f"{file}: ") for line in lines)
    return "\n".join(line.removeprefix(f"{file}: ") for line in lines)


def test_everything_that_is_said_is_read(file: Path) -> None:
    file.write_text(EXPLORE)
    assert load_experiments(file).defined == (
        Experiment(
            experiment_id="explore-more",
            salt="7f3a",
            layer="page",
            first_bucket=2_500,
            buckets=1_000,
            arms=(
                Arm(name="control", weight=0.5),
                Arm(
                    name="bold",
                    weight=0.5,
                    posteriors="own",
                    changes=Changes(exploration_rate=0.3),
                ),
            ),
            start_ms=START_MS,
            end_ms=END_MS,
            overrides={"u-17850": "bold"},
            conversions=frozenset({"click", "purchase"}),
            rules=ReadoutRules(level=0.01, sharpest_at=5_000),
        ),
    )


def test_what_is_not_said_has_a_default(file: Path) -> None:
    file.write_text(CALM)
    (found,) = load_experiments(file).defined
    assert (found.salt, found.first_bucket, found.overrides) == ("calm", 0, {})
    assert (found.conversions, found.rules) == (frozenset({"purchase"}), ReadoutRules())
    assert found.arms[1].changes == Changes(diversity_weight=0.0)


def test_neighbours_in_a_layer_and_an_empty_file_are_allowed(file: Path) -> None:
    file.write_text(CALM + EXPLORE)
    assert len(load_experiments(file).defined) == 2
    file.write_text("")
    assert load_experiments(file).defined == ()


def test_the_example_of_the_module_can_be_used(file: Path) -> None:
    _, _, example = (serving.experiments.__doc__ or "").partition("\n\n")
    file.write_text(example)
    assert load_experiments(file).defined[0].experiment_id == "explore-more"


NAMES = "a name has 1 to 32 of a-z, 0-9, _ and -, and begins with a letter"
ARMS = "experiments.explore-more.arms"


@pytest.mark.parametrize(
    ("was", "becomes", "told"),
    [
        ("explore-more]", '"Explore More"]', f"experiments.Explore More = 'Explore More': {NAMES}"),
        ('"page"', '"Page"', f"experiments.explore-more.layer = 'Page': {NAMES}"),
        ('"bold", w', '"", w', f"{ARMS}.1.name = '': {NAMES}"),
        ("traffic = 0.1", "traffic = 0", "explore-more.traffic = 0: input should be greater"),
        ("traffic = 0.1", "traffic = 1.5", "traffic = 1.5: input should be less than or equal"),
        ("traffic = 0.1", "traffic = 0.00015", "traffic = 0.00015: shares go in steps of 0.0001"),
        ("traffic = 0.1", 'traffic = "0.1"', "traffic = '0.1': input should be a valid number"),
        ("traffic = 0.1", "traffic = 0.8", "traffic reach 105 % of the layer; 100 % are there"),
        ("offset", "ofset", "experiments.explore-more.ofset: there is no such key; known here: la"),
        ("exploration_rate", "rate", f"{ARMS}.1.rate: there is no such key; known here: name, we"),
        ("[experiments.ex", "[experiment.ex", "experiment: there is no such key; known here: expe"),
        ("= 0.3", "= 1.3", f"{ARMS}.1.exploration_rate = 1.3: input should be less than or equal"),
        ('"own"', '"mine"', f"{ARMS}.1.posteriors = 'mine': input should be 'shared' or 'own'"),
        ("weight = 0.5 }", "weight = 0.4 }", "explore-more: the arms' weights sum to 0.9; they"),
        ("weight = 0.5 }", "weight = 0 }", f"{ARMS}.0.weight = 0: input should be greater than 0"),
        ('"control"', '"bold"', "explore-more: arms are named bold, bold; each needs a name of"),
        ('= "bold" }', '= "blod" }', "overrides.u-17850 = 'blod': the arms are control, bold"),
        ("00:00:00Z", "00:00:00", "explore-more.start = datetime.datetime(2026, 9, 21, 0, 0): in"),
        ("2026-10-05", "2026-09-20", "it ends at 2026-09-20 02:00:00+02:00 and starts at 2026-09"),
        ('"7f3a"', '""', "experiments.explore-more.salt = '': string should have at least 1 char"),
        ('"7f3a"', '"\\u0000"', "salt = '\\x00': a salt has printable letters only"),
        ('"click"', '"clik"', "conversions.0 = 'clik': it is none of purchase, share, add_to_cart"),
        ("level = 0.01", "level = 5", "explore-more.level = 5: input should be less than 1"),
        ("sharpest_at = 5_000", "sharpest_at = 5", "sharpest_at = 5: input should be greater than"),
        ('{ name = "control", weight = 0.5 },', "", f"{ARMS}: list should have at least 2 items"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_value_and_what_is_allowed(
    file: Path, was: str, becomes: str, told: str
) -> None:
    assert was in EXPLORE
    assert told in refusal(file, EXPLORE.replace(was, becomes, 1))


def test_everything_that_is_wrong_is_told_at_once(file: Path) -> None:
    text = EXPLORE.replace('"page"', '"Page"').replace("= 0.3", "= -1")
    assert len(refusal(file, text).splitlines()) == 2


def test_a_layer_has_its_users_once(file: Path) -> None:
    told = refusal(file, CALM + EXPLORE.replace("offset = 0.25", "offset = 0.2"))
    assert told.startswith("calm and explore-more of layer page both take 20 % to 25 %")


def test_no_toml_is_told_with_its_line(file: Path) -> None:
    assert refusal(file, "[experiments").startswith("is not valid TOML: ")


def test_a_missing_file_names_its_setting(file: Path) -> None:
    with pytest.raises(ExperimentsError) as error:
        load_experiments(file)
    assert str(error.value) == (
        f"{file}: can't be read (No such file or directory); check serving.experiments_file"
    )
