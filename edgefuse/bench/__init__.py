"""Benchmarks of speed, memory and stability: models on this board, each case in its own process, and in comparison with a peer.

cases -> subprocess_case (a process each) -> measure, or interleaved with a peer -> report -> text or page; tune remembers the fastest.
"""
