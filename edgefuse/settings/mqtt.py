"""[mqtt]: publishing to, and commands from, an MQTT broker (docs/how-to/telemetry.md)."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class MqttSettings:
    """Settings of the MQTT client. Field names are the settings file's keys."""

    url: str = field(
        metadata={"option": "mqtt", "metavar": "URL", "help": "publish to an MQTT broker: mqtt://[USER@]HOST[:PORT], mqtts:// for TLS"}
    )
    user: str = field(default="", metadata={"help": "user name, if not in the URL"})
    password: str = field(default="", metadata={"secret": True, "help": "password; better give password_file"})
    ca_file: str = field(
        default="", metadata={"help": "mqtts: certificate authorities for the broker's certificate, PEM (default: the system's)"}
    )
    cert_file: str = field(default="", metadata={"help": "mqtts: client certificate of this device, PEM"})
    key_file: str = field(default="", metadata={"help": "mqtts: private key of the client certificate, PEM, if not in cert_file"})
    prefix: str = field(default="edgefuse", metadata={"help": "prefix of every topic"})
    device: str = field(default="", metadata={"help": "unique name of this device at the broker (default: host name and serial number)"})
    interval: float = field(default=10.0, metadata={"help": "seconds between telemetry messages", "min": 0.1, "max": 86400.0})
    snapshots: float = field(default=0.0, metadata={"help": "seconds between pictures; 0: on request only", "min": 0, "max": 86400.0})
    quality: int = field(default=80, metadata={"help": "JPEG quality of snapshots", "min": 1, "max": 100})
    commands: bool = field(default=True, metadata={"help": "accept commands (snapshot, record, reload)"})
    discovery: str = field(default="homeassistant", metadata={"help": "Home Assistant's discovery prefix; off: no discovery"})
    buffer: int = field(default=1000, metadata={"help": "messages kept while the broker is away", "min": 1, "max": 10**6})
    retry: float = field(default=4.0, metadata={"help": "longest wait in seconds between attempts to connect", "min": 0.1, "max": 3600.0})
