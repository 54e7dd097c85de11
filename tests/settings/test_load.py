from pathlib import Path

import pytest

from settings import Settings, SettingsError, load_settings
from settings.load import MASK, revealed, shown, toml_lines


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A path for a settings file; the working directory has none of its own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path / "mine.toml"


def test_nothing_given_is_the_defaults(file: Path) -> None:
    assert load_settings(environ={}) == Settings()


def test_the_environment_wins_over_the_file(file: Path) -> None:
    file.write_text("[kafka]\nport = 1111\ncontroller_port = 2222\n")
    found = load_settings(file, environ={"FRESHET_KAFKA__PORT": "3333"})
    assert (found.kafka.port, found.kafka.controller_port) == (3333, 2222)


def test_a_key_of_a_section_within_a_section_from_the_environment() -> None:
    found = load_settings(environ={"FRESHET_LIMITS__FREE__PERSONALIZE": "3"})
    assert found.limits.free.personalize == 3
    assert found.limits.free.feedback == Settings().limits.free.feedback


def test_a_key_without_a_section_from_the_environment(file: Path) -> None:
    assert load_settings(environ={"FRESHET_DATA_DIR": "/data"}).data_dir == Path("/data")


def test_other_variables_are_nobodys_business(file: Path) -> None:
    assert load_settings(environ={"KAFKA_PORT": "x", "FRESHETSTACK": "y"}) == Settings()


def test_the_file_named_by_the_environment_and_the_default_file(file: Path) -> None:
    file.write_text("[kafka]\nport = 1111\n")
    assert load_settings(environ={"FRESHET_CONFIG": str(file)}).kafka.port == 1111
    Path("freshet.toml").write_text("[kafka]\nport = 2222\n")
    assert load_settings(environ={}).kafka.port == 2222
    assert load_settings(file, environ={"FRESHET_CONFIG": "freshet.toml"}).kafka.port == 1111


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        (
            {"FRESHET_KAFKA__PORT": "high"},
            "kafka.port = 'high': input should be a valid integer",
        ),
        (
            {"FRESHET_KAFKA__PORT": "70000"},
            "kafka.port = '70000': input should be less than or equal to 65535",
        ),
        (
            {"FRESHET_KAFKA__PROT": "1"},
            "kafka.prot: there is no such setting; known here: external, port, controller_port, ",
        ),
        (
            {"FRESHET_LOG_FORMAT": "xml"},
            "log_format = 'xml': input should be 'text' or 'json'",
        ),
        (
            {"FRESHET_KAFKA": "host:9092"},
            "kafka = 'host:9092': input should be a valid dictionary or instance of KafkaSettings",
        ),
    ],
)
def test_a_wrong_value_names_key_value_and_what_is_allowed(
    file: Path, environ: dict[str, str], message: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(environ=environ)
    assert str(caught.value).startswith(message)


def test_an_unknown_section_names_the_known(file: Path) -> None:
    with pytest.raises(SettingsError, match=r"^kafca: there is no such setting; known here: data_"):
        load_settings(environ={"FRESHET_KAFCA__PORT": "1"})


def test_every_wrong_value_is_named_at_once(file: Path) -> None:
    environ = {"FRESHET_KAFKA__PORT": "0", "FRESHET_REDIS__PORT": "0"}
    with pytest.raises(SettingsError) as caught:
        load_settings(environ=environ)
    assert [line.split(" ")[0] for line in str(caught.value).splitlines()] == [
        "kafka.port",
        "redis.port",
    ]


def test_a_file_that_is_not_there(file: Path) -> None:
    with pytest.raises(SettingsError, match=r"mine\.toml: can't be read \(No such file"):
        load_settings(file, environ={})


@pytest.mark.parametrize("content", [b"[kafka\n", b"\xff\xfe"])
def test_a_file_that_is_not_toml(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(SettingsError, match=r"mine\.toml: is not valid TOML: "):
        load_settings(file, environ={})


def with_secret(text: str) -> Settings:
    return load_settings(environ={"FRESHET_REDIS__EXTERNAL": text})


def test_secrets_are_masked_where_they_are_shown(file: Path) -> None:
    settings = with_secret("redis://:hunter2@cache")
    assert shown(settings)["redis"]["external"] == MASK
    assert "hunter2" not in repr(settings)
    assert revealed(settings)["redis"]["external"] == "redis://:hunter2@cache"


def test_a_wrong_secret_is_masked_in_the_error(file: Path) -> None:
    file.write_text("[redis]\nexternal = 12345\n")
    with pytest.raises(SettingsError) as caught:
        load_settings(file, environ={})
    assert str(caught.value) == f"redis.external = {MASK}: input should be a valid string"


def test_what_is_written_as_toml_reads_back_the_same(file: Path) -> None:
    settings = with_secret('redis://:"quoted"\\@cache')
    file.write_text("\n".join(toml_lines(revealed(settings))))
    assert load_settings(file, environ={}) == settings


def test_the_key_of_a_model_stays_hidden_where_its_neighbours_are_wrong() -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(
            environ={
                "FRESHET_REASONER__URL": "http://host/v1",
                "FRESHET_REASONER__API_KEY": "sk-very-secret",
            }
        )
    assert "reasoner.model" in str(caught.value)
    assert "secret" not in str(caught.value)
    kept = load_settings(environ={"FRESHET_REASONER__API_KEY": "sk-very-secret"})
    assert shown(kept)["reasoner"]["api_key"] == MASK
