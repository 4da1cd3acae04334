# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""Loading a checkpoint of this bundle, with clear words where it is none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from ignite.engine import Engine
from ignite.handlers import Checkpoint
from monai.handlers import CheckpointLoader

from bundle.errors import InputError
from bundle.files import check_readable
from bundle.model.card import CARD, is_judged, read_card, read_state
from bundle.model.refinement import IterMaskNet

# names in a state dict that belong to the judge
JUDGE = ("judge.", "lesion_threshold")

# names that a checkpoint may lack
OPTIONAL = (*JUDGE, CARD)


def _plain(value: Any) -> str:
    """A setting as a reader writes it: 64, not 64.0."""
    return f"{value:g}" if isinstance(value, float) else str(value)


class ModelLoader(CheckpointLoader):
    """MONAI's ``CheckpointLoader`` for one model, which says in one sentence why a file is not its checkpoint.

    Args:
        load_path: a bare state dict.
        model: to load it into.
        calibrated: whether a checkpoint without a threshold, or with a judge without one, is refused.
        to_train: whether a training starts from it: a judge may then be missing in the checkpoint, and the threshold of
            the judge, which is to be calibrated after the training, is forgotten.

    A model without a judge leaves that of the checkpoint alone.

    A checkpoint for images of another modality is refused, unless a training starts from it; one for images that were
    prepared otherwise is warned of. The ``note`` on its card goes over to the model, unless a training starts from it:
    a calibration saves it again. A checkpoint without a card (see :py:mod:`bundle.model.card`) is taken as it is.

    Raises:
        InputError: when the run starts with a file that is missing, unreadable, foreign, not calibrated or of another
            modality.
    """

    def __init__(self, load_path: str, model: IterMaskNet, calibrated: bool = True, to_train: bool = False) -> None:
        strict = model.judge is not None and not to_train
        # MONAI's hint leaves out the devices that it documents
        super().__init__(load_path, {"model": model}, map_location="cpu", strict=strict)  # type: ignore[arg-type]
        self.model = model
        self.calibrated = calibrated
        self.to_train = to_train

    def __call__(self, engine: Engine) -> None:
        check_readable(self.load_path)
        try:
            state = read_state(self.load_path)
            saved, needed = (
                {name for name in of if not name.startswith(OPTIONAL)} for of in (state, self.model.state_dict())
            )
            if saved != needed:
                raise ValueError(f"not in both: {', '.join(sorted(saved ^ needed))}")
            card = read_card(state)
            judged = is_judged(state)
            refused = self._refused(card)
            if not refused and (judged or not self.strict):
                # a model that is trained on makes a card of its own
                known = {name: value for name, value in state.items() if name != CARD or not self.to_train}
                Checkpoint.load_objects(self.load_dict, {"model": known}, strict=self.strict)
        except FileNotFoundError as error:
            raise InputError(f"{self.load_path}: no such file; give the path of a checkpoint.") from error
        except Exception as error:
            raise InputError(
                f"{self.load_path}: not a checkpoint of this network (unreadable, of another program, or of another "
                "size: --channels, --channel_multipliers, --attention_levels and --res_blocks must be those of its "
                "training); give another one."
            ) from error
        if refused:
            raise InputError(refused)
        if not all(weights.isfinite().all() for weights in self.model.parameters()):
            raise InputError(
                f"{self.load_path}: its weights hold NaN or infinite values (a training that went wrong, or a damaged "
                "file); give another checkpoint."
            )
        self._compare(card, engine)
        if "note" in card and not self.to_train:
            # what is said of these weights stays with them, whatever thresholds they get
            self.model.card["note"] = card["note"]
        if self.strict and not judged:
            raise InputError(
                f"{self.load_path}: the checkpoint has no judge; train one "
                f"(itermask2 train healthy/ --judge --pretrained {self.load_path}), or lay the published method over, "
                "which has none (--config published; through MONAI configs/published.json)."
            )
        if self.to_train:
            with torch.no_grad():
                self.model.lesion_threshold.fill_(torch.nan)
            if judged and self.model.judge is None:
                engine.logger.warning(
                    f"{self.load_path}: its judge is left out; train one anew with configs/judge.json afterwards, or "
                    "keep it by --judge#_disabled_ false."
                )
        if self.calibrated:
            judge = self.model.judge is not None and not self.to_train
            for threshold in (self.model.threshold, *([self.model.lesion_threshold] if judge else [])):
                if not bool(threshold.isfinite()):
                    raise InputError(
                        f"{self.load_path}: the checkpoint has no threshold; set it from healthy scans first: "
                        f"itermask2 calibrate healthy/ --ckpt_path {self.load_path}"
                    )

    def _refused(self, card: Mapping[str, Any]) -> str:
        """Why the card of the checkpoint does not go with the run; empty where it does."""
        ours = self.model.card.get("modality")
        theirs = card.get("modality", ours)
        if theirs == ours or ours is None or self.to_train:
            return ""
        return (
            f"{self.load_path}: these weights are for {theirs} images, and this run is for {ours}; give weights of "
            f"that modality as --ckpt_path (configs/train.json makes them), or --modality {theirs} where the images "
            "are of it."
        )

    def _compare(self, card: Mapping[str, Any], engine: Engine) -> None:
        """Warn where the card of the checkpoint is of images that were prepared otherwise."""
        others = {name: value for name, value in card.items() if value != self.model.card.get(name, value)}
        others.pop("modality", None)
        if others and not self.to_train:
            theirs, ours = (
                ", ".join(f"{name} {_plain(values[name])}" for name in others) for values in (others, self.model.card)
            )
            engine.logger.warning(
                f"{self.load_path}: these weights are for images with {theirs}, and this run has {ours}; "
                "its masks may be wrong."
            )
