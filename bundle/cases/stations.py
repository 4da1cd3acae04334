# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""How long each station of a scan takes."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from monai.transforms import Compose, apply_transform


class Stopwatch:
    """Started when it is made."""

    def __init__(self) -> None:
        self._started = time.perf_counter(), time.process_time()

    def read(self) -> dict[str, float]:
        """``seconds`` that have passed, and ``processor_seconds`` that all threads of this process have worked.

        The second are more than the first where several threads work, and they hold what is done for another scan
        meanwhile.
        """
        seconds, processor = self._started
        return {"seconds": time.perf_counter() - seconds, "processor_seconds": time.process_time() - processor}


class TimedCompose(Compose):
    """MONAI's ``Compose`` for a dictionary, which gains ``stations``: how long each transform took.

    By the name of the transform's class, what a :py:class:`Stopwatch` reads; transforms of the same class add up.
    """

    def __call__(self, input_: Mapping[Any, Any], *args: Any, **kwargs: Any) -> dict[Any, Any]:  # type: ignore[override]
        data: Any = dict(input_)
        for transform in self.transforms:
            watch, name = Stopwatch(), type(transform).__name__
            data = apply_transform(transform, data, self.map_items, self.unpack_items)
            stations = data.get("stations", {})
            before = stations.get(name, {})
            figures = {unit: value + before.get(unit, 0.0) for unit, value in watch.read().items()}
            data["stations"] = {**stations, name: figures}
        return data
