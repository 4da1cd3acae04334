# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""What a training learns from: the lesion-free slices of volumes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.pool import ThreadPool
from typing import Any

import torch
from monai.data import Dataset, PersistentDataset, pickle_hashing
from monai.transforms import Compose, Transform
from monai.transforms.inverse import TraceableTransform
from monai.utils import convert_to_tensor
from torch.utils.serialization import config
from tqdm import tqdm

from bundle import __version__
from bundle.data.datalists import PATHS
from bundle.data.scan_files import stamps
from bundle.errors import InputError, input_error
from bundle.files import absolute, sha256_of

logger = logging.getLogger(__name__)


def _stamped_hash(entry: Mapping[str, Any]) -> bytes:
    """A name for a volume that changes when one of its files does, or the version of this code."""
    known = {key: [str(v), stamps(v)] if key in PATHS else v for key, v in entry.items()}
    return pickle_hashing({**known, "version": __version__})


def _settings_hash(transforms: Sequence[Any]) -> bytes:
    """A name for transforms by their settings, on whatever device they work."""
    return pickle_hashing(
        [(type(one).__qualname__, {k: v for k, v in vars(one).items() if k != "device"}) for one in transforms]
    )


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


class SlicesOneByOne(Transform):
    """Keep of a preprocessed volume what a training reads, each slice as one piece: D x 1 x H x W; and the warnings.

    Args:
        keys: of the volumes, those that may be missing too.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        self.keys = tuple(keys)

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        volumes = {key: convert_to_tensor(data[key], track_meta=False) for key in self.keys if key in data}
        return {
            **{key: volume.movedim(-1, 0).contiguous() for key, volume in volumes.items()},
            "warnings": data["warnings"],
        }


class SliceDataset(Dataset):
    """The axial slices that remain of preprocessed volumes: in memory, or in files that are mapped into it.

    Args:
        data: one dictionary a volume.
        transform: from such a dictionary to ``image``, 1 x H x W x slices.
        slice_transform: applied to each slice (a dictionary with ``keys``, 1 x H x W each) whenever it is asked for.
        keys: what a slice holds, the image first; of what a volume lacks, a slice is all zero. Volumes with a
            pseudo-label are left out when it is not among them.
        limit: at most so many slices, evenly spread over all of them; None for all.
        cache_dir: where to keep the slices of preprocessed volumes between runs. They are read from there when they are
            asked for, so that they need not fit into memory. None to preprocess them in each run, and keep them in
            memory. A volume is preprocessed again when a file of it, or a setting of the transforms, has changed; a run
            that was stopped goes on with the next volume.
        num_workers: volumes preprocessed at once.

    Raises:
        InputError: naming every volume that cannot be used, or when no volume or no slice remains.
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
        entries = [{key: entry[key] for key in (*PATHS, "series") if key in entry} for entry in data]
        # whole scans of patients, added for a judge alone: without their masks they would pass for lesion-free
        entries = [entry for entry in entries if "pseudo_label" in keys or "pseudo_label" not in entry]
        if not entries:
            raise InputError(
                "No scan is left to learn from; give healthy scans (one with a pseudo-label is for a judge alone), or "
                "a --validation_fraction below 1."
            )
        # the files behind the slices, wherever they lie
        self.made_from = sha256_of([[stamps(v) if k in PATHS else v for k, v in entry.items()] for entry in entries])
        # flat: MONAI caches up to the first transform that may be random, for which it takes a list within the list
        to_slices = Compose([transform, SlicesOneByOne(keys)]).flatten()
        volumes = Dataset(entries, to_slices)
        if cache_dir:
            # by its files and by the settings of the transforms
            volumes = PersistentDataset(
                entries, to_slices, absolute(cache_dir), _stamped_hash, hash_transform=_settings_hash
            )

        def load(index: int) -> dict[str, torch.Tensor] | InputError:
            try:
                # files of the cache are mapped into memory; the setting holds for this thread
                with config.patch("load.mmap", True):  # type: ignore[attr-defined]  # torch adds it when it is imported
                    volume = volumes[index]
                    if cache_dir:
                        # what has just been preprocessed is let go, for the file that it is in now
                        volume = volumes[index]
            except Exception as error:
                fault = input_error(error)
                if fault is None:
                    raise
                return fault
            if volume["warnings"]:
                logger.warning(f"{entries[index]['image']}: {volume['warnings']}")
            nothing = torch.zeros(()).expand(volume["image"].shape)
            return {key: volume.get(key, nothing) for key in keys}

        ready_for_threads(transform)
        with ThreadPool(max(1, num_workers)) as pool:
            loaded = list(tqdm(pool.imap(load, range(len(volumes))), "Preparing", len(volumes), unit="volume"))
        faults = [str(volume) for volume in loaded if isinstance(volume, InputError)]
        if faults:
            raise InputError(f"{len(faults)} of {len(loaded)} volumes cannot be used:\n  " + "\n  ".join(faults))
        slices = [
            dict(zip(keys, parts)) for volume in loaded for parts in zip(*(volume[key].unbind(0) for key in keys))
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
