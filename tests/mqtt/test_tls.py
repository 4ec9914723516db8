"""TLS with a test certificate authority: which brokers are trusted."""

from __future__ import annotations

import gc
import shutil
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edgefuse.mqtt import Mqtt
from edgefuse.settings.mqtt import MqttSettings
from edgefuse.telemetry.live import Live
from tests.mqtt.broker import MOSQUITTO, NEEDED, Broker, Watcher
from tests.reports import INFO, full_report
from tests.support.waiting import until

# paho leaves a socket whose handshake failed to the garbage collector
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning")
KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


def openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True, timeout=60)


def signed(folder: Path, name: str, authority: str, extension: str) -> None:
    """Create NAME.pem and NAME.key, signed by the authority."""
    openssl(folder, "req", *KEY, "-keyout", f"{name}.key", "-out", f"{name}.csr",
            "-subj", f"/CN={name}")  # fmt: skip
    (folder / f"{name}.ext").write_text(extension)
    openssl(folder, "x509", "-req", "-in", f"{name}.csr", "-CA", f"{authority}.pem", "-CAkey", f"{authority}.key", "-CAcreateserial",
            "-days", "2", "-out", f"{name}.pem", "-extfile", f"{name}.ext")  # fmt: skip


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two authorities, and the broker's and a device's certificates from the first."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("papers")
    for authority in ("ours", "theirs"):
        named = ("-keyout", f"{authority}.key", "-out", f"{authority}.pem", "-subj", f"/CN={authority}", "-days", "2")
        openssl(folder, "req", "-x509", *KEY, *named, "-addext", "keyUsage=critical,keyCertSign")
    signed(folder, "broker", "ours", "subjectAltName=IP:127.0.0.1\n")
    signed(folder, "elsewhere", "ours", "subjectAltName=DNS:elsewhere.example\n")
    signed(folder, "cam-1", "ours", "extendedKeyUsage=clientAuth\n")
    return folder


Guarded = Callable[..., Broker]


@pytest.fixture
def guarded(papers: Path, tmp_path: Path) -> Iterator[Guarded]:
    pytest.importorskip("paho.mqtt")
    if MOSQUITTO is None:
        pytest.skip(NEEDED)
    made: list[Broker] = []

    def start(certificate: str = "broker", *extra: str) -> Broker:
        lines = [f"cafile {papers}/ours.pem", f"certfile {papers}/{certificate}.pem", f"keyfile {papers}/{certificate}.key"]
        made.append(Broker(tmp_path, [*lines, *(extra or ("allow_anonymous true",))]))
        return made[-1]

    yield start
    for one in made:
        one.stop()


def state(broker: Broker, wanted: str, **more: Any) -> str:
    """Return the connection state that a device reaches."""
    settings: dict[str, Any] = {"url": f"mqtts://127.0.0.1:{broker.port}", "device": "cam-1", "retry": 0.2} | more
    mqtt = Mqtt(MqttSettings(**settings), Live(full_report), INFO)
    try:
        until(lambda: wanted in mqtt.report()["state"], lambda: f"the state {wanted}: {mqtt.report()}")
        return str(mqtt.report()["state"])
    finally:
        mqtt.close()
        gc.collect()


def test_a_broker_with_a_trusted_certificate_gets_messages(guarded: Guarded, papers: Path) -> None:
    broker = guarded()
    context = ssl.create_default_context(cafile=papers / "ours.pem")
    watcher = Watcher(broker.port, "edgefuse/#", tls=context)
    assert state(broker, "connected", ca_file=str(papers / "ours.pem")) == "connected"
    until(lambda: watcher.on("edgefuse/cam-1/state") == [b"online", b"offline"], "the states online and offline")
    watcher.close()


def test_other_brokers_are_not_trusted(guarded: Guarded, papers: Path) -> None:
    broker = guarded()
    assert "not trusted" in state(broker, "trusted", ca_file=str(papers / "theirs.pem"))
    assert "not trusted" in state(broker, "trusted")
    # plain MQTT to a TLS port
    assert "closed without an answer" in state(broker, "closed", url=broker.url)


def test_a_certificate_for_another_host_is_refused(guarded: Guarded, papers: Path) -> None:
    assert "not valid for '127.0.0.1'" in state(guarded("elsewhere"), "trusted", ca_file=str(papers / "ours.pem"))


def test_a_broker_may_require_a_client_certificate(guarded: Guarded, papers: Path) -> None:
    broker = guarded("broker", "require_certificate true", "use_identity_as_username true")
    ours = {"ca_file": str(papers / "ours.pem")}
    own = {"cert_file": str(papers / "cam-1.pem"), "key_file": str(papers / "cam-1.key")}
    assert state(broker, "connected", **ours, **own) == "connected"
    assert "closed without an answer; check certificates" in state(broker, "closed", **ours)
