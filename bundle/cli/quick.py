# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""A command that begins and ends sooner: of 22 s for a scan, loading MONAI took five, and leaving Python one."""

from __future__ import annotations

import atexit
import gc
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any, NoReturn

# a second of loading
_OPTIMIZERS = "torch.distributed.optim"


class _LeftOut(ModuleType):
    """Stands for torch's optimizers of many processes, of which ignite wants one class, to look whether an optimizer is
    of it. Whoever wants more gets the real module."""

    ZeroRedundancyOptimizer = type("ZeroRedundancyOptimizer", (), {})

    def __getattr__(self, name: str) -> Any:
        # whoever looks through all modules asks for their files
        if name.startswith("__"):
            raise AttributeError(name)
        if sys.modules.get(_OPTIMIZERS) is self:
            del sys.modules[_OPTIMIZERS]
        return getattr(import_module(_OPTIMIZERS), name)


@contextmanager
def quick_imports(optimizers: bool = True) -> Iterator[None]:
    """Import MONAI in two thirds of the time: no garbage is looked for meanwhile, nor later among what was imported.

    Nothing is done where MONAI is imported already: what lives in such a process may become garbage.

    Args:
        optimizers: False in a process that trains nothing: torch's optimizers that are shared by many processes, which
            ignite imports, are then left out. Who imports them later gets them.
    """
    if "monai" in sys.modules:
        yield
        return
    looked_for = gc.isenabled()
    gc.disable()
    left_out = _LeftOut(_OPTIMIZERS)
    if not optimizers:
        sys.modules.setdefault(_OPTIMIZERS, left_out)
    try:
        yield
    finally:
        if sys.modules.get(_OPTIMIZERS) is left_out:
            del sys.modules[_OPTIMIZERS]
        gc.freeze()
        if looked_for:
            gc.enable()


def leave(code: int) -> NoReturn:
    """End the process, as ``sys.exit`` does, but leave it to the system to free what thousands of modules hold.

    Before that threads end, what was registered with ``atexit`` is done (logging's and multiprocessing's end too), and
    what was printed is flushed.
    """
    try:
        threading._shutdown()  # type: ignore[attr-defined]  # what Python itself does first, and then the next
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    except Exception:
        # a pipe that nobody reads any more, for example: Python knows what to do
        sys.exit(code)
    os._exit(code)
