# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""A command begins and ends sooner, and nothing is lost by that."""

import gc
import subprocess
import sys
import types
from importlib import import_module

import pytest

from bundle.cli.quick import quick_imports

OPTIMIZERS = "torch.distributed.optim"

# a process that leaves with something left to do: a thread, what was registered for the end, text that is not flushed
LEAVING = """
import atexit, sys, threading
from bundle.cli.quick import leave
may_end = threading.Event()
atexit.register(print, "registered")
threading.Thread(target=lambda: (may_end.wait(), print("thread"))).start()
print("at once")
sys.stderr.write("a fault")
may_end.set()
leave({code})
"""


def left(code: int, ending: str = "") -> subprocess.CompletedProcess:
    """What such a process gives whose output goes into a pipe."""
    program = LEAVING.format(code=code) + ending
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)


def test_a_process_leaves_when_all_is_done():
    done = left(3, "print('never')")
    assert done.returncode == 3
    assert done.stdout == "at once\nthread\nregistered\n"
    assert done.stderr == "a fault"


def test_nothing_is_taken_down():
    """What an object would do at the end of Python is not done: that is what takes the time."""
    program = "class Slow:\n    def __del__(self): print('taken down')\nslow = Slow()\n"
    by_exit, by_leaving = (
        subprocess.run([sys.executable, "-c", program + end], capture_output=True, text=True).stdout
        for end in ("import sys; sys.exit(0)", "from bundle.cli.quick import leave; leave(0)")
    )
    assert (by_exit, by_leaving) == ("taken down\n", "")


@pytest.fixture
def no_monai(monkeypatch):
    """A process that has not imported MONAI yet; what is frozen thaws."""
    monkeypatch.delitem(sys.modules, "monai", raising=False)
    yield
    gc.unfreeze()


def test_garbage_is_looked_for_again_after_imports(no_monai):
    assert gc.isenabled()
    with quick_imports():
        assert not gc.isenabled()
    assert gc.isenabled()
    assert gc.get_freeze_count() > 0


def test_nothing_is_done_in_a_process_that_has_imported_monai(monkeypatch):
    monkeypatch.setitem(sys.modules, "monai", types.ModuleType("monai"))
    gc.unfreeze()
    with quick_imports(optimizers=False):
        assert gc.isenabled()
        assert type(sys.modules.get(OPTIMIZERS)) in (types.ModuleType, type(None))
    assert gc.get_freeze_count() == 0


def test_garbage_stays_unlooked_for_where_it_was(no_monai):
    gc.disable()
    try:
        with quick_imports():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


@pytest.fixture
def real(monkeypatch, no_monai):
    """The optimizers of many processes, small, and not yet imported."""
    module = types.ModuleType(OPTIMIZERS)
    module.ZeroRedundancyOptimizer, module.PostLocalSGDOptimizer = object(), object()
    monkeypatch.delitem(sys.modules, OPTIMIZERS, raising=False)

    def imported(name):
        return sys.modules.setdefault(name, module)

    monkeypatch.setattr("bundle.cli.quick.import_module", imported)
    return module


def test_optimizers_of_many_processes_are_left_out(real):
    with quick_imports(optimizers=False):
        stand_in = import_module(OPTIMIZERS)
        assert stand_in is not real
        # ignite looks whether anything is of that class
        assert not isinstance(real, stand_in.ZeroRedundancyOptimizer)
    assert OPTIMIZERS not in sys.modules


def test_who_wants_more_of_the_optimizers_gets_them(real):
    with quick_imports(optimizers=False):
        assert import_module(OPTIMIZERS).PostLocalSGDOptimizer is real.PostLocalSGDOptimizer
        assert import_module(OPTIMIZERS) is real
    assert sys.modules[OPTIMIZERS] is real


def test_a_training_has_its_optimizers(real):
    with quick_imports(optimizers=True):
        assert OPTIMIZERS not in sys.modules
