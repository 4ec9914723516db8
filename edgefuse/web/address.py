"""Where the page is served and which hosts may request it: HOST:PORT, the token, the names allowed in a Host header."""

from __future__ import annotations

import ipaddress
import re
import socket

from edgefuse.errors import SettingsError
from edgefuse.settings.web import WebSettings

_TOKEN = re.compile(r"[\x21-\x7e]{16,256}\Z")
_MAKE_TOKEN = "python3 -c 'import secrets; print(secrets.token_urlsafe(24))' > web-token"
_HOST = re.compile(r"(\[[0-9a-fA-F:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(?::([0-9]{1,5}))?\Z")


def split(text: str) -> tuple[str, int]:
    """Split HOST:PORT, [IPV6]:PORT or :PORT (127.0.0.1) into (host, port). Port 0 means any free port. Raises SettingsError."""
    host, colon, port = text.rpartition(":")
    match = _HOST.match(host or "127.0.0.1")
    if not colon or match is None or match[2] or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
        raise SettingsError(f"web address {text!r}: expected HOST:PORT or :PORT, such as 127.0.0.1:8080 or 0.0.0.0:8080")
    return match[1].strip("[]"), int(port)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address."""
    return host == "localhost" or (_is_ip(host) and ipaddress.ip_address(host).is_loopback)


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def token(s: WebSettings) -> str | None:
    """Return the required token, or None where none is needed. Raises SettingsError where it is missing or too easy to guess."""
    if s.token is None:
        if outside := [name for name in s.hosts if not _is_own(name)]:
            raise SettingsError(
                f"a web page that is reached as {outside[0]!r} (hosts) can be reached from other machines, through a proxy on this one, "
                f'so it needs a token: {_MAKE_TOKEN}, then token_file = "web-token" in [web]; or take the name out of hosts'
            )
        if not is_loopback(split(s.listen)[0]):
            raise SettingsError(
                f"a web page on {s.listen} can be reached from other machines, so it needs a token: {_MAKE_TOKEN}, "
                'then token_file = "web-token" in [web]; or serve on 127.0.0.1'
            )
        return None
    if not _TOKEN.match(s.token):
        raise SettingsError(f"[web] token: expected 16 to 256 letters, digits or signs, without blanks; make one: {_MAKE_TOKEN}")
    return s.token


def _is_own(name: str) -> bool:
    """Whether only this machine is reached by this name, wherever it is used: localhost, or a loopback address."""
    name = name.lower().strip("[]").removesuffix(".")
    return is_loopback(name) or name.endswith(".localhost")


def host_names(s: WebSettings) -> frozenset[str]:
    """Return the lower-case host names that a browser may use. Limiting them stops DNS rebinding attacks."""
    own = socket.gethostname().lower()
    return frozenset({"localhost", own, f"{own}.local", own.partition(".")[0] + ".local", *(h.lower() for h in s.hosts)})


def is_allowed(header: str, allowed: frozenset[str]) -> bool:
    """Whether a Host header is one of `allowed`, or a plain IP address (safe from DNS rebinding). Any port, as it may be forwarded."""
    match = _HOST.match(header)
    if match is None:
        return False
    host = match[1].lower().removesuffix(".")
    return host in allowed or _is_ip(host.strip("[]"))
