# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""The tasks of the own app: the automatic mask, clicks and scribbles, all over one state per scan."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType
from monailabel.transform.writer import Writer

from bundle.data.scan_files import stamps
from bundle.errors import InputError
from bundle.interaction import Answer, Prompts, ScanState, answer, prepare_scan
from bundle.label.scribbles import prompts_of_points, prompts_of_scribbles
from bundle.label.served_bundle import NAME
from bundle.label.states import States
from bundle.label.studies import Beside

LABELS = {"lesion": 1}
KEEP = 3  # scans that stay ready for clicks


def disagreement_ml(found: Answer) -> float:
    """How far mask and score disagree, in millilitres: what scores like a lesion and is not marked, and the reverse.

    A voxel scores like a lesion from :py:attr:`ScanState.threshold` on, at which the mask ends.
    """
    state = found.state
    voxel_ml = abs(np.linalg.det(state.affine[:3, :3])) / 1000
    return float((((found.score >= state.threshold) & state.brain) != (found.mask > 0)).sum() * voxel_ml)


def facts_of(found: Answer) -> dict[str, Any]:
    """What a viewer is told of an answer; plain data."""
    statistics = found.statistics
    return {
        "lesion_ml": float(statistics["lesion_ml"]),
        "components": int(statistics["number_of_components"]),
        "warnings": [str(warning) for warning in statistics["warnings"]],
        "seconds": round(float(found.seconds), 2),
        "changed_voxels": int(found.changed.voxels),
    }


class Scans:
    """The scans that are served, ready for clicks: a few are kept, and what was found in all.

    Args:
        options: of :py:func:`bundle.interaction.prepare_scan`, for all of them.
        beside: what lies beside them, by the names of their files.
    """

    def __init__(self, options: Mapping[str, Any], beside: Mapping[str, Beside]) -> None:
        self._options, self._beside = options, beside
        self.states: States[ScanState] = States(self._prepare, KEEP, self._made_of)
        self._answering = threading.Lock()
        self._found: dict[tuple[str, tuple], dict[str, float]] = {}
        self.asked: dict[tuple[str, str], dict[str, Any]] = {}

    def _beside_of(self, image: str) -> Beside:
        return self._beside.get(Path(image).name, Beside())

    def _made_of(self, image: str) -> tuple:
        """An image, and what lies beside it, can be replaced under its name."""
        others, brain_mask, _ = self._beside_of(image)
        return tuple(stamps(image, brain_mask, *others.values()))

    def _prepare(self, image: str) -> ScanState:
        others, brain_mask, said = self._beside_of(image)
        state = prepare_scan(image, brain_mask or None, others=others, **self._options)
        warnings = "\n".join(filter(None, [said, state.data["warnings"]]))
        return ScanState({**state.data, "warnings": warnings}, state.tools)

    def answer(self, image: str, prompts: Prompts, client: str) -> Answer:
        """The answer to prompts on an image; one at a time.

        What a client asked last of an image is kept in ``asked``, for the label that it may send.

        Raises:
            InputError: when the scan cannot be made ready, or a prompt lies outside of it.
        """
        state = self.states.begin(image).result()
        with self._answering:
            found = answer(state, prompts)
            self.asked[image, client] = prompts.to_json()
        return found

    def worth(self, image: str) -> dict[str, float] | None:
        """What the automatic mask of an image tells of how much it is worth a look; None while it is not known."""
        return self._found.get((image, self._made_of(image)))

    def look_at(self, image: str) -> None:
        """Find out :py:meth:`worth`."""
        state = self.states.begin(image).result()
        with self._answering:
            found = answer(state, Prompts())
            worth = {"disagreement_ml": disagreement_ml(found), "lesion_ml": float(found.statistics["lesion_ml"])}
        self._found[image, self._made_of(image)] = worth


def _no_prompts(request: Mapping[str, Any], image: Path) -> Prompts:
    if request.get("foreground") or request.get("background") or request.get("label"):
        raise InputError(f"{NAME} takes no clicks and no label; choose itermask2_click or itermask2_scribbles.")
    return Prompts()


class LesionTask(InferTask):
    """A task of the own app.

    Args:
        scans: that all tasks share.
        kind: the kind that viewers know it by.
        description: for viewers.
        prompts: from a request and the path of its image to the prompts.
    """

    def __init__(
        self, scans: Scans, kind: InferType, description: str, prompts: Callable[[Mapping[str, Any], Path], Prompts]
    ) -> None:
        super().__init__(kind, LABELS, 3, description)
        self.scans = scans
        self.prompts = prompts

    def is_valid(self) -> bool:
        return True

    def __call__(self, request: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        begun = time.perf_counter()
        image = str(request["image"])
        prompts = self.prompts(request, Path(image))
        found = self.scans.answer(image, prompts, str(request.get("client_id") or ""))
        # in the format that the client asks for
        written = {
            name: request[name] for name in ("result_extension", "result_dtype", "result_compress") if name in request
        }
        place = {"pred_meta_dict": {"affine": found.state.affine}, "image_path": image}
        path, _ = Writer()({"pred": found.mask, **place, **written})
        facts = facts_of(found)
        waited = {"total": round(time.perf_counter() - begun, 2)}
        return path, {"label_names": LABELS, **facts, "prompts": prompts.to_json(), "latencies": waited}


def make_tasks(scans: Scans) -> dict[str, InferTask]:
    """The tasks of the own app, by the names that viewers show."""
    return {
        NAME: LesionTask(scans, InferType.SEGMENTATION, "Lesions, found without a click.", _no_prompts),
        "itermask2_click": LesionTask(
            scans,
            InferType.DEEPGROW,
            "Click on a lesion, or on what is normal; the mask answers.",
            lambda request, image: prompts_of_points(request),
        ),
        "itermask2_scribbles": LesionTask(
            scans,
            InferType.SCRIBBLES,
            "Draw on lesions, and on what is normal; the mask answers.",
            prompts_of_scribbles,
        ),
    }
