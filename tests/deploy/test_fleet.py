"""deploy/fleet: its files are checked by the programs that read them, and the ACL by devices that try to break it."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.mqtt.broker import MOSQUITTO, NEEDED, Broker, Watcher
from tests.mqtt.test_tls import KEY, openssl, signed
from tests.support.waiting import until

FLEET = Path(__file__).resolve().parents[2] / "deploy/fleet"
needs_promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed (apt-get install prometheus)")
pytestmark = pytest.mark.skipif(not FLEET.exists(), reason="not beside a checkout: deploy/ is not installed")
USERS = ("cam-1", "cam-2", "watcher", "operator", "homeassistant")


def promtool(*arguments: object, cwd: Path | None = None) -> str:
    done = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@needs_promtool
def test_prometheus_takes_its_configuration(tmp_path: Path) -> None:
    folder = tmp_path / "prometheus"
    shutil.copytree(FLEET / "prometheus", folder)
    token = tmp_path / "web-token"
    token.write_text("t\n")
    config = (folder / "prometheus.yml").read_text()
    assert "/run/secrets/prometheus/web-token" in config
    (folder / "prometheus.yml").write_text(config.replace("/run/secrets/prometheus/web-token", str(token)))
    said = promtool("check", "config", folder / "prometheus.yml")
    assert "8 rules found" in said
    assert "SUCCESS" in said


@needs_promtool
def test_alerts_say_what_they_should_of_made_up_devices(tmp_path: Path) -> None:
    shutil.copy(FLEET / "prometheus/edgefuse.rules.yml", tmp_path)
    shutil.copy(Path(__file__).with_name("rules.test.yml"), tmp_path)
    assert "SUCCESS" in promtool("test", "rules", "rules.test.yml", cwd=tmp_path)


def test_alerts_ask_for_metrics_that_exist() -> None:
    pytest.importorskip("prometheus_client")
    yaml = pytest.importorskip("yaml")
    from edgefuse.telemetry.live import Live
    from edgefuse.telemetry.prometheus import exposition
    from tests.reports import full_report

    told = exposition(Live(full_report)).decode()
    known = set(re.findall(r"^([a-z_]+)", told, re.MULTILINE)) | {"up", "edgefuse_processor_temperature_celsius"}
    for rule in yaml.safe_load((FLEET / "prometheus/edgefuse.rules.yml").read_text())["groups"][0]["rules"]:
        bare = re.sub(r"\{[^}]*\}|\[[^]]*\]|\b(and|rate|deriv|increase)\b", "", rule["expr"])
        names = set(re.findall(r"\b[a-z][a-z_]+\b", bare))
        assert names, rule
        assert names <= known, rule


def test_the_compose_file_mounts_what_is_there() -> None:
    yaml = pytest.importorskip("yaml")
    compose: dict[str, Any] = yaml.safe_load((FLEET / "compose.yaml").read_text())
    assert compose["services"].keys() == {"mosquitto", "prometheus", "grafana"}
    for name, service in compose["services"].items():
        for volume in service["volumes"]:
            source, target = volume.split(":")[:2]
            if source.startswith("."):
                # the operator provides the secrets
                assert "secrets" in source or (FLEET / source).exists(), (name, volume)
            else:
                assert source in compose["volumes"], (name, volume)
            assert target.startswith("/")
        # only the TLS port is open to other machines
        assert all(p.startswith("127.0.0.1:") or p == "8883:8883" for p in service["ports"])
    for file in ("grafana/datasources/prometheus.yml", "grafana/dashboards/edgefuse.yml", "prometheus/targets/example.yml"):
        assert yaml.safe_load((FLEET / file).read_text())
    path = yaml.safe_load((FLEET / "grafana/dashboards/edgefuse.yml").read_text())["providers"][0]["options"]["path"]
    assert f"../grafana:{path}:ro" in compose["services"]["grafana"]["volumes"]


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[tuple[Broker, Path]]:
    """Mosquitto with deploy/fleet's configuration, in which the paths are replaced."""
    pytest.importorskip("paho.mqtt")
    tool = shutil.which("mosquitto_passwd")
    if MOSQUITTO is None or tool is None:
        pytest.skip(NEEDED)
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    openssl(tmp_path, "req", "-x509", *KEY, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=ca")
    signed(tmp_path, "broker", "ca", "subjectAltName=IP:127.0.0.1\n")
    (tmp_path / "passwords").touch(mode=0o600)
    for user in USERS:
        subprocess.run([tool, "-b", str(tmp_path / "passwords"), user, f"{user}-password"], check=True, capture_output=True, timeout=120)
    shutil.copy(FLEET / "mosquitto/acl", tmp_path)
    (tmp_path / "acl").chmod(0o600)
    text = (FLEET / "mosquitto/mosquitto.conf").read_text()
    # the test chooses the port and the folders
    text = re.sub(r"(?m)^(listener|persistence\w*) .*$", "", text)
    text = text.replace("/mosquitto/secrets/", f"{tmp_path}/").replace("/mosquitto/config/", f"{tmp_path}/")
    broker = Broker(tmp_path, [line for line in text.splitlines() if line and not line.startswith("#")])
    yield broker, tmp_path
    broker.stop()


def test_the_broker_keeps_devices_apart(fleet: tuple[Broker, Path]) -> None:
    import ssl

    broker, folder = fleet
    tls = ssl.create_default_context(cafile=folder / "ca.pem")
    parties = {user: Watcher(broker.port, "#", user, f"{user}-password", tls) for user in USERS}
    try:
        one, two, operator = parties["cam-1"], parties["cam-2"], parties["operator"]
        one.publish("edgefuse/cam-1/telemetry", b"own")
        one.publish("edgefuse/cam-2/telemetry", b"forged")
        one.publish("edgefuse/cam-2/command", b"forged")
        one.publish("homeassistant/device/cam-1/config", b"own")
        one.publish("homeassistant/device/cam-2/config", b"forged")
        parties["watcher"].publish("edgefuse/cam-1/command", b"forged")
        operator.publish("edgefuse/cam-2/command", b"asked")
        operator.publish("edgefuse/cam-1/state", b"forged")
        two.publish("edgefuse/cam-2/telemetry", b"last")
        # messages arrive in order, so all expected ones have arrived once the last one has
        until(
            lambda: all(p.on("edgefuse/cam-2/telemetry") for u, p in parties.items() if u not in ("cam-1", "cam-2")),
            "telemetry for all who may read it",
        )
        until(lambda: two.heard, "what the second device may read")
        assert all(payload != b"forged" for p in parties.values() for _, payload, _ in p.heard)
        assert one.heard == []
        assert {(t, p) for t, p, _ in two.heard} == {("edgefuse/cam-2/command", b"asked")}
        assert parties["watcher"].on("edgefuse/cam-1/telemetry") == [b"own"]
        assert parties["homeassistant"].on("homeassistant/device/cam-1/config") == [b"own"]
    finally:
        for party in parties.values():
            party.close()


def test_a_device_runs_with_that_configuration(fleet: tuple[Broker, Path]) -> None:
    import ssl

    from edgefuse.mqtt import Mqtt
    from edgefuse.settings.mqtt import MqttSettings
    from edgefuse.telemetry.live import Live
    from tests.reports import INFO, full_report

    broker, folder = fleet
    tls = ssl.create_default_context(cafile=folder / "ca.pem")
    homeassistant = Watcher(broker.port, "#", "homeassistant", "homeassistant-password", tls)
    url = f"mqtts://127.0.0.1:{broker.port}"
    settings = MqttSettings(url=url, user="cam-1", password="cam-1-password", device="cam-1", ca_file=str(folder / "ca.pem"), interval=0.1)
    mqtt = Mqtt(settings, Live(full_report), INFO)
    try:
        until(lambda: homeassistant.on("edgefuse/cam-1/telemetry"), lambda: f"telemetry: {mqtt.report()}")
        until(lambda: homeassistant.on("homeassistant/device/cam-1/config"), "the device's description")
        homeassistant.publish("edgefuse/cam-1/command", b'{"command": "snapshot"}')
        until(lambda: homeassistant.on("edgefuse/cam-1/answer"), "an answer")
    finally:
        mqtt.close()
        homeassistant.close()
