# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""Labels that clients send: checked before they are stored, and what was stored before is kept.

The class here goes in front of MONAI Label's datastores, of a folder or of a DICOMweb server.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import nibabel as nib
import numpy as np
from fastapi import HTTPException
from monailabel.datastore.utils.convert import binary_to_image

from bundle import __version__
from bundle.data import read_on_grid, read_volume
from bundle.errors import InputError
from bundle.files import sha256
from bundle.label.names import check_name, check_tag
from bundle.label.one_at_a_time import OneAtATime

ENDINGS = (".nii.gz", ".nii", ".nrrd")
EARLIER = "earlier_labels"
AUDIT = "label_versions.jsonl"  # one line for each label that was stored
LARGEST_LABEL = 255  # labels are stored as uint8


def read_label(path: Path, image: Path) -> np.ndarray:
    """Read a label that a client sent.

    Args:
        path: of the label.
        image: whose label it is.

    Returns:
        np.ndarray: uint8, on the voxels of the image, also where its axes are turned.

    Raises:
        InputError: when it cannot be read, lies on another grid than the image, or holds other values than whole
            numbers from 0 to 255.
    """
    if not path.name.endswith(ENDINGS):
        raise InputError(f"{path}: a label is a file that ends in {', '.join(ENDINGS)}; send one of these.")
    label = read_on_grid(path, "label", read_volume(image))
    values = np.asarray(label[0])
    if (values != np.round(values)).any() or values.min() < 0 or values.max() > LARGEST_LABEL:
        raise InputError(
            f"{path}: a label holds whole numbers from 0 to {LARGEST_LABEL}, this one does not; send the segmentation."
        )
    return values.astype(np.uint8)


class CheckedLabels(OneAtATime):
    """Goes before a datastore of MONAI Label, as the first of its base classes.

    Attributes:
        about: from the path of an image and the ``client_id`` of who sends a label of it to what is noted of that
            label: prompts, weights, settings.
    """

    about: Callable[[str, str], dict[str, Any]] = staticmethod(lambda image, client: {})

    def _known(self, image_id: str) -> None:
        check_name(image_id, "image")
        if image_id not in self.list_images():  # type: ignore[attr-defined]
            raise HTTPException(404, f"{image_id}: there is no such image here; give a name that the server lists.")

    def keep_earlier(self, label_id: str, tag: str) -> str:
        """Copy the stored label, if there is one, to where no request can reach it; gives its name there."""
        label = self._datastore.label(label_id, tag)  # type: ignore[attr-defined]
        ending = label.ext if label else ""
        stored = Path(self._datastore.label_path(tag)) / f"{label_id}{ending}"  # type: ignore[attr-defined]
        if label and stored.is_file():
            folder = Path(self._datastore_path) / EARLIER / tag  # type: ignore[attr-defined]
            folder.mkdir(parents=True, exist_ok=True)
            moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
            kept = shutil.copy2(stored, folder / f"{label_id}_{moment}{ending}")
            return Path(kept).name
        return ""

    def save_label(
        self, image_id: str, label_filename: str, label_tag: str, label_info: dict[str, Any], *others: Any
    ) -> str:
        """Check a label, keep the one before it, and store it as NIfTI.

        Raises:
            HTTPException: when there is no such image.
            InputError: when the tag or the label is refused; nothing has changed then.
        """
        self._known(image_id)
        check_tag(label_tag)
        image = Path(self.get_image_uri(image_id))  # type: ignore[attr-defined]
        sent = Path(label_filename)
        with tempfile.TemporaryDirectory() as folder:
            if sent.name.endswith(".bin"):  # OHIF sends the voxels alone
                try:
                    sent = Path(shutil.move(binary_to_image(str(image), str(sent)), Path(folder) / "sent.nii.gz"))
                except ValueError as error:
                    raise InputError(
                        f"label of {image_id}: its size is not one byte per voxel of the image."
                    ) from error
            try:
                values = read_label(sent, image)
            except InputError as error:
                raise InputError(str(error).replace(str(sent), f"label of {image_id}")) from error
            scan = cast(nib.Nifti1Image, nib.load(image))
            checked = Path(folder) / "label.nii.gz"
            nib.save(nib.Nifti1Image(values, scan.affine, _header(scan)), checked)
            client = str(label_info.get("client_id") or "")
            with self.alone:
                kept = self.keep_earlier(image_id, label_tag)
                stored = super().save_label(image_id, str(checked), label_tag, label_info, *others)  # type: ignore[misc]
                self._note(
                    {
                        "when": datetime.now(UTC).isoformat(),
                        "who": label_info.get("user") or client,
                        **{"image": image_id, "tag": label_tag, "sha256": sha256(checked), "replaces": kept},
                        **{"bundle": __version__, **self.about(str(image), client)},
                    }
                )
                return stored

    def _note(self, line: dict[str, Any]) -> None:
        with (Path(self._datastore_path) / AUDIT).open("a") as file:  # type: ignore[attr-defined]
            file.write(json.dumps(line) + "\n")

    def remove_label(self, label_id: str, label_tag: str) -> None:
        """Remove a label, and keep a copy."""
        self._known(label_id)
        check_tag(label_tag)
        with self.alone:
            self.keep_earlier(label_id, label_tag)
            super().remove_label(label_id, label_tag)  # type: ignore[misc]

    def add_image(self, image_id: str, image_filename: str, image_info: dict[str, Any]) -> str:
        """Take in an image that can be read; a copy of that name is replaced, never written into."""
        check_name(image_id, "image")
        read_volume(image_filename)
        with self.alone:
            stored = self._datastore.objects.get(image_id)  # type: ignore[attr-defined]
            if stored is not None:
                (Path(self._datastore.image_path()) / f"{image_id}{stored.image.ext}").unlink(missing_ok=True)  # type: ignore[attr-defined]
            return super().add_image(image_id, image_filename, image_info)  # type: ignore[misc]


def _header(scan: Any) -> Any:
    """The header of the scan, for a label: voxels of one byte, not scaled."""
    header = nib.Nifti1Header.from_header(scan.header)
    header.set_data_dtype(np.uint8)
    header.set_slope_inter(1, 0)
    header["cal_min"] = header["cal_max"] = 0
    return header
