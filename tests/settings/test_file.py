"""Tables in a file, environment variables, secrets from files, and the origin of each value; malformed input gives a one-line error."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Literal

import pytest

pytest.importorskip("msgspec")
import sys

from edgefuse import settings
from edgefuse.errors import EdgeFuseError, SettingsError
from edgefuse.settings import tables
from tests.settings.garbage import garbage


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """A table of a fictitious part of EdgeFuse."""

    host: str = field(metadata={"help": "where it is"})
    port: int = field(default=1883, metadata={"help": "its port", "min": 1, "max": 65535})
    password: str | None = field(default=None, metadata={"help": "its password", "secret": True})
    every: float = field(default=1.0, metadata={"help": "seconds", "min": 0.1})
    topic: str = field(default="edgefuse", metadata={"help": "prefix", "option": "topic", "const": "house", "metavar": "NAME"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    above: float = field(default=80.0, metadata={"help": "degrees", "min": -50, "max": 1000})
    clear: float = field(default=70.0, metadata={"help": "degrees"})
    zone: tuple[float, float, float, float] | None = field(default=None, metadata={"help": "x, y, width, height", "min": 0, "max": 1})
    shape: Literal["box", "blob"] = field(default="box", metadata={"help": "which"})
    max_age: int = field(default=3, metadata={"help": "seconds"})

    def __post_init__(self) -> None:
        if self.clear > self.above:
            raise SettingsError("clear is to be below above")


@pytest.fixture(autouse=True)
def two_tables(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    module = ModuleType("edgefuse_test_tables")
    module.Broker, module.Alarm = Broker, Alarm  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(tables, "TABLES", {
        "run": tables.TABLES["run"], "broker": "edgefuse_test_tables:Broker", "alarm": "edgefuse_test_tables:Alarm",
    })  # fmt: skip
    tables.kind.cache_clear()
    yield
    tables.kind.cache_clear()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "edgefuse.toml"


FILE = """# all of it
[run]
source = "demo"   # a street
threads = 2

[broker]
host = "a"
password = "S3cret"

[alarm.Stove]
above = 91.5
[ alarm . "door" ]
zone = [0, 0.5, 0.25, 1]
"""


def test_tables_are_objects_and_absent_ones_are_off(path: Path) -> None:
    path.write_text(FILE)
    made = settings.load(path)
    assert made.run == settings.RunSettings(source="demo", threads=2)
    assert made.tables == {
        "broker": Broker(host="a", password="S3cret"),
        "alarm": {"Stove": Alarm(above=91.5), "door": Alarm(zone=(0.0, 0.5, 0.25, 1.0))},
    }
    path.write_text('[run]\nsource = "demo"\n')
    assert settings.load(path).tables == {}


def test_precedence_of_command_line_environment_file_and_defaults(path: Path) -> None:
    path.write_text(FILE)
    environment = {
        "EDGEFUSE_RUN_THREADS": "3", "EDGEFUSE_RUN_MODEL": "x", "EDGEFUSE_RUN_SINK": "folder:a 'folder:b c'", "EDGEFUSE_BROKER_PORT": "99",
        "EDGEFUSE_ALARM_STOVE_ABOVE": "95", "EDGEFUSE_ALARM_NEW_ONE_MAX_AGE": "9", "EDGEFUSE_COMPILED": "0", "PATH": "/bin",
    }  # fmt: skip
    made = settings.load(path, environment, {"run": {"model": "y"}, "broker": {"topic": "house"}})
    assert (made.run.threads, made.run.model, made.run.sink) == (3, "y", ("folder:a", "folder:b c"))
    assert made.tables["broker"] == Broker(host="a", port=99, password="S3cret", topic="house")
    assert made.tables["alarm"] == {"Stove": Alarm(above=95.0), "door": Alarm(zone=(0.0, 0.5, 0.25, 1.0)), "new_one": Alarm(max_age=9)}
    assert made.origins == {
        "run.source": f"{path}:3", "run.threads": "EDGEFUSE_RUN_THREADS", "run.model": "--model", "run.sink": "EDGEFUSE_RUN_SINK",
        "broker.host": f"{path}:7", "broker.password": f"{path}:8", "broker.port": "EDGEFUSE_BROKER_PORT", "broker.topic": "--topic",
        "alarm.Stove.above": "EDGEFUSE_ALARM_STOVE_ABOVE", "alarm.door.zone": f"{path}:13",
        "alarm.new_one.max_age": "EDGEFUSE_ALARM_NEW_ONE_MAX_AGE",
    }  # fmt: skip


def test_a_source_in_the_environment_replaces_the_files_cameras(path: Path) -> None:
    path.write_text('[run]\ncamera = ["visible=a:1", "infrared=b:2"]\n')
    made = settings.load(path, {"EDGEFUSE_RUN_SOURCE": "demo"})
    assert (made.run.source, made.run.camera) == ("demo", ())


def test_secrets_come_from_files_too(path: Path, tmp_path: Path) -> None:
    (tmp_path / "pw").write_text("S3cret\n")
    path.write_text(f'[broker]\nhost = "a"\npassword_file = "{tmp_path}/pw"\n')
    made = settings.load(path, source_required=False)
    assert made.tables["broker"].password == "S3cret"
    assert made.origins["broker.password"] == f"{path}:3"
    made = settings.load(None, {"EDGEFUSE_BROKER_HOST": "a", "EDGEFUSE_BROKER_PASSWORD_FILE": f"{tmp_path}/pw"}, source_required=False)
    assert made.tables["broker"].password == "S3cret"


def test_an_ambiguous_line_is_not_reported(path: Path) -> None:
    path.write_text('[run]\nmodel = """\nsource = "x"\n"""\nsource = "demo"\n')
    assert settings.load(path).origins["run.source"] == str(path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[broker]\nport = 1\n", "broker: 'host' missing; give it"),
        ("[broker]\nhost = 'a'\nport = 0\n", "broker.port = 0: expected a whole number from 1 to 65535"),
        ("[broker]\nhost = 'a'\nevery = 0\n", "broker.every = 0: expected a number of at least 0.1"),
        ("[broker]\nhost = 'a'\nprot = 1\n", "broker.prot: unknown key; did you mean port?"),
        (
            "[broker]\nhost = 'a'\npassword_file = '/nowhere'\n",
            "broker.password_file = '/nowhere': cannot read it (No such file or directory); ",
        ),
        ("[broker]\nhost = 'a'\npassword_file = 1\n", "broker.password_file = 1: expected a string"),
        ("[broker]\nhost = 'a'\npassword = 'x'\npassword_file = '/dev/null'\n", "broker.password_file: password is given too; "),
        ("[broker]\nhost = 'a'\npassword_file = '/dev/null'\n", "broker.password_file = '/dev/null': the file is empty; "),
        ("[brokr]\nhost = 'a'\n", "unknown table or key 'brokr'; did you mean [broker]?"),
        ("[alarm]\nabove = 1\n", "'alarm.above' must be a table: [alarm.above]"),
        ("alarm = 1\n", "'alarm' must be a table: [alarm.NAME]"),
        ("[alarm.a]\nclear = 90\n", "alarm.a: clear is to be below above"),
        ("[alarm.a]\nzone = [0, 1, 2]\n", "alarm.a.zone = (0, 1, 2): expected a list of 4 numbers"),
        ("[alarm.a]\nzone = [0, 0, 2, 1]\n", "alarm.a.zone = (0, 0, 2, 1): expected a list of 4 numbers from 0 to 1"),
        ("[alarm.a]\nshape = 'bx'\n", "alarm.a.shape = 'bx': expected one of box, blob"),
    ],
)
def test_invalid_files_are_refused_with_the_key(path: Path, text: str, words: str) -> None:
    path.write_text(text)
    with pytest.raises(SettingsError) as caught:
        settings.load(path, source_required=False)
    assert str(caught.value).startswith(f"{path}: {words}")


@pytest.mark.parametrize(
    ("variable", "text", "words"),
    [
        ("EDGEFUSE_RUN_THREADS", "many", "EDGEFUSE_RUN_THREADS = 'many': expected a whole number"),
        ("EDGEFUSE_RUN_THREADS", "65", "EDGEFUSE_RUN_THREADS = 65: expected a whole number from 1 to 64"),
        ("EDGEFUSE_RUN_THREDS", "1", "EDGEFUSE_RUN_THREDS: unknown setting of [run]; did you mean threads?"),
        ("EDGEFUSE_RUN_FRESH", "perhaps", "EDGEFUSE_RUN_FRESH = 'perhaps': expected true or false"),
        ("EDGEFUSE_RUN_SINK", "'a", 'EDGEFUSE_RUN_SINK = "\'a": expected a list of strings separated by blanks (No closing quotation)'),
        ("EDGEFUSE_RUN_MODEL", "", "EDGEFUSE_RUN_MODEL = '': expected a non-empty string"),
        ("EDGEFUSE_ALARM_STOVE", "1", "EDGEFUSE_ALARM_STOVE: unknown setting of [alarm]; did you mean above?"),
        ("EDGEFUSE_BROKER_PORT", "1", "broker: 'host' missing; give it"),
    ],
)
def test_invalid_variables_are_refused_with_their_name(variable: str, text: str, words: str) -> None:
    with pytest.raises(SettingsError) as caught:
        settings.load(None, {variable: text}, source_required=False)
    assert str(caught.value).startswith(words)


def test_without_msgspec_the_error_has_the_install_command(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_text(FILE)
    monkeypatch.setitem(sys.modules, "msgspec", None)
    with pytest.raises(
        EdgeFuseError, match=r"a settings file needs msgspec, which is not installed; run: pip install 'edgefuse\[config\]'$"
    ):
        settings.load(path)
    assert settings.load(None, {"PATH": "/bin"}, {"run": {"source": "demo"}}).run.source == "demo"


def test_malformed_files_give_a_one_line_error(path: Path) -> None:
    rng, refused = random.Random(6), 0
    for _ in range(400):
        path.write_bytes(garbage(rng))
        try:
            settings.load(path, source_required=False)
        except EdgeFuseError:
            refused += 1
    # some are valid by chance, the others are refused
    assert 100 < refused < 400
