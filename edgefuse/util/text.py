"""Text from a file or a file's name, made safe to show: it may hold control sequences of terminals, or line breaks."""

from __future__ import annotations


def escaped(text: str) -> str:
    """Return `text` as one line, with what is not printable as escapes, such as \\x1b and \\n."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def plain(text: str, lines: bool = False) -> str:
    """Return `text` with a blank for each character that is not printable, control and format characters included.

    lines: keep line breaks, as "\\n".
    """
    if text.isprintable():
        return text
    kept = text.replace("\r\n", "\n").replace("\r", "\n") if lines else text
    return "".join(c if c.isprintable() or (lines and c == "\n") else " " for c in kept)
