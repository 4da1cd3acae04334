# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""Scans that are ready for clicks: made in the background, a few of them kept."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

from bundle.errors import InputError, input_error

T = TypeVar("T")
R = TypeVar("R")
_log = logging.getLogger(__name__)


def _is_there(future: Future | None) -> bool:
    return future is not None and future.done() and future.exception() is None


class States(Generic[T]):
    """What is prepared of cases, by their ids; one is prepared at a time, of those that wait the one asked for last.

    Args:
        prepare: from an id to the state of that case.
        keep: how many states are kept, those that were asked for last.
        mark: of what a case is made from, by its id; where it is another one, so is the state.
    """

    def __init__(self, prepare: Callable[[str], T], keep: int, mark: Callable[[str], Hashable] = str) -> None:
        self.prepare = prepare
        self.keep = keep
        self.mark = mark
        self._worker = ThreadPoolExecutor(1, "prepare")
        self._answering = ThreadPoolExecutor(1, "answer")
        self._futures: OrderedDict[Hashable, Future[T]] = OrderedDict()
        self._lock = threading.Lock()
        self._waiting: list[tuple[str, Future[T]]] = []

    def begin(self, name: str) -> Future[T]:
        """Have a state made, unless there is one."""
        key = (name, self.mark(name))
        with self._lock:
            future = self._futures.get(key)
            if future is None or (future.done() and future.exception()):
                future = self._futures[key] = Future()
                self._waiting.append((name, future))
                self._worker.submit(self._prepare_newest)
            self._futures.move_to_end(key)
        return future

    def _prepare_newest(self) -> None:
        with self._lock:
            name, future = self._waiting.pop()
        try:
            state = self.prepare(name)
        except Exception as error:
            future.set_exception(error)
            return
        with self._lock:
            others = [known for known, future in self._futures.items() if _is_there(future)]
            for known in others[: max(0, len(others) + 1 - self.keep)]:
                del self._futures[known]
        future.set_result(state)

    def ready(self, name: str) -> bool:
        """Whether a state is there."""
        return _is_there(self._futures.get((name, self.mark(name))))

    async def get(self, name: str) -> T:
        """Wait for a state.

        Raises:
            InputError: when the scan cannot be made ready.
        """
        try:
            return await asyncio.shield(asyncio.wrap_future(self.begin(name)))
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
