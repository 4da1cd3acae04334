# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""The data sets of a run: the lesion-free slices of volumes, and volumes one after the other."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from multiprocessing.pool import ThreadPool
from typing import Any

import torch
from monai.data import Dataset, IterableDataset, PersistentDataset, pickle_hashing
from tqdm import tqdm

from bundle.data.datalists import PATHS
from bundle.errors import InputError, input_error

logger = logging.getLogger(__name__)


class SliceDataset(Dataset):
    """The axial slices that remain of preprocessed volumes, in memory.

    Args:
        data: one dictionary a volume.
        transform: from such a dictionary to ``image``, 1 x H x W x slices.
        slice_transform: applied to each slice (a dictionary with ``keys``, 1 x H x W each) whenever it is asked for.
        keys: what a slice holds, the image first; of what a volume lacks, a slice is all zero. Volumes with a
            pseudo-label are left out when it is not among them.
        limit: at most so many slices, evenly spread over all of them; None for all.
        cache_dir: where to keep preprocessed volumes between runs; None to preprocess them in each run.
        num_workers: volumes preprocessed at once.

    Raises:
        InputError: naming every volume that cannot be used, or when no slice remains.
    """

    def __init__(
        self,
        data: Sequence[dict[str, Any]],
        transform: Callable,
        slice_transform: Callable | None = None,
        keys: Sequence[str] = ("image",),
        limit: int | None = None,
        cache_dir: str | None = None,
        num_workers: int = 2,
    ) -> None:
        # only what the transforms read: other entries would needlessly tell apart what is cached
        entries = [{key: entry[key] for key in PATHS if key in entry} for entry in data]
        # whole scans of patients, added for a judge alone: without their masks they would pass for lesion-free
        entries = [entry for entry in entries if "pseudo_label" in keys or "pseudo_label" not in entry]
        volumes = Dataset(entries, transform)
        if cache_dir:
            # by the settings of the transforms too: what was preprocessed otherwise is not taken
            volumes = PersistentDataset(entries, transform, cache_dir, hash_transform=pickle_hashing)

        def load(index: int) -> dict[str, torch.Tensor] | InputError:
            try:
                volume = volumes[index]
            except Exception as error:
                fault = input_error(error)
                if fault is None:
                    raise
                return fault
            if volume["warnings"]:
                logger.warning(f"{entries[index]['image']}: {volume['warnings']}")
            image = torch.as_tensor(volume["image"])
            return {key: torch.as_tensor(volume[key]) if key in volume else torch.zeros_like(image) for key in keys}

        with ThreadPool(max(1, num_workers)) as pool:
            loaded = list(tqdm(pool.imap(load, range(len(volumes))), "Preparing", len(volumes), unit="volume"))
        faults = [str(volume) for volume in loaded if isinstance(volume, InputError)]
        if faults:
            raise InputError(f"{len(faults)} of {len(loaded)} volumes cannot be used:\n  " + "\n  ".join(faults))
        slices = [
            dict(zip(keys, parts)) for volume in loaded for parts in zip(*(volume[key].unbind(-1) for key in keys))
        ]
        if limit is not None and limit < len(slices):
            slices = [slices[i * len(slices) // limit] for i in range(limit)]
        if not slices:
            raise InputError(
                f"{data[0]['image']} and the {len(data) - 1} volumes after it: no lesion-free slice remains; "
                "give healthy scans, or more patients."
            )
        logger.info(f"{len(slices)} slices of {len(loaded)} volumes")
        super().__init__(slices, slice_transform)


class VolumeStream(IterableDataset):
    """Preprocessed volumes one after the other; the unusable ones are passed over and remembered.

    Args:
        data: one dictionary a volume, with "case".
        transform: of such a dictionary.
        progress: whether to show a progress bar over the volumes.
    """

    def __init__(self, data: Iterable[dict[str, Any]], transform: Callable, progress: bool = True) -> None:
        super().__init__(data, transform)
        self.progress = progress
        self.faults: list[str] = []

    def __iter__(self) -> Iterator[dict[str, Any]]:
        self.faults.clear()
        self.data = list(self.data)
        for entry in tqdm(self.data, "Volumes", unit="volume", disable=not self.progress):
            try:
                volume = self.transform(entry)
            except Exception as error:
                fault = input_error(error)
                if fault is None:
                    raise
                logger.error(str(fault))
                self.faults.append(str(fault))
                continue
            if volume.get("warnings"):
                logger.warning(f"{entry['image']}: {volume['warnings']}")
            yield volume

    def check(self) -> None:
        """Raise when volumes were passed over; to be called at the very end of a run.

        Raises:
            InputError: listing all of them.
        """
        if self.faults:
            raise InputError(
                f"{len(self.faults)} of {len(self.data)} volumes failed, the others are done:\n  "
                + "\n  ".join(self.faults)
            )
