# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""The scans of a run, read and preprocessed one after the other."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from ignite import distributed as idist
from monai.data import IterableDataset, MetaTensor, list_data_collate
from tqdm import tqdm

from bundle.cases.run_folder import RunFolder
from bundle.errors import InputError

logger = logging.getLogger(__name__)


def _check_collates(volume: Mapping[str, Any]) -> None:
    """Raise now what the data loader, where no case is left alone, would raise; without copying any voxel."""
    list_data_collate([{key: value.meta for key, value in volume.items() if isinstance(value, MetaTensor)}])


class VolumeStream(IterableDataset):
    """Preprocessed volumes one after the other: those that are not finished yet and that can be used.

    Of several processes each takes its share.

    Args:
        data: one dictionary per volume, with "case" and "image", and "fault", a sentence, where it cannot be used; its
            ``passed_over``, where it has that, are sentences about files that were not taken for scans.
        transform: of such a dictionary.
        run_folder: which knows what is finished, and is told what failed.
        progress: whether to show a progress bar over the volumes.
    """

    def __init__(
        self, data: Iterable[dict[str, Any]], transform: Callable, run_folder: RunFolder, progress: bool = True
    ) -> None:
        super().__init__(data, transform)
        self.run_folder = run_folder
        self.progress = progress

    def __iter__(self) -> Iterator[dict[str, Any]]:
        entries = self.run_folder.claim(list(self.data))[idist.get_rank() :: idist.get_world_size()]
        self.run_folder.passed_over = list(getattr(self.data, "passed_over", ()))
        finished = 0
        bar = tqdm(entries, "Volumes", unit="volume", disable=not self.progress)
        for entry in bar:
            bar.set_postfix_str(entry["case"])
            try:
                if "fault" in entry:
                    raise InputError(entry["fault"])
                if self.run_folder.is_finished(entry["case"]):
                    finished += 1
                    continue
                if self.run_folder.has_earlier_result(entry["case"]):
                    path = self.run_folder.case(entry["case"]).path
                    logger.info(f"{path}: the result of an earlier run is replaced when the new one is there.")
                volume = self.transform(entry)  # type: ignore[misc]  # never None
                _check_collates(volume)
            except Exception as error:
                self.run_folder.failed(entry["case"], error)
                continue
            if volume.get("warnings"):
                logger.warning(f"{entry['image']}: {volume['warnings']}")
            yield volume
        if finished:
            logger.info(f"{finished} volumes were finished before; --overwrite true computes them again.")
