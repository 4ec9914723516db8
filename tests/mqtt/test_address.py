"""Tests of broker URLs, certificates and device names."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgefuse.errors import SettingsError
from edgefuse.mqtt.address import Address, address, check_prefix, device_name, tls_context
from edgefuse.settings.mqtt import MqttSettings


def test_urls_name_a_broker() -> None:
    assert address(MqttSettings(url="mqtt://broker")) == Address("broker", 1883, False, "", "")
    assert address(MqttSettings(url="mqtts://ann@[::1]:8884", password="x")) == Address("::1", 8884, True, "ann", "x")
    assert address(MqttSettings(url="mqtts://a%40b:c%2Fd@h", user="other")) == Address("h", 8883, True, "a@b", "c/d")
    assert str(address(MqttSettings(url="mqtts://ann:secret@[::1]"))) == "mqtts://[::1]:8883"


@pytest.mark.parametrize(
    "url",
    ["broker", "http://broker", "mqtt://", "mqtt://h:0x1", "mqtt://h:99999", "mqtt://h/path", "mqtt://h?x=1", "mqtt://[::1", "mqtt://a b",
     "mqtt://" + "a" * 64 + ".de", "mqtt://a..b", "mqtt://.", "mqtt://h\n"],
)  # fmt: skip
def test_an_invalid_url_is_refused(url: str) -> None:
    try:
        parsed = address(MqttSettings(url=url))
    except SettingsError as e:
        assert "mqtt.url" in str(e)  # noqa: PT017
    else:
        # the standard library strips line breaks from a URL
        assert parsed.host == "h"
        assert url == "mqtt://h\n"


def test_the_error_for_a_url_hides_its_password() -> None:
    with pytest.raises(SettingsError) as e:
        address(MqttSettings(url="mqtt://ann:secret@h/path"))
    assert "secret" not in str(e.value)
    with pytest.raises(SettingsError, match="without a user"):
        address(MqttSettings(url="mqtt://h", password="secret"))


def test_invalid_certificate_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing")
    with pytest.raises(SettingsError, match=r"mqtt\.ca_file = .*no PEM certificates"):
        tls_context(MqttSettings(url="mqtts://h", ca_file=str(tmp_path / "ca.pem")))
    with pytest.raises(SettingsError, match=r"mqtt\.ca_file = .*No such file"):
        tls_context(MqttSettings(url="mqtts://h", ca_file=str(tmp_path / "none.pem")))
    with pytest.raises(SettingsError, match=r"mqtt\.cert_file = .*no PEM certificate with its key"):
        tls_context(MqttSettings(url="mqtts://h", cert_file=str(tmp_path / "ca.pem")))


def test_the_default_device_name_identifies_the_board(tmp_path: Path) -> None:
    names = set()
    for k, serial in enumerate(["10000000abcdef01", "10000000abcdef02"]):
        # two boards with copies of one SD card
        root = tmp_path / str(k)
        (root / "etc").mkdir(parents=True)
        (root / "etc/machine-id").write_text("0123\n")
        (root / "sys/firmware/devicetree/base").mkdir(parents=True)
        (root / "sys/firmware/devicetree/base/serial-number").write_text(serial + "\0")
        names.add(device_name("", root))
        assert device_name("", root) == device_name("", root)
    assert len(names) == 2
    assert device_name("cam-1") == "cam-1"
    assert device_name("", tmp_path / "nothing")


@pytest.mark.parametrize("name", ["a/b", "#", "+", "", "a b", "x" * 65, "ü"])
def test_names_that_would_break_topics_are_refused(name: str) -> None:
    if name:
        with pytest.raises(SettingsError, match="letters, digits"):
            device_name(name)
    if name != "a/b":
        with pytest.raises(SettingsError, match="letters, digits"):
            check_prefix(name, "prefix")
