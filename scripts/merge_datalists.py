# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""Train on several data sets at once: ``python -m scripts.merge_datalists OUTPUT DATALIST DATALIST...``."""

import json
from pathlib import Path

import fire

from bundle.data.datalists import absolute_paths
from bundle.errors import InputError
from bundle.files import write_whole


def merge_datalists(output: str, *datalists: str) -> str:
    """Write one datalist with the splits of all; paths become absolute.

    Args:
        output: the datalist to write (JSON).
        datalists: to merge.

    Returns:
        str: the sizes of the splits.

    Raises:
        InputError: when a datalist cannot be read, or fewer than two are given.
    """
    if len(datalists) < 2:
        raise InputError(f"{output}: give first the datalist to write, then at least two to merge.")
    merged: dict[str, list[dict]] = {}
    for datalist in datalists:
        path = Path(datalist)
        try:
            splits = json.loads(path.read_text())
            for split, entries in splits.items():
                merged.setdefault(split, [])
                merged[split] += [{**entry, **absolute_paths(entry, path.resolve().parent)} for entry in entries]
        except (OSError, ValueError, AttributeError, TypeError) as error:
            raise InputError(f"{datalist}: not a datalist that can be read ({error}); give its path.") from error
    write_whole(Path(output), json.dumps(merged, indent=4) + "\n")
    return f"{output}: " + ", ".join(f"{len(entries)} {split}" for split, entries in merged.items())


if __name__ == "__main__":
    fire.Fire(merge_datalists)
