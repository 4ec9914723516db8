"""How fast, how large, how steady: models on this board, each case in a process of its own, and beside somebody else's model.

cases -> subprocess_case (a process each) -> measure, or interleaved with a peer -> report -> text or page; tune remembers the fastest.
"""
