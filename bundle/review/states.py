# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""Scans that are ready for clicks: made in the background, a few of them kept."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

from bundle.errors import InputError, input_error

T = TypeVar("T")
R = TypeVar("R")
_log = logging.getLogger(__name__)


class States(Generic[T]):
    """What is prepared of cases, by their ids; one is prepared at a time.

    Args:
        prepare: from an id to the state of that case.
        keep: how many states are kept, those that were asked for last.
    """

    def __init__(self, prepare: Callable[[str], T], keep: int) -> None:
        self.prepare = prepare
        self.keep = keep
        self._worker = ThreadPoolExecutor(1, "prepare")
        self._answering = ThreadPoolExecutor(1, "answer")
        self._futures: OrderedDict[str, Future[T]] = OrderedDict()

    def begin(self, name: str) -> Future[T]:
        """Have a state made, unless there is one; another one that has not begun gives way when there are too many."""
        future = self._futures.get(name)
        if future is None or future.cancelled() or (future.done() and future.exception()):
            future = self._worker.submit(self.prepare, name)
            self._futures[name] = future
        self._futures.move_to_end(name)
        while len(self._futures) > self.keep:
            self._futures.popitem(last=False)[1].cancel()
        return future

    def ready(self, name: str) -> bool:
        """Whether a state is there."""
        future = self._futures.get(name)
        return future is not None and future.done() and not future.cancelled() and future.exception() is None

    async def get(self, name: str) -> T:
        """Wait for a state.

        Raises:
            InputError: when the scan cannot be made ready.
        """
        while True:
            future = self.begin(name)
            try:
                return await asyncio.shield(asyncio.wrap_future(future))
            except asyncio.CancelledError:
                # it gave way to other cases before it had begun
                if not future.cancelled():
                    raise
            except Exception as error:
                fault = input_error(error)
                if fault is None:
                    _log.exception("%s cannot be made ready", name)
                    raise InputError(
                        f"The scan cannot be made ready for clicks ({type(error).__name__}); the server's log says why."
                    ) from error
                raise fault from error

    async def run(self, work: Callable[[], R]) -> R:
        """Do something that takes long, one after the other, beside the making of states."""
        return await asyncio.get_running_loop().run_in_executor(self._answering, work)

    def close(self) -> None:
        """Begin nothing more."""
        for executor in (self._worker, self._answering):
            executor.shutdown(wait=False, cancel_futures=True)
