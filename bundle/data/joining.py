# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""One datalist made of several, for data sets that are trained on at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bundle.data.datalists import absolute_paths, check_entry, images_of, read_splits
from bundle.errors import InputError
from bundle.files import write_json


def merge_datalists(output: str, datalists: Sequence[str]) -> str:
    """Write one datalist with the splits of all; paths become absolute.

    Args:
        output: the datalist to write (JSON), none of those that are merged.
        datalists: to merge, at least two.

    Returns:
        str: the sizes of the splits.

    Raises:
        InputError: when a datalist cannot be read, would be overwritten, or fewer than two are given, or one scan
            would be listed twice.
    """
    if len(datalists) < 2:
        raise InputError(f"{output}: give first the datalist to write, then at least two to merge.")
    if Path(output).resolve() in [Path(datalist).resolve() for datalist in datalists]:
        raise InputError(f"{output}: one of the datalists to merge; give the path of another file to write first.")
    merged: dict[str, list[dict]] = {}
    for datalist in datalists:
        # beside a link, as all that read a datalist take it
        folder = Path(datalist).absolute().parent
        splits = read_splits(datalist)
        if not splits:
            raise InputError(f"{datalist}: not a datalist (it holds no split); give the path of one.")
        for split, entries in splits.items():
            if not isinstance(entries, list):
                raise InputError(f'{datalist}: not a datalist ("{split}" holds no list); give the path of one.')
            for number, entry in enumerate(entries, 1):
                check_entry(entry, number, f'{datalist}: split "{split}"', ["image"])
            merged.setdefault(split, [])
            merged[split] += [{**entry, **absolute_paths(entry, folder)} for entry in entries]
    split_of: dict[Path, str] = {}
    listed: dict[tuple[str, ...], int] = {}
    for split, entries in merged.items():
        for number, entry in enumerate(entries):
            for image in filter(None, images_of(entry).values()):
                if (other := split_of.setdefault(Path(image).resolve(), split)) != split:
                    raise InputError(
                        f'{image}: in the split "{other}" and in the split "{split}"; '
                        "take it out of one of the datalists."
                    )
                # a scan may be there once more, with the mask of a model as its pseudo label
                told = (str(Path(image).resolve()), *(str(entry.get(key, "")) for key in ("series", "pseudo_label")))
                if listed.setdefault(told, number) != number:
                    raise InputError(f'{image}: twice in the split "{split}"; take it out of one of the datalists.')
    write_json(Path(output), merged)
    return f"{output}: " + ", ".join(f"{len(entries)} {split}" for split, entries in merged.items())
