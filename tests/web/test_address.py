"""HOST:PORT, tokens, names."""

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
def test_what_is_no_address_is_told_what_one_is(text: str) -> None:
    with pytest.raises(SettingsError, match="expected HOST:PORT"):
        address.split(text)


@pytest.mark.parametrize("listen", ["0.0.0.0:80", "192.168.1.5:80", "[::]:80", "pi.local:80"])
def test_beyond_this_machine_a_token_is_demanded(listen: str) -> None:
    with pytest.raises(SettingsError, match=r"needs a token: .*token_urlsafe.*token_file"):
        address.token(WebSettings(listen=listen))
    assert address.token(WebSettings(listen=listen, token="0123456789abcdef")) == "0123456789abcdef"


@pytest.mark.parametrize("listen", ["127.0.0.1:80", "127.8.0.1:80", "[::1]:80", "localhost:80"])
def test_on_this_machine_none_is(listen: str) -> None:
    assert address.token(WebSettings(listen=listen)) is None


@pytest.mark.parametrize("token", ["short", "with blanks in between", "ünicode-is-not-typed-alike", "x" * 257])
def test_an_easy_token_is_refused_wherever_it_is_served(token: str) -> None:
    with pytest.raises(SettingsError, match="16 to 256") as refused:
        address.token(WebSettings(token=token))
    assert token not in str(refused.value)


def test_which_hosts_are_known() -> None:
    names = address.names(WebSettings(hosts=("Camera.lan",)))
    for host in ("localhost", "localhost:8080", "127.0.0.1:1", "10.0.0.7", "[::1]:8080", "[fe80::1]", "camera.lan:80", "CAMERA.LAN."):
        assert address.known(host, names), host
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
        assert not address.known(host, names), host
