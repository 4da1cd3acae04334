# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""What is left to do for a case while the next one is worked on."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor


class Background:
    """One thread that does work in the order in which it is given, of two cases at most: their volumes are in memory.

    Args:
        failed: is told of what a work raises: the case and the exception. No more is done for that case.
    """

    def __init__(self, failed: Callable[[str, Exception], None]) -> None:
        self.failed = failed
        self._thread = ThreadPoolExecutor(1)
        self._waiting: list[tuple[str, Future]] = []
        self._broken: set[str] = set()

    def do(self, case: str, work: Callable[[], object]) -> None:
        """Do some work for a case, after what was given before."""
        while len({name for name, _ in self._waiting} | {case}) > 2:
            self._waiting.pop(0)[1].result()
        self._waiting.append((case, self._thread.submit(self._done, case, work)))

    def _done(self, case: str, work: Callable[[], object]) -> None:
        if case in self._broken:
            return
        try:
            work()
        except Exception as error:
            self._broken.add(case)
            self.failed(case, error)

    def wait(self) -> None:
        """Until all is done."""
        while self._waiting:
            self._waiting[0][1].result()
            self._waiting.pop(0)

    def close(self) -> None:
        """The end of the thread, when all is done."""
        self._thread.shutdown()
