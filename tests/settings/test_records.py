from pathlib import Path

import pytest

from settings import SettingsError, load_settings
from settings.load import MASK, shown


def test_the_records_are_a_file_beside_all_other_data(tmp_path: Path) -> None:
    found = load_settings(environ={"FRESHET_DATA_DIR": str(tmp_path)})
    assert found.records_url == f"sqlite:///{tmp_path}/records.sqlite"


def test_a_server_is_named_by_its_url_whose_password_is_not_shown() -> None:
    url = "postgresql://ada:secret@host/records"
    found = load_settings(environ={"FRESHET_RECORDS__URL": url})
    assert found.records_url == url
    assert shown(found)["records"] == {"enabled": True, "url": MASK}


def test_another_kind_of_server_is_refused_without_its_password() -> None:
    with pytest.raises(SettingsError) as told:
        load_settings(environ={"FRESHET_RECORDS__URL": "mysql://ada:secret@host/records"})
    assert "a URL begins with one of postgresql://, sqlite:///" in str(told.value)
    assert "secret" not in str(told.value)
