# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""Time, memory and arithmetic of a piece of work."""

from __future__ import annotations

import contextlib
import resource
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn


class Measured(NamedTuple):
    """What a piece of work took.

    Attributes:
        result: of the work.
        seconds: wall time.
        cpu_seconds: of all threads of the process; a busy neighbour makes wall time longer, and this hardly.
        peak_mb: most memory during the work: of the GPU, or of the process.
    """

    result: Any
    seconds: float
    cpu_seconds: float
    peak_mb: float


def wait_for(device: torch.device) -> None:
    """Until a GPU has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _forget_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    else:
        # Linux alone can forget the peak of a process; elsewhere it is that of all that was done so far
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")


def _peak_mb(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    status = Path("/proc/self/status")
    if status.exists():
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
        return int(lines["VmHWM"].split()[0]) / 1e3
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def measured(work: Callable[[], Any], device: torch.device, repeats: int = 1) -> Measured:
    """Do some work, and say what the fastest of the times took."""
    best: Measured | None = None
    for _ in range(repeats):
        _forget_peak(device)
        started, cpu = time.perf_counter(), time.process_time()
        result = work()
        wait_for(device)
        took = Measured(result, time.perf_counter() - started, time.process_time() - cpu, _peak_mb(device))
        if best is None or took.seconds < best.seconds:
            best = took
    assert best is not None
    return best


class Clock:
    """Time that is spent in modules, and how many images go through them, while it is on them.

    Where several threads are at work it is the mean of theirs.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds, self.images = 0.0, 0

    @contextlib.contextmanager
    def on(self, *modules: nn.Module) -> Iterator[Clock]:
        """Look at these modules for a while."""
        # by thread: when it went in, seconds, images
        started: dict[int, float] = {}
        seconds: dict[int, float] = defaultdict(float)
        images: dict[int, int] = defaultdict(int)

        def begin(module: nn.Module, inputs: Any) -> None:
            wait_for(self.device)
            started[threading.get_ident()] = time.perf_counter()

        def end(module: nn.Module, inputs: Any, output: Any) -> None:
            wait_for(self.device)
            thread = threading.get_ident()
            seconds[thread] += time.perf_counter() - started[thread]
            images[thread] += len(inputs[0])

        handles = [m.register_forward_pre_hook(begin) for m in modules] + [
            m.register_forward_hook(end) for m in modules
        ]
        try:
            yield self
        finally:
            for handle in handles:
                handle.remove()
            self.seconds += sum(seconds.values()) / max(1, len(seconds))
            self.images += sum(images.values())


def product_gflops(dtype: torch.dtype, device: torch.device, size: int = 1024, times: int = 8) -> float:
    """Arithmetic per second of a product of square matrices: about the most that this computer can do."""
    a = torch.randn(size, size, device=device, dtype=dtype)
    a @ a
    took = measured(lambda: [a @ a for _ in range(times)], device, repeats=3)
    return times * 2 * size**3 / took.seconds / 1e9


def convolutions_seconds(network: nn.Module, x: torch.Tensor) -> float:
    """Seconds of the convolutions of a network alone, with what goes into them when ``x`` goes into the network."""
    given: list[tuple[nn.Module, torch.Tensor]] = []
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    handles = [
        m.register_forward_pre_hook(lambda module, inputs: given.append((module, inputs[0].clone())))
        for m in convolutions
    ]
    network(x)
    for handle in handles:
        handle.remove()
    return measured(lambda: [module(inputs) for module, inputs in given], x.device, repeats=3).seconds
