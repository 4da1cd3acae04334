# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""The versions of a review: each change adds a line and, where the mask is another one, a mask; nothing is replaced."""

from __future__ import annotations

import gzip
import json
import os
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import nibabel as nib
import numpy as np

from bundle import __version__
from bundle.cases import CaseFolder, finished_cases
from bundle.errors import InputError
from bundle.files import only_user, write_whole

OPEN, ACCEPTED, CORRECTED, REJECTED = "open", "accepted", "corrected", "rejected"
VERDICTS = (OPEN, ACCEPTED, CORRECTED, REJECTED)
FOLDER, LINES = "reviews", "reviews.jsonl"

# of the mask of a line
_FIGURES = ("lesion_ml", "components", "seconds", "changed_voxels")

_writing = threading.Lock()


class Conflict(InputError):
    """Somebody else has added a version since the one that a change is made to."""


class Versions:
    """The versions of a case, in the folder ``reviews`` beside its results.

    Args:
        case: that is reviewed.
    """

    def __init__(self, case: CaseFolder) -> None:
        self.case = case
        self.folder = case.path / FOLDER
        self.path = self.folder / LINES

    def all(self) -> list[dict[str, Any]]:
        """The lines, the earliest first. A last line that was cut short by a fault of the machine counts for nothing.

        Raises:
            InputError: when an earlier line cannot be read.
        """
        if not self.path.is_file():
            return []
        texts = [text for text in self.path.read_text().split("\n") if text]
        lines = []
        for number, text in enumerate(texts, 1):
            try:
                lines.append(json.loads(text))
            except ValueError as error:
                if number == len(texts):
                    break
                raise InputError(f"{self.path}: line {number} is damaged; mend or remove that line.") from error
        return lines

    def last(self) -> dict[str, Any]:
        """The line that holds now; that of :py:meth:`none` where nobody has reviewed the case.

        What was decided of an automatic mask is open again when that mask was made anew, otherwise or of another file.
        """
        lines = self.all()
        line = lines[-1] if lines else self.none()
        if not self._is_of_another_mask(line):
            return line
        return {name: value for name, value in line.items() if name not in _FIGURES} | {"verdict": OPEN}

    def _is_of_another_mask(self, line: Mapping[str, Any]) -> bool:
        if line["mask"] or "made_from" not in line or not self.case.has("statistics"):
            return False
        now, then = self.case.statistics().get("made_from") or {}, line["made_from"] or {}
        return any(now.get(name) != then.get(name) for name in ("files", "run"))

    def none(self) -> dict[str, Any]:
        """Version 0: the automatic mask, before anybody has reviewed the case."""
        return {"version": 0, "verdict": OPEN, "remark": "", "strokes": [], "mask": ""}

    def mask_path(self, line: Mapping[str, Any]) -> Path:
        """Where the mask of a version lies."""
        return self.folder / line["mask"] if line["mask"] else self.case.file("mask")

    def add(self, after: int, facts: Mapping[str, Any], mask: np.ndarray | None = None) -> dict[str, Any]:
        """Add a version.

        Args:
            after: the version that it is a change of.
            facts: plain data, what has changed; the rest is as in the version before.
            mask: the new one, uint8, the shape of the scan as it is stored; None: facts["mask"], or that of before.

        Returns:
            dict: the line, with its number, the moment (UTC), the version of the bundle and what the result was made
            from (the scan, its content, and a mark of weights, settings and version).

        Raises:
            Conflict: when there is a later version than ``after``.
            InputError: when the folder cannot be written.
        """
        try:
            self.folder.mkdir(exist_ok=True)
            with _writing, only_user(self.folder):
                before = self.last()
                if before["version"] != after:
                    raise Conflict(
                        f"{self.case.name}: somebody has changed this review since (version {before['version']}); "
                        "reload the case."
                    )
                line = {**before, **facts, "version": after + 1, "when": datetime.now(UTC).isoformat()}
                line["bundle"] = __version__
                line["made_from"] = self.case.statistics().get("made_from")
                if mask is not None:
                    line["mask"] = f"{self.case.name}_review_{after + 1:04d}_mask.nii.gz"
                    write_whole(self.folder / line["mask"], self._nifti(mask))
                self._append(json.dumps(line))
        except OSError as error:
            raise InputError(f"{self.folder}: it cannot be written ({error.strerror}); nothing was saved.") from error
        return line

    def _append(self, text: str) -> None:
        with self.path.open("ab+") as file:
            if file.tell():
                file.seek(-1, os.SEEK_END)
                # a line that was cut short ends here, and counts for nothing
                if file.read(1) != b"\n":
                    whole = self.path.read_bytes().rpartition(b"\n")
                    file.truncate(len(whole[0]) + len(whole[1]))
            file.write(text.encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def _nifti(self, mask: np.ndarray) -> bytes:
        """A mask as a file that lies on the scan as the automatic mask does."""
        automatic = cast(nib.Nifti1Image, nib.load(self.case.file("mask")))
        image = nib.Nifti1Image(mask.astype(np.uint8).reshape(automatic.shape), None, automatic.header)
        return gzip.compress(image.to_bytes(), 1, mtime=0)


def reviewed_cases(output_dir: str | Path) -> Iterator[tuple[CaseFolder, Versions]]:
    """The cases of a run that somebody has decided on, by path."""
    for case in finished_cases(output_dir):
        versions = Versions(case)
        if versions.last()["verdict"] != OPEN:
            yield case, versions
