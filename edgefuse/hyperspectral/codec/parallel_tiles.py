"""Works on several tiles at a time, on threads, with the results in the tiles' order and few tiles under way."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(work: Callable[[Item], Result], items: Iterable[Item], threads: int, waiting: int = 0) -> Generator[Result, None, None]:
    """Yield `work(item)` of each item, in order, of which up to `threads` are under way or wait to be taken.

    The items are made by the thread that iterates, `work` runs on others, which begin the items in order; with one thread all runs on the
    one that iterates. An exception of `work` is raised where its result would be. Close the iterator if it is not exhausted: what is under
    way ends first. waiting: items and results that may wait beyond that, where they are small, so that no thread waits for a slow tile.
    """
    if threads == 1:
        for item in items:
            result = work(item)
            del item
            yield result
            del result
        return
    with ThreadPoolExecutor(threads, "edgefuse-tile") as pool:
        queue: deque[Future[Result]] = deque()
        try:
            for item in items:
                queue.append(pool.submit(work, item))
                del item
                if len(queue) == threads + waiting:
                    yield queue.popleft().result()
            while queue:
                yield queue.popleft().result()
        finally:
            for future in queue:
                future.cancel()
