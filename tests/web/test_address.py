"""Tests of listen addresses, tokens and host names."""

from __future__ import annotations

import pytest

from edgefuse.errors import SettingsError
from edgefuse.settings.web import WebSettings
from edgefuse.web import address


@pytest.mark.parametrize(
    ("text", "expected"),
    [(":80", ("127.0.0.1", 80)), ("0.0.0.0:8080", ("0.0.0.0", 8080)), ("[::1]:0", ("::1", 0)), ("localhost:65535", ("localhost", 65535))],
)
def test_addresses(text: str, expected: tuple[str, int]) -> None:
    assert address.split(text) == expected


@pytest.mark.parametrize(
    "text", ["8080", "host", "a:b", "a:70000", "a:-1", "::1:80", "a/b:80", "a b:80", "x:1:2", "[::1]", ":", "a:\uff11"]
)
def test_an_invalid_address_raises_with_the_expected_form(text: str) -> None:
    with pytest.raises(SettingsError, match="expected HOST:PORT"):
        address.split(text)


@pytest.mark.parametrize("listen", ["0.0.0.0:80", "192.168.1.5:80", "[::]:80", "pi.local:80"])
def test_an_address_reachable_from_outside_needs_a_token(listen: str) -> None:
    with pytest.raises(SettingsError, match=r"needs a token: .*token_urlsafe.*token_file"):
        address.token(WebSettings(listen=listen))
    assert address.token(WebSettings(listen=listen, token="0123456789abcdef")) == "0123456789abcdef"


@pytest.mark.parametrize("listen", ["127.0.0.1:80", "127.8.0.1:80", "[::1]:80", "localhost:80"])
def test_a_loopback_address_needs_no_token(listen: str) -> None:
    assert address.token(WebSettings(listen=listen)) is None


@pytest.mark.parametrize("token", ["short", "with blanks in between", "ünicode-is-not-typed-alike", "x" * 257])
def test_a_weak_token_is_refused_on_any_address(token: str) -> None:
    with pytest.raises(SettingsError, match="16 to 256") as refused:
        address.token(WebSettings(token=token))
    assert token not in str(refused.value)


def test_allowed_hosts() -> None:
    names = address.host_names(WebSettings(hosts=("Camera.lan",)))
    for host in ("localhost", "localhost:8080", "127.0.0.1:1", "10.0.0.7", "[::1]:8080", "[fe80::1]", "camera.lan:80", "CAMERA.LAN."):
        assert address.is_allowed(host, names), host
    for host in (
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "",
        ":80",
        "[::1",
        "a b",
        "camera.lan:x",
        "0x7f.1",
        "127.1",
    ):
        assert not address.is_allowed(host, names), host


@pytest.mark.parametrize("name", ["camera.example.org", "pi.lan", "192.168.7.7", "[2001:db8::1]"])
def test_a_page_behind_a_proxy_needs_a_token_on_loopback_too(name: str) -> None:
    with pytest.raises(SettingsError, match="can be reached from other machines, through a proxy"):
        address.token(WebSettings(hosts=("localhost", name)))
    assert address.token(WebSettings(hosts=(name,), token="x" * 20)) == "x" * 20


def test_names_of_this_machine_alone_need_no_token() -> None:
    assert address.token(WebSettings(hosts=("localhost", "127.0.0.1", "[::1]", "edgefuse.localhost"))) is None
