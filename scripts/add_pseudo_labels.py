# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""Let a judge learn from masks of its predecessor: ``python -m scripts.add_pseudo_labels DATALIST RESULTS OUTPUT``."""

import json
from pathlib import Path

import fire

from bundle.cases.case import finished_cases
from bundle.data.datalists import read_datalist
from bundle.errors import InputError
from bundle.files import write_whole


def add_pseudo_labels(datalist: str, results: str, output: str) -> str:
    """Write a datalist whose "training" also has whole scans with the masks that an inference run found in them.

    No expert's label goes with these scans.

    Args:
        datalist: with the splits "training" and "validation".
        results: output folder of an inference run over images of "training".
        output: the datalist to write (JSON).

    Returns:
        str: what was added.

    Raises:
        InputError: when the run has no result for any image of "training".
    """
    splits = {split: read_datalist(datalist, split) for split in ("training", "validation")}
    if json.loads(Path(datalist).read_text()).get("test"):
        splits["test"] = read_datalist(datalist, "test")
    masks = {}
    for case in finished_cases(Path(results).resolve()):
        masks[Path(case.statistics()["image"]).resolve()] = str(case.file("mask"))
    added = [
        {**{key: entry[key] for key in ("image", "brain_mask") if key in entry}, "pseudo_label": masks[image]}
        for entry in splits["training"]
        if (image := Path(entry["image"]).resolve()) in masks
    ]
    if not added:
        raise InputError(
            f'{results}: no result for any of the {len(splits["training"])} images of "training" in {datalist}; '
            "run inference on them first."
        )
    splits["training"] += added
    write_whole(Path(output), json.dumps(splits, indent=4) + "\n")
    return f"{output}: {len(added)} scans with a pseudo-label added to {len(splits['training']) - len(added)} others"


if __name__ == "__main__":
    fire.Fire(add_pseudo_labels)
