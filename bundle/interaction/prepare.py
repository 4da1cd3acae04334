# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""A scan is made ready for clicks, and the station of a run at which it gets its prompts."""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from monai.config import KeysCollection
from monai.transforms import MapTransform
from monai.utils import convert_to_dst_type

from bundle.cli.bundle_files import ROOT, config_path
from bundle.cli.contrasts import put_together, shipped
from bundle.cli.random_numbers import callers_random_numbers
from bundle.cli.typed_workflow import TypedWorkflow
from bundle.errors import InputError, input_error
from bundle.interaction.answering import answer
from bundle.interaction.prompts import Prompts
from bundle.interaction.state import ScanState, Tools

# laid over each other
CONFIGS = ("inference", "interaction")


def prepare_scan(
    image: str | os.PathLike,
    brain_mask: str | os.PathLike | None = None,
    config: Sequence[str] = (),
    others: Mapping[str, str] | None = None,
    **overrides: Any,
) -> ScanState:
    """Find lesions in one scan, and keep what clicks need.

    Args:
        image: NIfTI file, or folder with one DICOM series.
        brain_mask: path of the brain mask of the scan, where it is not skull-stripped.
        config: names or paths of configs to lay over.
        others: further contrasts to use together with the scan, by the word of ``--modality``: paths.
        overrides: options of ``itermask2 segment``, such as ``device="cpu"`` or ``modality="t1"``.

    Raises:
        InputError: saying in one sentence what is wrong with the scan or an option.
    """
    values: dict[str, Any] = {"bundle_root": str(ROOT), "image": str(image), "progress": False, **overrides}
    if others:
        values["image"] = {values.setdefault("modality", shipped()[0]): str(image), **others}
        config = put_together(list(values["image"]), config, values)
    if brain_mask is not None:
        values["brain_mask"] = str(brain_mask)
    files = [str(config_path(name)) for name in (*CONFIGS, *config)]
    workflow = TypedWorkflow(files, "prepare", values)
    with callers_random_numbers():
        workflow.initialize()
        scans = list(workflow.parser.get_parsed_content("cases"))
        if len(scans) != 1:
            raise InputError(f"{image}: {len(scans)} scans; give one scan.")
        try:
            workflow.run()
        except Exception as error:
            fault = input_error(error)
            if fault is None:
                raise
            raise fault from None
    state = workflow.parser.get_parsed_content("preparer").state
    return ScanState({**state.batch[0], **state.output[0]}, workflow.parser.get_parsed_content("tools"))


class ObeyPromptsd(MapTransform):
    """Replace the mask of a scan, its score and its reconstruction by the answer to prompts.

    Args:
        keys: of the mask, on the grid of the scan.
        prompts: in voxels of the scan.
        tools: that answers are made with.

    ``refinement`` gains ``prompts``, how many there are of either kind.
    """

    def __init__(self, keys: KeysCollection, prompts: Prompts, tools: Tools) -> None:
        super().__init__(keys)
        self.prompts = prompts
        self.tools = tools

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        found = answer(ScanState(data, self.tools), self.prompts)
        score, (new_score, reconstruction) = "score" if "score" in d else "error", found.on_model_grid
        d[score] = convert_to_dst_type(new_score[None], d[score])[0]
        d["reconstruction"] = convert_to_dst_type(reconstruction[None], d["model_reconstruction"])[0]
        d = self.tools.restore(d)
        counts = {"lesion": len(self.prompts.lesion()), "normal": len(self.prompts.normal())}
        d["refinement"] = {**d["refinement"], "prompts": counts}
        for key in self.key_iterator(d):
            d[key] = convert_to_dst_type(found.mask[None], d[key])[0]
        return d
