"""Fixtures: a broker and clients that listen to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.mqtt.broker import MOSQUITTO, NEEDED, Broker, Watcher


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    pytest.importorskip("paho.mqtt")
    if MOSQUITTO is None:
        pytest.skip(NEEDED)
    folder = tmp_path / "mosquitto"
    folder.mkdir()
    made = Broker(folder)
    yield made
    made.stop()


@pytest.fixture
def watch() -> Iterator[Callable[..., Watcher]]:
    made: list[Watcher] = []

    def open_one(*args: Any, **kwargs: Any) -> Watcher:
        made.append(Watcher(*args, **kwargs))
        return made[-1]

    yield open_one
    for one in made:
        one.close()
