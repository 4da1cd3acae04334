# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""What a training does beside its steps: seeds, validations, and a state to go on from."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from ignite import distributed as idist
from ignite.engine import Engine, Events
from monai.data.utils import set_rnd
from monai.handlers import ValidationHandler
from monai.utils import set_determinism

from bundle.errors import InputError
from bundle.files import only_user, replaced, writable_folder


class SeedEpoch:
    """Make all randomness of an epoch a function of the seed and the epoch, so that a resumed run repeats nothing.

    Args:
        seed: base seed.
        every_epoch: False to use the same randomness in each epoch, as a validation should.
    """

    def __init__(self, seed: int, every_epoch: bool = True) -> None:
        self.seed = seed
        self.every_epoch = every_epoch

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        seed = self.seed + 1000 * idist.get_rank() + (1_000_000 * engine.state.epoch if self.every_epoch else 0)
        set_determinism(seed=seed % 2**32)
        set_rnd(engine.data_loader.dataset, seed=seed % 2**32)  # type: ignore[attr-defined]  # MONAI's engines have it


class FiniteWeights:
    """End a training whose weights are no longer finite, before such weights are validated or saved.

    Args:
        model: that is trained.

    Raises:
        InputError: at the end of the epoch in which it happened.
    """

    def __init__(self, model: torch.nn.Module) -> None:
        self.model = model

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        if not all(bool(weights.isfinite().all()) for weights in self.model.parameters()):
            raise InputError(
                f"Epoch {engine.state.epoch}: the weights became NaN or infinite, so the training has gone wrong and "
                "ends here; what earlier epochs saved stays. Give a lower --learning_rate, and another --output_dir."
            )


class ValidationToTheEnd(ValidationHandler):
    """MONAI's ``ValidationHandler`` by epochs, which also validates after the last one, whatever the interval.

    Each validation writes the model, with the threshold that it found: without one at the end, what was learnt after
    the last multiple of the interval would be lost.
    """

    def attach(self, engine: Engine) -> None:
        def due(engine: Engine, epoch: int) -> bool:
            return epoch % self.interval == 0 or epoch == engine.state.max_epochs

        engine.add_event_handler(Events.EPOCH_COMPLETED(event_filter=due), self)


class TrainingState:
    """Keep everything that a killed run needs, and go on from it when there is any.

    The state is written under another name and renamed, so the last whole one survives a kill at any moment. (ignite's
    ``DiskSaver`` does the same under a new name each time, so that each kill would leave a file behind.)

    Args:
        path: of the file.
        objects: what has a state, by name: networks, optimizer, scheduler and so on. The trainer's own is added.
        interval: epochs between two writings.
        made_from: data and settings that must not change in the middle of a training, by name.
    """

    def __init__(
        self, path: str, objects: Mapping[str, Any], interval: int = 1, made_from: Mapping[str, Any] | None = None
    ) -> None:
        self.path = Path(path)
        self.objects = dict(objects)
        self.interval = interval
        self.held = ExitStack()
        self.made_from = {name: str(value) for name, value in (made_from or {}).items()}

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self.hold)
        engine.add_event_handler(Events.STARTED, self.load)
        engine.add_event_handler(Events.EPOCH_COMPLETED(every=self.interval), self.save)
        engine.add_event_handler(Events.COMPLETED, lambda _: self.held.close())
        engine.add_event_handler(Events.EXCEPTION_RAISED, self.give_back)

    def give_back(self, engine: Engine, error: BaseException) -> None:
        """Let others train in the folder, and the error pass."""
        self.held.close()
        raise error

    def hold(self) -> None:
        """Keep other trainings away from the state.

        Raises:
            InputError: when another one is using it.
        """
        if idist.get_rank() == 0:
            self.held.enter_context(only_user(writable_folder(self.path.parent)))

    def _scaler(self, engine: Engine) -> dict[str, Any]:
        scaler = getattr(engine, "scaler", None)
        return {} if scaler is None else {"scaler": scaler}

    def save(self, engine: Engine) -> None:
        if idist.get_rank() != 0:
            return
        state = {name: item.state_dict() for name, item in {**self.objects, **self._scaler(engine)}.items()}
        state["epoch"], state["iteration"] = engine.state.epoch, engine.state.iteration
        state["made_from"] = self.made_from
        with replaced(self.path) as unfinished:
            torch.save(state, unfinished)

    def _check(self, made_from: Mapping[str, str]) -> None:
        """Refuse to go on with other data or settings than those of the epochs before."""
        changed = sorted(
            name for name in {*made_from, *self.made_from} if made_from.get(name) != self.made_from.get(name)
        )
        if changed:
            raise InputError(
                f"{self.path}: the training that this state is of had other values of {', '.join(changed)}; "
                "give it the same again, or choose another --output_dir."
            )

    def load(self, engine: Engine) -> None:
        if not self.path.exists():
            return
        try:
            device = engine.state.device  # type: ignore[attr-defined]
            state = torch.load(self.path, map_location=device, weights_only=True)
            self._check(state["made_from"])
            for name, item in {**self.objects, **self._scaler(engine)}.items():
                item.load_state_dict(state[name])
            engine.state.epoch, engine.state.iteration = state["epoch"], state["iteration"]
        except InputError:
            raise
        except Exception as error:
            raise InputError(
                f"{self.path}: this run cannot go on from that state ({type(error).__name__}: it is damaged, or was "
                "written with another configuration); delete it, or choose another --output_dir."
            ) from error
        engine.logger.info(f"Going on from {self.path}, epoch {engine.state.epoch}.")
        if engine.state.max_epochs is not None and engine.state.epoch >= engine.state.max_epochs:
            engine.logger.warning(
                f"{self.path}: all {engine.state.epoch} epochs are done and nothing is trained; to train "
                "further give the model as --pretrained, and another --output_dir."
            )
