"""An alarm's name becomes a part of MQTT topics, so it is checked where the settings are read."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgefuse import settings
from edgefuse.errors import SettingsError


@pytest.mark.parametrize("name", ["front door", "a/b", "#", "+", "n" * 41])
def test_an_alarms_name_is_checked_where_the_file_is_read(tmp_path: Path, name: str) -> None:
    path = tmp_path / "edgefuse.toml"
    path.write_text(f'[alarm."{name}"]\nabove = 30\n')
    with pytest.raises(SettingsError, match="letters, digits, _ and -"):
        settings.load(path, {}, source_required=False)
