# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""What a review does with the cases of a run: list, answer prompts, decide."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from bundle.cases import CaseFolder
from bundle.data.scan_files import stamps
from bundle.errors import InputError
from bundle.interaction import Answer, ScanState, answer
from bundle.label.states import States
from bundle.review.layers import geometry, on_grid_of, result_file, scan_file
from bundle.review.reviewable import reviewable_cases
from bundle.review.strokes import prompts_of
from bundle.review.versions import ACCEPTED, CORRECTED, OPEN, VERDICTS, Versions

LONGEST_TEXT = 2000  # characters of a remark
_OTHER_RUN = (
    "The mask of this run was made with other settings or another version than clicks are answered with now: "
    "without a click it would differ in {voxels} voxels. Segment again, or give review the settings of the run."
)


class UnknownCase(InputError):
    """There is no such case."""


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str) or len(value) > LONGEST_TEXT:
        raise InputError(f"{name}: it is no text of at most {LONGEST_TEXT} characters; shorten it.")
    return " ".join(value.split())


def _number(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise InputError("after: it is no number of a version; send the one that the change is made to.")
    return value


def _figures(statistics: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "lesion_ml": statistics["lesion_ml"],
        "components": statistics["number_of_components"],
        "seconds": 0.0,
        "changed_voxels": 0,
    }


class Session:
    """The cases of a run, under review.

    Args:
        output_dir: of the run.
        prepare: from a finished case to its state for clicks.
        keep: how many states are kept.
        made_with: from a case to plain data that each version of it notes: weights and settings.
    """

    def __init__(
        self,
        output_dir: Path,
        prepare: Callable[[CaseFolder], ScanState],
        keep: int,
        made_with: Callable[[CaseFolder], dict[str, Any]],
    ) -> None:
        self.output_dir = output_dir
        self.made_with = made_with
        self.states = States(lambda name: prepare(self.case(name)), keep, self._made_of)
        self._cases: dict[str, CaseFolder] = {}
        self._answers: dict[str, tuple[Any, Answer]] = {}

    def _made_of(self, name: str) -> tuple:
        """What a case was made from: scans, brain mask and results can be replaced while it is reviewed."""
        case = self.case(name)
        statistics = case.statistics()
        others = (statistics.get("others") or {}).values()
        return tuple(stamps(statistics["image"], statistics.get("brain_mask") or "", *others, case.file("statistics")))

    def rows(self) -> list[dict[str, Any]]:
        """One row per case that can be reviewed: its facts, and what was decided."""
        self._cases = {self._name(case): case for case in reviewable_cases(self.output_dir)}
        return [self._row(name) for name in self._cases]

    def _name(self, case: CaseFolder) -> str:
        """What a case is called in addresses: names of cases are not unique, nor plain."""
        place = str(case.path.relative_to(self.output_dir))
        return hashlib.sha256(place.encode(errors="surrogateescape")).hexdigest()[:12]

    def case(self, name: str) -> CaseFolder:
        """The folder of a case.

        Raises:
            UnknownCase: when there is none.
        """
        if name not in self._cases:
            self.rows()
        if name not in self._cases or not self._cases[name].has("statistics"):
            raise UnknownCase("There is no such case here; go back to the list.")
        return self._cases[name]

    def _row(self, name: str) -> dict[str, Any]:
        case = self._cases[name]
        statistics, line = case.statistics(), Versions(case).last()
        return {
            "id": name,
            "case": case.name.encode(errors="replace").decode(),
            "lesion_ml": line.get("lesion_ml", statistics["lesion_ml"]),
            "components": line.get("components", statistics["number_of_components"]),
            "warnings": statistics["warnings"],
            "verdict": line["verdict"],
            "remark": line["remark"],
        }

    def facts(self, name: str) -> dict[str, Any]:
        """What a viewer needs of a case; its state is begun to be made."""
        case, versions = self.case(name), Versions(self.case(name))
        statistics = case.statistics()
        refinement = statistics["refinement"]
        self.states.begin(name)
        return {
            **self._row(name),
            **geometry(case),
            "automatic_ml": statistics["lesion_ml"],
            "largest_mm": statistics["components"][0]["centre_mm"] if statistics["components"] else None,
            "from_score": refinement.get("volume_threshold", refinement.get("lesion_threshold")),
            "layers": [layer for layer in ("reconstruction", "score") if case.has(layer)],
            "review": versions.last(),
            "versions": versions.all(),
            "ready": self.states.ready(name),
        }

    async def note(self, name: str) -> str:
        """Wait until a case is ready for clicks; a sentence where its mask is not the one that no click gives."""
        state = await self.states.get(name)
        automatic = np.asarray(nib.load(self.case(name).file("mask")).dataobj)  # type: ignore[attr-defined]
        others = int(((automatic.reshape(state.mask.shape) > 0) != (state.mask > 0)).sum())
        return _OTHER_RUN.format(voxels=others) if others else ""

    async def _answer(self, name: str, strokes: list[Any]) -> Answer:
        """The answer to strokes; that of the last ones is kept."""
        prompts = prompts_of(strokes)
        asked = (prompts, self._made_of(name))
        known, found = self._answers.get(name, (None, None))
        if found is None or known != asked:
            state = await self.states.get(name)
            found = await self.states.run(lambda: answer(state, prompts))
            self._answers = {name: (asked, found)}
        return found

    async def change(self, name: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Answer what was drawn, and save it as a version.

        Args:
            name: of the case.
            body: ``strokes`` (see :py:mod:`bundle.review.strokes`), ``after`` (the version that they change), ``who``.

        Returns:
            dict: the line of the new version.
        """
        case, versions = self.case(name), Versions(self.case(name))
        strokes, who, after = body.get("strokes"), _text(body.get("who"), "who"), _number(body.get("after"))
        facts = {
            **{"who": who, "change": "strokes", "verdict": OPEN, "strokes": strokes},
            **{"prompts": prompts_of(strokes).to_json(), **self.made_with(case)},
        }
        if not strokes:
            return versions.add(after, {**facts, **_figures(case.statistics()), "mask": ""})
        found = await self._answer(name, strokes)
        statistics = await self.states.run(lambda: found.statistics)
        figures = {**_figures(statistics), "seconds": round(found.seconds, 2), "changed_voxels": found.changed.voxels}
        return versions.add(after, {**facts, **figures}, found.mask)

    def decide(self, name: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Save a verdict and a remark as a version.

        Args:
            name: of the case.
            body: ``verdict`` (of ``VERDICTS``), ``remark``, ``after`` and ``who``.
        """
        verdict = body.get("verdict")
        if verdict not in VERDICTS:
            raise InputError(f"verdict: it is none of {', '.join(VERDICTS)}; send one of these.")
        case = self.case(name)
        drawn = bool(Versions(case).last()["strokes"])
        if (verdict == ACCEPTED and drawn) or (verdict == CORRECTED and not drawn):
            raise InputError("verdict: accepted is the automatic mask as it is, corrected one with something drawn.")
        remark, who = _text(body.get("remark", ""), "remark"), _text(body.get("who"), "who")
        facts = {"who": who, "change": "verdict", "verdict": verdict, "remark": remark, **self.made_with(case)}
        return Versions(case).add(_number(body.get("after")), facts)

    async def layer(self, name: str, version: int, layer: str) -> bytes:
        """A volume of a version, as an unpacked NIfTI file.

        Raises:
            UnknownCase: when there is no such version, or the run has not written that volume.
        """
        case, versions = self.case(name), Versions(self.case(name))
        if layer == "scan":
            return await self.states.run(lambda: scan_file(case))
        line = next((line for line in [*versions.all(), versions.none()] if line["version"] == version), None)
        if line is None or not case.has(layer):
            raise UnknownCase("There is no such version or layer of this case; reload it.")
        if layer == "mask":
            return result_file(case, versions.mask_path(line))
        if not line["strokes"]:
            return result_file(case, case.file(layer))
        found = await self._answer(name, line["strokes"])
        return await self.states.run(lambda: on_grid_of(case, getattr(found, layer)))
