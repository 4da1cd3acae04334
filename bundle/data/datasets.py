# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""What a training learns from: the lesion-free slices of volumes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.pool import ThreadPool
from typing import Any

import torch
from monai.data import Dataset, PersistentDataset, pickle_hashing
from monai.transforms import Transform
from monai.transforms.inverse import TraceableTransform
from tqdm import tqdm

from bundle.data.datalists import PATHS
from bundle.errors import InputError, input_error
from bundle.files import absolute, sha256_of, stamps

logger = logging.getLogger(__name__)


def _stamped_hash(entry: Mapping[str, Any]) -> bytes:
    """A name for a volume that changes when one of its files does."""
    return pickle_hashing({key: [str(path), stamps(path)] for key, path in entry.items()})


def ready_for_threads(part: Any) -> None:
    """Let MONAI's transforms make the note that each makes of itself when it is first used.

    Two threads that make it at once can lose it, and one of them fails.

    Args:
        part: a transform, with those that it is made of, or several in a list or a dictionary.
    """
    if isinstance(part, TraceableTransform):
        _ = part.tracing
    if isinstance(part, Transform):
        part = vars(part)
    for inner in part.values() if isinstance(part, dict) else part if isinstance(part, (list, tuple)) else ():
        ready_for_threads(inner)


class SliceDataset(Dataset):
    """The axial slices that remain of preprocessed volumes, in memory.

    Args:
        data: one dictionary a volume.
        transform: from such a dictionary to ``image``, 1 x H x W x slices.
        slice_transform: applied to each slice (a dictionary with ``keys``, 1 x H x W each) whenever it is asked for.
        keys: what a slice holds, the image first; of what a volume lacks, a slice is all zero. Volumes with a
            pseudo-label are left out when it is not among them.
        limit: at most so many slices, evenly spread over all of them; None for all.
        cache_dir: where to keep preprocessed volumes between runs; None to preprocess them in each run. A volume is
            preprocessed again when a file of it, or a setting of the transforms, has changed.
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
        # the files behind the slices, wherever they lie
        self.made_from = sha256_of([[stamps(path) for path in entry.values()] for entry in entries])
        volumes = Dataset(entries, transform)
        if cache_dir:
            # by its files and by the settings of the transforms
            volumes = PersistentDataset(
                entries, transform, absolute(cache_dir), _stamped_hash, hash_transform=pickle_hashing
            )

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

        ready_for_threads(transform)
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
