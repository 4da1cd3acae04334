# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""The options of all runs: one entry for each key of the configs that a user may set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import click

from bundle.cli.types import (
    Device,
    Existing,
    Listing,
    Number,
    Optional,
    OutputFolder,
    Scans,
    Shard,
    Switch,
    Text,
    Whole,
    Word,
)
from bundle.errors import InputError
from bundle.modalities import MODALITIES


class Option(NamedTuple):
    """A key of the configs.

    Attributes:
        type: of its values.
        help: what it is, with its unit.
    """

    type: click.ParamType
    help: str


# in the order in which a help page lists them
OPTIONS = {
    # what is worked on
    "image": Option(Scans(), "scan, folder of scans, or list of them"),
    "brain_mask": Option(Existing("the brain mask", file=True), "brain mask of the scan, when one scan is given"),
    "brain_mask_pattern": Option(
        Text(), "brain mask of each scan, from its folder, such as {name}_brain.nii.gz; {name} is the scan's name"
    ),
    "skull_strip": Option(
        Word(("auto", "always", "never")), "take the skull off: of what seems to be a head, always, or never"
    ),
    "series": Option(Text(), "which DICOM series of a folder: number in the list shown, UID or description"),
    "dataset_dir": Option(Existing("a folder of scans", file=False), "folder of scans"),
    "datalist": Option(Existing("a datalist (JSON)", file=True), "datalist (JSON) that names the scans"),
    "split": Option(Text(), "which split of the datalist"),
    "points": Option(
        Existing("the points (JSON)", file=True), "what is lesion and what is normal, by clicks and scribbles (JSON)"
    ),
    "pattern": Option(Text(), "which files below a folder to take, such as **/*_flair.nii.gz"),
    "validation_fraction": Option(Number(above=0, high=1), "share of the people that is held out for validation"),
    "output_dir": Option(OutputFolder(), "folder for the results"),
    "ckpt_dir": Option(OutputFolder(), "folder for the state of an unfinished training"),
    "cache_dir": Option(Optional(OutputFolder()), "folder that keeps preprocessed scans between runs"),
    "overwrite": Option(Switch(), "compute again what is finished in the output folder"),
    "shard": Option(
        Shard(), "the share of the scans to do, such as 3/10; without it at the end, for one report of all"
    ),
    "ckpt_path": Option(Existing("the weights, a .pt file", file=True), "weights (.pt)"),
    "pretrained": Option(Existing("the weights, a .pt file", file=True), "weights (.pt) that a training starts from"),
    "bundle_root": Option(Existing("the bundle, which holds configs/ and models/", file=False), "folder of the bundle"),
    "modality": Option(Word(MODALITIES), "MRI contrast of the scans"),
    "contrast": Option(Word(("bright", "dark", "any")), "lesions are brighter or darker than healthy tissue, or any"),
    "smallest_overlap": Option(Number(0.2, 1), "share of the brain that a further contrast must show"),
    "judge_doubt": Option(Number(above=0, below=0.5), "no judge of several is surer than so far from 0 and 1"),
    "together_ml": Option(
        Listing(Number(0), 2),
        "ml up to which the leading contrast decides alone, and from which all do, such as [15,25]",
    ),
    "same_lesions": Option(
        Number(above=0, high=1), "Dice of both masks with one another from which the leading contrast's stays"
    ),
    # the computer
    "device": Option(Device(), "cpu, cuda, or cuda:1 for the second GPU"),
    "amp": Option(Switch(), "half-precision arithmetic on a GPU"),
    "cpu_precision": Option(
        Word(("auto", "float32", "bfloat16")),
        "number format of the networks on a CPU; auto: bfloat16 where the processor has it",
    ),
    "compile": Option(Switch(), "compile the networks before training"),
    "num_workers": Option(
        Whole(0), "processes that load slices beside the training; threads that prepare volumes before it"
    ),
    "batch_size": Option(Whole(1), "slices worked on together; fewer need less memory"),
    "validation_batch_size": Option(Whole(1), "the same in validation"),
    "longest_wait": Option(Whole(1), "days that a process of several waits for the others"),
    "progress": Option(Switch(), "show a progress bar"),
    "announce": Option(Switch(), "print where the report is"),
    "seed": Option(Whole(0, 2**31 - 1), "seed of all random numbers"),
    "repeats": Option(Whole(1), "how often each way is timed; the fastest counts"),
    "training_steps": Option(Whole(1), "steps of a training that are timed"),
    # the method
    "score": Option(Word(("intensity", "probability")), "whether the lesion score has the intensity in it"),
    "radius": Option(Number(0), "low frequencies that the high-frequency image lacks, in pixels of the spectrum"),
    "start_fraction": Option(Number(above=0, high=1), "share of the brain's pixels that the first mask hides"),
    "largest_lesion_share": Option(Number(above=0, high=1), "share of the brain above which lesions are warned of"),
    "score_sigma": Option(Number(above=0), "pixels over which the intensity of the judge's score is smoothed"),
    "score_limit": Option(Number(above=0), "interquartile ranges above which a brighter pixel scores no higher"),
    "judge_scales": Option(
        Listing(Number(0.5, 3)), "sizes at which the judge looks at a slice, as multiples of its own; [1] for one"
    ),
    "median_radius": Option(Whole(0), "voxels around each whose median becomes its score"),
    "bias_correction": Option(
        Word(("none", "n4", "two_pass")),
        "take the coil's brightness out: not, at once (harms large lesions), or after a first search for lesions",
    ),
    "stop_ratio": Option(Number(0, 1), "the refinement stops when the mask shrinks by less than this share"),
    "max_iterations": Option(Whole(1, 255), "most iterations of the refinement"),
    "smallest_share": Option(Number(0, 1), "components below this share of the largest are removed"),
    "share_ml": Option(Number(above=0), "millilitres of the largest from which that share is asked; below it less is"),
    "lowest_peak": Option(Number(0), "a lesion stays when its highest score reaches this"),
    "lowest_mean": Option(Number(0), "a lesion stays when it scores this on average"),
    "sure_peak": Option(Number(0), "a lesion in haze stays when it somewhere scores this"),
    "peak_ml": Option(Number(above=0), "millilitres of a lesion up to which it must; less is asked of larger ones"),
    "slice_sigma": Option(Number(0, 100), "millimetres over which the score is smoothed across slices"),
    "crop_multiple": Option(Optional(Whole(1)), "images are cut to the brain, to a multiple of so many pixels"),
    "field_of_view": Option(Number(above=0), "millimetres along the side of a slice"),
    "image_size": Option(Whole(1), "pixels along the side of a slice"),
    "intensity_percentile": Option(Number(above=0, high=100), "percentile of the brain's intensities that becomes +3"),
    "found_share": Option(
        Number(above=0, high=1),
        "share of a lesion that is marked, from which it counts as found; for marks the same",
    ),
    "best_possible_step": Option(Optional(Number(above=0)), "step of the search for the best possible mask"),
    # training and calibration
    "epochs": Option(Whole(1), "epochs of training"),
    "steps_per_epoch": Option(Whole(1), "batches per epoch"),
    "learning_rate": Option(Number(above=0), "learning rate of AdamW at the start"),
    "ema_momentum": Option(Number(above=0, high=1), "weight of a step in the moving average of the weights"),
    "val_interval": Option(Whole(1), "epochs between validations"),
    "save_interval": Option(Whole(1), "epochs between saved states"),
    "validation_slices": Option(Optional(Whole(1)), "slices to validate on; none for all"),
    "lesion_margin": Option(Whole(0), "slices to leave out on either side of a slice with a lesion"),
    "smallest_brain": Option(
        Number(0, 1), "slices with less brain than this share of the largest are left out; no lesion has its peak there"
    ),
    "slices": Option(Optional(Listing(Whole(0), 2)), "first and last slice to take, such as [70,89]; none for all"),
    "threshold_percentile": Option(Number(0, 100), "percentile of the healthy errors that becomes the threshold"),
    "lesion_percentile": Option(Number(0, 100), "percentile of the healthy scores that becomes the judge's threshold"),
    "flip_probability": Option(Number(0, 1), "share of the training slices that are flipped left-right"),
    "paint_small_lesions": Option(Switch(), "paint many small lesions too, half of them beside the ventricles"),
    "vary_scanner": Option(Switch(), "train on slices with coil fields, noise and other contrasts"),
    "judged_iterations": Option(Whole(1), "iterations of the refinement while the judge learns"),
    # the networks
    "channels": Option(Whole(1), "channels of the first level of the networks"),
    "channel_multipliers": Option(Listing(Whole(1)), "channels of each level, as multiples of the first"),
    "attention_levels": Option(Listing(Switch()), "for each level, whether it has self-attention"),
    "res_blocks": Option(Whole(1), "residual blocks per level"),
    "dropout": Option(Number(0, below=1), "probability of dropout"),
}


def converted(name: str, value: Any, kind: click.ParamType) -> Any:
    """The value of an option, from its text or from JSON.

    Raises:
        InputError: when it is not of that type.
    """
    try:
        return kind.convert(value, None, None)
    except click.BadParameter as error:
        raise InputError(f"--{name} {value}: {error.message}.") from error


def typed(name: str, value: Any) -> Any:
    """The value of an option of :py:data:`OPTIONS`; see :py:func:`converted`."""
    return converted(name, value, OPTIONS[name].type)


def check_together(values: Mapping[str, Any], given: set[str]) -> None:
    """Refuse values that do not go together.

    Args:
        values: of the options, those of the configs where the user gives none.
        given: names of those that the user gives.

    Raises:
        InputError: naming the options.
    """
    for first, second in (
        ("image", "datalist"),
        ("image", "dataset_dir"),
        ("brain_mask", "datalist"),
        ("brain_mask_pattern", "datalist"),
        ("series", "datalist"),
        ("pattern", "datalist"),
        ("brain_mask", "brain_mask_pattern"),
    ):
        if {first, second} <= given:
            raise InputError(f"--{first} and --{second} were both given; give one of them.")
    levels = values.get("channel_multipliers")
    if levels:
        if len(levels) != len(values.get("attention_levels", levels)):
            raise InputError(
                f"--channel_multipliers has {len(levels)} levels, --attention_levels "
                f"{len(values['attention_levels'])}; give both the same number."
            )
        step = 2 ** (len(levels) - 1)
        for name in ("image_size", "crop_multiple"):
            size = values.get(name)
            if isinstance(size, int) and size % step:
                raise InputError(
                    f"--{name} {size}: not divisible by {step}, as networks of {len(levels)} levels need it; "
                    f"give {max(step, round(size / step) * step)}."
                )
    together = values.get("together_ml")
    if together and together[0] >= together[1]:
        raise InputError(f"--together_ml {together}: the first is not the smaller one; exchange them.")
    if values.get("slices") and values["slices"][0] > values["slices"][1]:
        raise InputError(f"--slices {values['slices']}: the first slice lies behind the last; exchange them.")
