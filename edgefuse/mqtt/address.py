"""The broker's address from its URL, TLS, and this device's unique name."""

from __future__ import annotations

import hashlib
import re
import socket
import ssl
import uuid
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from edgefuse.errors import SettingsError
from edgefuse.settings.mqtt import MqttSettings
from edgefuse.util.uri import expand, safe

_PORTS = {"mqtt": 1883, "mqtts": 8883}
_DEVICE = re.compile(r"[A-Za-z0-9_-]{1,64}")
_PREFIX = re.compile(r"[A-Za-z0-9_-]{1,64}(/[A-Za-z0-9_-]{1,64}){0,4}")
_HOST = re.compile(r"[A-Za-z0-9._-]{1,253}|[0-9A-Fa-f:.]{2,45}(%[A-Za-z0-9._-]{1,16})?")
# the board's own serial first, because a copied SD card has a copied machine-id
_SERIALS = ("sys/firmware/devicetree/base/serial-number", "etc/machine-id")


@dataclass(frozen=True, slots=True)
class Address:
    """Address and credentials of a broker. user, password: empty for none."""

    host: str
    port: int
    tls: bool
    user: str
    password: str

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'mqtts' if self.tls else 'mqtt'}://{host}:{self.port}"


def address(s: MqttSettings) -> Address:
    """Return the broker's address. Raises SettingsError for an invalid URL."""
    wrong = SettingsError(f"mqtt.url = {safe(s.url)!r}: expected mqtt://[USER@]HOST[:PORT] or mqtts://...")
    try:
        url = urlsplit(s.url)
        host, port = url.hostname or "", url.port
    except ValueError:
        raise wrong from None
    dotted = ":" in host or all(0 < len(label) < 64 for label in host.rstrip(".").split("."))
    if url.scheme not in _PORTS or not _HOST.fullmatch(host) or not dotted or url.path not in ("", "/") or url.query or url.fragment:
        raise wrong
    user, password = unquote(url.username or "") or s.user, unquote(url.password or "") or s.password
    if password and not user:
        raise SettingsError("mqtt: password without a user; set user, or use a URL like mqtt://USER@HOST")
    return Address(host, port or _PORTS[url.scheme], url.scheme == "mqtts", user, password)


def tls_context(s: MqttSettings) -> ssl.SSLContext:
    """Return a TLS 1.2+ context that verifies the broker. Raises SettingsError for files that are not certificates."""
    try:
        context = ssl.create_default_context(cafile=_file(s.ca_file, "ca_file"))
    except (ssl.SSLError, OSError) as e:
        raise SettingsError(f"mqtt.ca_file = {s.ca_file!r}: no PEM certificates in that file ({e})") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if certificate := _file(s.cert_file, "cert_file"):
        try:
            # an empty password, so that a key with a pass phrase fails instead of asking on the terminal
            context.load_cert_chain(certificate, _file(s.key_file, "key_file"), password=lambda: "")
        except (ssl.SSLError, OSError) as e:
            raise SettingsError(f"mqtt.cert_file = {s.cert_file!r}: no PEM certificate with its key, unencrypted ({e})") from None
    return context


def _file(name: str, key: str) -> Path | None:
    if not name:
        return None
    path = expand(name)
    try:
        with open(path, "rb"):
            return path
    except OSError as e:
        raise SettingsError(f"mqtt.{key} = {name!r}: cannot read it ({e.strerror}); give an existing PEM file") from None


def device_name(given: str, root: Path = Path("/")) -> str:
    """Return `given` after a check, or else the host's name and six digits unique to this board. Raises SettingsError."""
    if given:
        if not _DEVICE.fullmatch(given):
            raise SettingsError(f"mqtt.device = {given!r}: expected up to 64 letters, digits, _ and -")
        return given
    host = re.sub(r"[^A-Za-z0-9_-]+", "-", socket.gethostname())[:50].strip("-") or "edgefuse"
    return f"{host}-{hashlib.sha256(_serial(root).encode()).hexdigest()[:6]}"


def _serial(root: Path) -> str:
    for name in _SERIALS:
        try:
            if text := (root / name).read_text("ascii", "replace").strip("\0\n "):
                return text
        except OSError:
            continue
    return f"{uuid.getnode():x}"


def check_prefix(prefix: str, key: str) -> str:
    """Return the prefix if it can begin a topic; raises SettingsError otherwise."""
    if not _PREFIX.fullmatch(prefix):
        raise SettingsError(f"mqtt.{key} = {prefix!r}: expected letters, digits, _ and -, with / between, such as site7/edgefuse")
    return prefix
