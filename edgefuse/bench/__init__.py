"""How fast, how large, how steady: models on this board, each case in a process of its own, and beside somebody else's model.

cases -> apart (a process each) -> measure, or duel with a peer -> report -> text or page; tune remembers the fastest.
"""
