# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""How much a mask changes when a scan changes in a way that means nothing. No part of the published method."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import ndimage
from tqdm import tqdm

from bundle.data.volumes import in_plane, read_volume
from bundle.errors import InputError
from bundle.files import write_whole
from bundle.postprocessing.agreement import agreement
from bundle.preprocessing.brain_mask import given_mask
from bundle.preprocessing.plausibility import Limits
from bundle.report.markdown import as_markdown

UNCHANGED, SHIFT = "unchanged", "half a voxel of shift"


class Changed(NamedTuple):
    """A scan after a change that means nothing.

    Attributes:
        image: float, W x H x D.
        brain_mask: bool, the shape of ``image``; None where the brain is what is not zero.
    """

    image: np.ndarray
    brain_mask: np.ndarray | None


def with_noise(image: np.ndarray, brain: np.ndarray, share: float, percentile: float, seed: int) -> np.ndarray:
    """Gaussian noise in the brain.

    Args:
        image: a scan; positive in the brain.
        brain: bool, the shape of ``image``.
        share: standard deviation of the noise, in parts of the ``percentile`` of the brain's intensities.
        percentile: of the brain's intensities.
        seed: of the noise.
    """
    inside = image[brain]
    noise = np.random.default_rng(seed).normal(0, share * np.percentile(inside, percentile), inside.shape)
    changed = image.astype(np.float32)
    # what is not zero stays so, or it would be brain no more
    changed[brain] = np.maximum(inside + noise, np.minimum(inside, inside[inside > 0].min()))
    return changed


def half_a_voxel_on(image: np.ndarray, brain: np.ndarray, axes: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """A scan and its brain mask, half a voxel further along two axes, by linear interpolation within the brain.

    Args:
        image: a scan.
        brain: bool, the shape of ``image``.
        axes: along which it moves.
    """
    distance = [0.5 * (axis in axes) for axis in range(image.ndim)]

    def moved(volume: np.ndarray) -> np.ndarray:
        return ndimage.shift(volume.astype(np.float32), distance, order=1, mode="nearest")

    share = moved(brain)
    around, inside = moved(image * ~brain), moved(image * brain)
    # at the rim the mean of what is brain, so that no darkness leaks in
    there = share >= 0.5
    return np.where(there, inside / np.maximum(share, 0.5), around), there


def with_ramp(image: np.ndarray, brain: np.ndarray, axis: int, strength: float) -> np.ndarray:
    """A scan times a ramp, from ``1 - strength`` at one end of the brain to ``1 + strength`` at the other.

    Args:
        image: a scan.
        brain: bool, the shape of ``image``.
        axis: along which the ramp rises.
        strength: of the ramp, below 1.
    """
    there = np.flatnonzero(brain.any(axis=tuple(other for other in range(image.ndim) if other != axis)))
    place = np.interp(np.arange(image.shape[axis]), [there[0], max(there[-1], there[0] + 1)], [-1, 1])
    ramp = np.expand_dims(1 + strength * place, [other for other in range(image.ndim) if other != axis])
    return (image * ramp).astype(np.float32)


def larger(brain: np.ndarray, axes: tuple[int, int], margin: int) -> np.ndarray:
    """A brain mask that reaches ``margin`` voxels further along two axes; across slices a voxel can be 7 mm."""
    reach = [2 * margin + 1 if axis in axes else 1 for axis in range(brain.ndim)]
    return ndimage.binary_dilation(brain, np.ones(reach))


def changes(
    image: np.ndarray, brain_mask: np.ndarray | None, affine: np.ndarray, numbers: Mapping[str, Any]
) -> dict[str, Changed]:
    """The changes that mean nothing, by name.

    Args:
        image: a scan, W x H x D.
        brain_mask: bool, the shape of ``image``; None where the brain is what is not zero.
        affine: of the scan, 4 x 4.
        numbers: ``noise`` and ``percentile``, see :py:func:`with_noise`; ``gain``, a factor on all intensities;
            ``ramp``, see :py:func:`with_ramp`; ``margin``, see :py:func:`larger`; ``seed``.
    """
    axes = in_plane(affine)
    brain = image > 0 if brain_mask is None else brain_mask
    moved, moved_brain = half_a_voxel_on(image, brain, axes)
    noisy = with_noise(image, brain, numbers["noise"], numbers["percentile"], numbers["seed"])
    return {
        f"{100 * numbers['noise']:g} % noise": Changed(noisy, brain_mask),
        SHIFT: Changed(moved, None if brain_mask is None else moved_brain),
        f"gain of {numbers['gain']:g}": Changed(image * np.float32(numbers["gain"]), brain_mask),
        f"brain mask {numbers['margin']} voxel larger": Changed(image, larger(brain, axes, numbers["margin"])),
        f"ramp of {100 * numbers['ramp']:g} %": Changed(with_ramp(image, brain, axes[0], numbers["ramp"]), brain_mask),
    }


def agreement_after_shift(first: np.ndarray, moved: np.ndarray, axes: tuple[int, int]) -> float:
    """The same where the second was found half a voxel further on.

    Both are compared on voxels half as long, where that is one voxel and nothing has to be interpolated.
    """
    for axis in axes:
        length = 2 * first.shape[axis]
        first = np.take(np.repeat(first, 2, axis), range(length - 1), axis)
        moved = np.take(np.repeat(moved, 2, axis), range(1, length), axis)
    return agreement(first, moved)


def _row(case: str, change: str, found: Any, dice: float) -> dict[str, Any]:
    threshold = found.statistics["refinement"].get("volume_threshold", math.nan)
    return {
        "case": case,
        "change": change,
        "dice": dice,
        "threshold": threshold,
        "lesion_ml": found.statistics["lesion_ml"],
    }


def stability_of(
    case: Mapping[str, Any], segment: Callable[..., Any], numbers: Mapping[str, Any], limits: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """A row for the unchanged scan and for each change: Dice with the first mask, threshold, millilitres.

    Args:
        case: ``image``, a path, and where there are any ``brain_mask`` and ``series``; ``case``, its name.
        segment: :py:func:`bundle.cli.notebook.segment`, or what takes and gives the same.
        numbers: see :py:func:`changes`.
        limits: of what is plausible, see :py:class:`bundle.preprocessing.plausibility.Limits`.

    Raises:
        InputError: what is wrong with the scan; or that a changed one is refused.
    """
    path, series = case["image"], case.get("series", "")
    given = {"series": series} if series else {}
    found = segment(path, brain_mask=case.get("brain_mask"), **given)
    first = np.asarray(found.mask.dataobj) > 0
    rows = [_row(case["case"], UNCHANGED, found, 1.0)]
    volume = read_volume(path, series=series)
    image, affine = np.asarray(volume[0]), np.asarray(volume.affine, float)
    mask_path = case.get("brain_mask")
    brain = None if mask_path is None else np.asarray(given_mask(mask_path, volume, Limits(**limits))[0])
    for name, scan in changes(image, brain, affine, numbers).items():
        try:
            found = segment(scan.image, affine=affine, brain_mask=scan.brain_mask)
        except InputError as error:
            raise InputError(f"{path}: with {name} it is refused ({error})") from error
        mask = np.asarray(found.mask.dataobj) > 0
        dice = agreement_after_shift(first, mask, in_plane(affine)) if name == SHIFT else agreement(first, mask)
        rows.append(_row(case["case"], name, found, dice))
    return rows


def summarised(rows: pd.DataFrame, goal: float) -> pd.DataFrame:
    """For each change the mean and the lowest Dice, of whom, and how many scans stay below the goal.

    Args:
        rows: of :py:func:`stability_of`.
        goal: Dice that a mask should keep.

    Returns:
        pandas.DataFrame: a row for each change; ``threshold factor`` is the largest by which a threshold rose or fell.
    """
    before = rows[rows["change"] == UNCHANGED].set_index("case")["threshold"]
    found = []
    for change, of_change in rows[rows["change"] != UNCHANGED].groupby("change", sort=False):
        by_case = of_change.set_index("case")
        logarithm = np.log(by_case["threshold"] / before[by_case.index]).abs()
        found.append(
            {
                "change": change,
                "mean Dice": float(by_case["dice"].mean()),
                "lowest Dice": float(by_case["dice"].min()),
                "of": by_case["dice"].idxmin(),
                f"below {goal:g}": f"{int((by_case['dice'] < goal).sum())} of {len(by_case)}",
                "threshold factor": float(np.exp(logarithm.max())),
            }
        )
    return pd.DataFrame(found)


def measure_stability(
    cases: Iterable[Mapping[str, Any]],
    segment: Callable[..., Any],
    output_dir: str,
    numbers: Mapping[str, Any],
    limits: Mapping[str, Any],
) -> str:
    """Segment scans as they are and after each change that means nothing, and compare the masks.

    Writes ``stability.csv``, a row for each scan and change, which holds what is done so far.

    Args:
        cases: see :py:func:`stability_of`; ``fault`` is a sentence, where one cannot be used.
        segment: see :py:func:`stability_of`.
        output_dir: where the file goes.
        numbers: ``stability`` in ``configs/stability.json``: those of :py:func:`changes`, and ``goal``.
        limits: see :py:func:`stability_of`.

    Returns:
        str: a table in Markdown, see :py:func:`summarised`.

    Raises:
        InputError: what is wrong with a scan, or that there is none.
    """
    rows: list[dict[str, Any]] = []
    cases = list(cases)
    if faults := [case["fault"] for case in cases if "fault" in case]:
        raise InputError(faults[0])
    for case in tqdm(cases, "Changing", unit="scan"):
        rows += stability_of(case, segment, numbers, limits)
        table = pd.DataFrame(rows)
        write_whole(Path(output_dir) / "stability.csv", table.to_csv(index=False))
    return as_markdown(summarised(table, numbers["goal"]))
