# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""The engine of a run over many cases, of which a fault in one never ends the others."""

from __future__ import annotations

from typing import Any

import torch
from ignite.engine import Events
from monai.engines import IterationEvents, SupervisedEvaluator

from bundle.cases.run_folder import RunFolder
from bundle.cases.stations import Stopwatch


class CaseEvaluator(SupervisedEvaluator):
    """MONAI's ``SupervisedEvaluator`` with one case per iteration.

    Whatever is raised for a case, by the inferer, the postprocessing or a handler of
    ``IterationEvents.MODEL_COMPLETED``, is told to ``run_folder``, and the next case follows. After Ctrl-C the handlers
    of ``Events.COMPLETED`` still run, so that there is a report of what is done.

    Args:
        run_folder: the output folder, held for the time of the run.
        kwargs: of ``SupervisedEvaluator``.
    """

    def __init__(self, *, run_folder: RunFolder, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.run_folder = run_folder
        self.add_event_handler(IterationEvents.FORWARD_COMPLETED, self._searched)
        # before the handlers of COMPLETED
        self.add_event_handler(Events.EPOCH_COMPLETED, run_folder.wait)

    def run(self) -> None:
        with self.run_folder.opened():
            try:
                super().run()
            except KeyboardInterrupt:
                self.run_folder.interrupted = True
                self.run_folder.wait()
                self.fire_event(Events.COMPLETED)

    def _searched(self) -> None:
        batch = self.state.batch
        # of a batch, as the others are
        figures = {unit: torch.tensor([value], dtype=torch.float64) for unit, value in self._watch.read().items()}
        batch["stations"] = {**batch.get("stations", {}), "inferer": figures}  # type: ignore[index, union-attr]

    def _iteration(self, engine: SupervisedEvaluator, batchdata: dict[str, Any]) -> Any:
        case = batchdata["case"][0]
        self._watch = Stopwatch()
        try:
            super()._iteration(engine, batchdata)
        except Exception as error:
            self.run_folder.failed(case, error)
        # its volumes are done with; what is saved of them is held by who saves it
        engine.state.batch, engine.state.output = [], []
        return engine.state.output
