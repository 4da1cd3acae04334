# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""Subcommands that make datalists: prepare, phantom, t2-like, merge, pseudo-labels."""

from __future__ import annotations

from typing import Any

import click

from bundle.cli.commands import CONTEXT, Command, argument, option
from bundle.cli.types import Existing, Expression, Listing, OutputFile, OutputFolder, Share, Text, Whole, Word
from bundle.files import only_writer
from bundle.modalities import MODALITIES

LAYOUTS = ("brats2021", "brats2023", "atlas", "isles2022", "bids", "lgg_flair", "folder")
REVIEWED = "reviewed"
KINDS = ("glioma", "stroke", "ms", "small_stroke")
_LIST = Existing("a datalist (JSON)", file=True)


@click.command(cls=Command, context_settings=CONTEXT)
@argument("layout", type=Word((*LAYOUTS, REVIEWED)))
@argument("folder", type=Existing("the data set", file=False))
@argument("output", type=OutputFile(".json"))
@option("--modality", type=Word(MODALITIES), default="flair", help="MRI contrast to take.")
@option("--also", type=Listing(Word(MODALITIES)), help="Further contrasts to list beside it, such as [t1,t1ce].")
@option("--validation", type=Share(), default="0.1", help="People for validation: a number, or a share below 1.")
@option("--test", type=Share(everyone=True), default="0.2", help="The same for testing; all for a pure test set.")
@option("--seed", type=Whole(0), default="0", help="Seed of the draw.")
@option("--workers", type=Whole(1), default="2", help="Scans examined at once.")
@option("--pattern", type=Text(), default="**/*", help="Which images to take, such as **/*_flair.nii.gz.")
@option("--patient", type=Expression(), default="", help="What of a path names the person, a regular expression.")
def prepare(**values: Any) -> None:
    """Make the datalist of a downloaded data set.

    LAYOUT is brats2021, brats2023, atlas, isles2022, bids, lgg_flair or folder (images anywhere, labels beside them);
    OUTPUT is the datalist to write (.json). All scans of a person are in one split. Every scan is read once, and one
    that cannot be used is named. No image is copied.

    With LAYOUT reviewed, FOLDER is the output of a run that itermask2 review has been used on: normal scans go into
    training and validation, corrected masks into test.

    \b
    Examples:
      itermask2 prepare brats2021 /data/brats brats.json --validation 128 --test 133
      itermask2 prepare folder /data/scans scans.json --pattern "**/*_flair.nii.gz" --test all
      itermask2 prepare reviewed results reviewed.json
    """
    if values["layout"] == REVIEWED:
        from bundle.review.datalist import prepare_reviewed

        print(prepare_reviewed(values["folder"], values["output"], values["validation"], values["seed"]))
        return
    from bundle.data.prepare import prepare_dataset

    with only_writer(values["output"]):
        print(prepare_dataset(**{**values, "also": values["also"] or ()}))


@click.command(cls=Command, context_settings=CONTEXT)
@argument("folder", type=OutputFolder())
@option("--modality", type=Word(("flair", "t1", "t2")), default="flair", help="MRI contrast.")
@option("--training", type=Whole(0), default="48", help="Healthy people for training.")
@option("--validation", type=Whole(0), default="8", help="Healthy people for validation.")
@option("--patients", type=Whole(0), default="24", help="Patients for testing.")
@option("--seed", type=Whole(0), default="0", help="Number of the first person.")
@option("--workers", type=Whole(1), default="2", help="Processes at work at once.")
@option(
    "--kinds",
    type=Listing(Word(KINDS)),
    default="[glioma,stroke,ms]",
    help=f"Lesions that the patients have in turn, of {', '.join(KINDS)}.",
)
@option(
    "--lesion_shapes",
    type=Existing("a folder of masks of lesions in MNI space", file=False),
    help="Folder of masks of real lesions (NIfTI, MNI space), which the patients have in turn instead of --kinds.",
)
def phantom(**values: Any) -> None:
    """Simulate brain scans of healthy people and of patients.

    Writes NIfTI images, lesion masks, and datalist.json into FOLDER. People who are there already are kept.

    \b
    Example:
      itermask2 phantom demo --training 0 --validation 0 --patients 3
    """
    from bundle.phantom.cohort import write_cohort

    with only_writer(values["folder"]):
        print(write_cohort(**values))


@click.command("t2-like", cls=Command, context_settings=CONTEXT)
@argument("datalist", type=_LIST)
@argument("folder", type=OutputFolder())
def t2_like(datalist: str, folder: str) -> None:
    """Make T2-like scans of T1 scans, to train a first model for T2 without any T2 scan.

    DATALIST names T1 scans that are stripped or have brain masks. Each is written into FOLDER with fluid bright and
    white matter dark; datalist.json there has the same splits and labels. Scans that are there already are kept.

    \b
    Example:
      itermask2 t2-like t1.json t2
    """
    from bundle.phantom.t2_like import write_t2_like

    print(write_t2_like(folder, datalist))


@click.command(cls=Command, context_settings=CONTEXT)
@argument("output", type=OutputFile(".json"))
@argument("datalists", nargs=-1, required=True, type=_LIST)
def merge(output: str, datalists: tuple[str, ...]) -> None:
    """Make one datalist of several, to train on all of them.

    OUTPUT is the datalist to write (.json); paths in it become absolute.

    \b
    Example:
      itermask2 merge both.json first.json second.json
    """
    from bundle.data.joining import merge_datalists

    print(merge_datalists(output, datalists))


@click.command("pseudo-labels", cls=Command, context_settings=CONTEXT)
@argument("datalist", type=_LIST)
@argument("results", type=Existing("the output folder of itermask2 segment", file=False))
@argument("output", type=OutputFile(".json"))
def pseudo_labels(datalist: str, results: str, output: str) -> None:
    """Let a judge learn from the masks of its predecessor.

    Adds to "training" of DATALIST whole scans with the masks that a segmentation of them has written into RESULTS.

    \b
    Example:
      itermask2 segment --datalist all.json --split training -o output/pseudo
      itermask2 pseudo-labels all.json output/pseudo with_pseudo.json
    """
    from bundle.training.pseudo_labels import add_pseudo_labels

    print(add_pseudo_labels(datalist, results, output))
