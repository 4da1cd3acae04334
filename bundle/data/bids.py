# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""What the name of a file says in a study that follows BIDS, the Brain Imaging Data Structure."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, NamedTuple, cast

import nibabel as nib
import numpy as np

from bundle.data.folders import files_below
from bundle.errors import InputError

CONTRASTS = {"flair": "flair", "t1w": "t1", "t2w": "t2", "dwi": "dwi", "adc": "adc"}


# images of contrasts that no weights are for
OTHERS = (
    *("pdw", "pdt2", "t2star", "t2starw", "inplanet1", "inplanet2", "t1map", "t2map", "t2starmap", "unit1", "angio"),
    *("bold", "sbref", "cbv", "asl", "m0scan", "epi", "swi", "fa", "md", "trace", "magnitude", "magnitude1"),
    *("magnitude2", "phase", "phase1", "phase2", "phasediff", "fieldmap", "megre", "mese", "mp2rage", "pet", "ct"),
)


# what a folder of derivatives says of itself, and the version of the standard that these follow
DESCRIPTION, VERSION = "dataset_description.json", "1.9.0"

# folders of a study that hold no raw scans
NOT_RAW = {"derivatives", "sourcedata", "code", "phenotype", "stimuli"}


class BidsName(NamedTuple):
    """A name such as ``sub-01_ses-2_acq-3D_FLAIR``.

    Attributes:
        entities: of the name, ``{"sub": "01", "ses": "2", "acq": "3D"}``.
        suffix: the last word, "FLAIR".
    """

    entities: dict[str, str]
    suffix: str

    @property
    def contrast(self) -> str:
        """One of the words of ``--modality``, or the suffix where there is none for it."""
        word = CONTRASTS.get(self.suffix.lower(), self.suffix)
        return "t1ce" if word == "t1" and "ce" in self.entities else word

    @property
    def folder(self) -> str:
        """``sub-01/ses-2/anat``, where a study keeps what belongs to the scan."""
        parts = [f"{key}-{self.entities[key]}" for key in ("sub", "ses") if key in self.entities]
        return "/".join([*parts, "dwi" if self.contrast in ("dwi", "adc") else "anat"])

    @property
    def derivative(self) -> str:
        """``sub-01_ses-2_acq-3D_space-FLAIR_desc-itermask2``, how names of results begin."""
        entities = {key: value for key, value in self.entities.items() if key != "desc"}
        entities = {**entities, "space": entities.get("space", self.suffix), "desc": "itermask2"}
        return "_".join(f"{key}-{value}" for key, value in entities.items())


def bids_name(stem: str) -> BidsName | None:
    """Read the name of an image, without its ending; None when it is not one of BIDS."""
    *parts, suffix = stem.split("_")
    pairs = [pair for part in parts if (pair := re.fullmatch(r"([a-z]+)-([A-Za-z0-9+]+)", part))]
    if not pairs or len(pairs) < len(parts) or pairs[0][1] != "sub" or suffix.lower() not in (*CONTRASTS, *OTHERS):
        return None
    return BidsName({pair[1]: pair[2] for pair in pairs}, suffix)


def study_of(image: Path, name: BidsName) -> Path | None:
    """The folder of the study in which an image lies, or None when it does not lie in the folder of its person."""
    person = f"sub-{name.entities['sub']}"
    return next((parent.parent for parent in image.absolute().parents if parent.name == person), None)


def derivatives_description(version: str) -> dict[str, Any]:
    """What stands in ``DESCRIPTION`` beside the results of a version of this bundle."""
    return {
        "Name": "Brain lesions found by IterMask²-bundle",
        "BIDSVersion": VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": "IterMask²-bundle", "Version": version, "Description": "Research use only."}],
    }


def _on_grid(mask: str, image: nib.Nifti1Image) -> bool:
    try:
        other = cast(nib.Nifti1Image, nib.load(mask))
    except Exception:
        # an unreadable file is no brain mask of the image
        return False
    return other.shape == image.shape and np.allclose(other.affine, image.affine, atol=0.01)


class DerivedBrainMasks:
    """The brain masks (``desc-brain…_mask``) that pipelines have left in ``derivatives``; a study is listed once."""

    def __init__(self) -> None:
        self._of_people: dict[Path, dict[str, list[str]]] = {}

    def _of_study(self, study: Path) -> dict[str, list[str]]:
        """Paths of masks, by the person's part of their names."""
        if study not in self._of_people:
            folder = study / "derivatives"
            people: dict[str, list[str]] = {}
            for path in files_below(folder) if folder.is_dir() else ():
                if found := re.fullmatch(r"(sub-[^_]+)_.*desc-brain.*_mask\.nii.*", os.path.basename(path)):
                    people.setdefault(found[1], []).append(str(folder / path))
            self._of_people[study] = people
        return self._of_people[study]

    def of(self, image: Path, name: BidsName) -> str | None:
        """The one that lies on the grid of an image.

        Raises:
            InputError: when there are several.
        """
        study = study_of(image, name)
        if study is None:
            return None
        person = "_".join(f"{key}-{name.entities[key]}" for key in ("sub", "ses") if key in name.entities)
        of_person = self._of_study(study).get(f"sub-{name.entities['sub']}", [])
        found = [path for path in of_person if os.path.basename(path).startswith(f"{person}_")]
        if not found:
            return None
        try:
            scan = cast(nib.Nifti1Image, nib.load(image))
        except Exception:
            # its reader says what is wrong with it
            return None
        masks = [path for path in found if _on_grid(path, scan)]
        if len(masks) > 1:
            raise InputError(
                f"{image}: {len(masks)} brain masks lie in derivatives on its grid, {masks[0]} and others; "
                "say by --brain_mask_pattern which to take."
            )
        return masks[0] if masks else None
