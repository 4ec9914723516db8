"""Tests of access control."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.web.conftest import TOKEN, Served

pytest.importorskip("uvicorn")
connection_limits = pytest.importorskip("edgefuse.web.connection_limits")
Serve = Callable[..., Served]
_EVERYTHING = ("/", "/stream.mjpg", "/picture.png", "/state.json", "/history.json", "/report.json", "/healthz", "/metrics", "/nothing")


def test_host_names_open_to_dns_rebinding_are_refused(serve: Serve) -> None:
    page = serve()
    for host in ("evil.example", "evil.example:8080", "127.0.0.1.evil.example"):
        assert page.get("/report.json", Host=host)[0] == 421
    assert page.get("/", Host=f"localhost:{page.port}")[0] == 200
    assert page.get("/", Host="192.168.7.7")[0] == 200


def test_cross_site_requests_are_refused(serve: Serve) -> None:
    page = serve()
    assert page.get("/report.json", Origin="https://evil.example")[0] == 403
    assert page.get("/report.json", Origin="null")[0] == 403
    assert page.get("/stream.mjpg", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="no-cors")[0] == 403
    assert page.get("/", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate")[0] == 200
    assert page.get("/report.json", Origin=f"http://127.0.0.1:{page.port}", Sec_Fetch_Site="same-origin")[0] == 200
    answer = page.ask("POST", "/record", b'{"on": true}', Content_Type="application/json", Origin="http://evil.example")
    assert answer.status == 403
    answer.close()


def test_every_route_needs_the_token(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_limits, "WRONG_S", 0.01)
    page = serve(token=TOKEN)
    for path in _EVERYTHING:
        status, body = page.get(path)
        assert status == 401
        assert (b"<form" in body) == (path == "/")
    for wrong in ("", "x", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "\xe9" * 20):
        assert page.get("/report.json", Authorization=f"Bearer {wrong}")[0] == 401
        assert page.get("/report.json", Cookie=f"edgefuse-{page.port}={wrong}")[0] == 401
    assert page.get("/report.json?token=wrong-wrong-wrong-wrong")[0] == 401


def test_programs_send_the_token_and_browsers_a_cookie_that_does_not_reveal_it(serve: Serve) -> None:
    page = serve(token=TOKEN)
    assert page.get("/report.json", Authorization=f"Bearer {TOKEN}")[0] == 200
    assert page.get(f"/report.json?token={TOKEN}")[0] == 200
    with page.ask("GET", f"/?token={TOKEN}") as answer:
        assert (answer.status, answer.headers["Location"]) == (303, "/")
        cookie = answer.headers["Set-Cookie"]
    assert TOKEN not in cookie
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert page.get("/", Cookie=cookie.partition(";")[0])[0] == 200
    assert page.get("/report.json", Cookie=cookie.partition(";")[0])[0] == 200


def test_the_login_form(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_limits, "WRONG_S", 0.01)
    page = serve(token=TOKEN)
    form = {"Content_Type": "application/x-www-form-urlencoded"}
    with page.ask("POST", "/login", f"token={TOKEN}".encode(), **form) as answer:
        assert answer.status == 303
        assert answer.headers["Set-Cookie"]
    with page.ask("POST", "/login", b"token=wrong", **form) as answer:
        assert answer.status == 401
        assert b"Wrong token" in answer.read()
    with page.ask("POST", "/login", b"token=" + b"x" * 5000, **form) as answer:
        assert answer.status == 413


def test_a_token_with_punctuation_survives_the_login_form(serve: Serve) -> None:
    token = "a+b/c=d&e%f?g#h;i"
    page = serve(token=token)
    from urllib.parse import urlencode

    with page.ask("POST", "/login", urlencode({"token": token}).encode(), Content_Type="application/x-www-form-urlencoded") as answer:
        assert answer.status == 303


def test_every_response_has_the_security_headers(serve: Serve) -> None:
    page = serve()
    for path in _EVERYTHING[2:]:
        with page.ask("GET", path) as answer:
            for name, value in pytest.importorskip("edgefuse.web.access").SAFE.items():
                assert answer.headers[name] == value
            assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
            assert "Server" not in answer.headers
