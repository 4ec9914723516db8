"""Looks at the page in a browser: colours of its pictures, and conditions that come true."""

from __future__ import annotations

from typing import Any

from tests.support.waiting import until


def colour(page: Any, selector: str = "#picture") -> list[int]:
    """Return red, green and blue at the centre of a canvas."""
    rgba = page.evaluate(
        "s => { const c = document.querySelector(s); return [...c.getContext('2d').getImageData(c.width * .7, c.height * .7, 1, 1).data] }",
        selector,
    )
    return [int(v) for v in rgba[:3]]


def becomes(page: Any, expression: str) -> None:
    """Wait until an expression is true, polling from outside, because the page's policy forbids eval."""
    until(lambda: page.wait_for_timeout(20) or page.evaluate(expression), f"the page to have {expression}")


def near(page: Any, expected: tuple[int, int, int], selector: str = "#picture") -> None:
    until(
        lambda: page.wait_for_timeout(20) or max(abs(a - b) for a, b in zip(colour(page, selector), expected, strict=True)) < 20,
        f"{selector} to have the colour {expected}",
    )
