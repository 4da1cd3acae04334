# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""A whole scan from file to report, station by station."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from monai.data import decollate_batch, list_data_collate
from monai.transforms import Compose

from bundle.benchmark.measuring import wait_for
from bundle.cases import RunFolder
from bundle.model import IterativeMaskInferer, IterMaskNet
from bundle.report.case_page import write_case_page


def time_stations(
    entry: Mapping[str, Any],
    before: Mapping[str, Sequence[Callable]],
    inferer: IterativeMaskInferer,
    network: IterMaskNet,
    after: Mapping[str, Sequence[Callable]],
    run_folder: RunFolder,
    device: torch.device,
) -> dict[str, float]:
    """Seconds of each station, one after the other.

    Args:
        entry: of the scan.
        before: transforms up to the model, by station.
        inferer: of the model.
        network: the model.
        after: transforms behind the model, by station.
        run_folder: where the results go.
        device: of the network.
    """
    seconds: dict[str, float] = {}

    def timed(station: str, work: Callable[[], Any]) -> Any:
        started = time.perf_counter()
        result = work()
        run_folder.wait()
        wait_for(device)
        seconds[station] = time.perf_counter() - started
        return result

    case = run_folder.claim([entry])[0]
    data: Any = dict(case)
    for station, transforms in before.items():
        data = timed(station, lambda data=data, steps=transforms: Compose(steps)(data))  # type: ignore[misc]
    batch = list_data_collate([data])
    with torch.no_grad():
        found = timed("refinement and judge", lambda: inferer(batch["image"].to(device), network))
    data = {**decollate_batch(batch)[0], "pred": decollate_batch(found)[0]}
    for station, transforms in after.items():
        data = timed(station, lambda data=data, steps=transforms: Compose(steps)(data))  # type: ignore[misc]
    timed("pictures and page", lambda: write_case_page(run_folder.case(case["case"])))
    return seconds
