"""The page loads nothing from other servers."""

from __future__ import annotations

import base64
import hashlib
import re

import pytest

from edgefuse.thermal import palettes

page = pytest.importorskip("edgefuse.web.page")


def test_the_page_is_one_file_and_its_policy_allows_only_its_own_script() -> None:
    answer = page.index()
    html, policy = bytes(answer.body).decode(), answer.headers["content-security-policy"]
    assert "@" not in re.sub(r"@media|@keyframes", "", html.partition("<script>")[0])
    assert not re.findall(r"""(?:src|href)=["']?(?:https?:)?//""", html)
    assert not re.findall(r"@import|url\(", html)
    assert not re.findall(r"""\son[a-z]+=|style=""", html)
    for tag in ("style", "script"):
        text = html.partition(f"<{tag}>")[2].partition(f"</{tag}>")[0]
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for name in palettes.NAMES:
        assert f'<option value="{name}">' in html


def test_every_control_has_an_accessible_name() -> None:
    html = bytes(page.index().body).decode()
    for button in re.findall(r"<button[^>]*>.*?</button>", html, re.S):
        assert re.sub(r"<kbd>.*?</kbd>|<[^>]+>", "", button).strip() or "aria-label" in button
    assert '<html lang="en">' in html
    assert re.search(r'<input id="blend"[^>]*aria-label=', html)
