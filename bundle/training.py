# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""What MONAI's trainer needs to train both networks at once on lesion-free slices (paper section 2.3)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from ignite import distributed as idist
from ignite.engine import Engine, Events
from monai.data.utils import set_rnd
from monai.engines import PrepareBatch
from monai.handlers import ValidationHandler
from monai.utils import set_determinism
from torch import Tensor, nn

from bundle.corruption import synthetic_lesions
from bundle.errors import InputError
from bundle.frequency import high_frequency
from bundle.masking import training_masks
from bundle.transforms import BACKGROUND
from bundle.window import brain_window


class _PrepareSlices(PrepareBatch):
    """From a batch of slices to the image and the brain mask from which :py:meth:`prepare` makes inputs and label."""

    def __call__(
        self,
        batchdata: dict[str, Tensor],
        device: str | torch.device | None = None,
        non_blocking: bool = False,
        **kwargs: Any,
    ) -> tuple[Tensor, Tensor]:
        image = torch.as_tensor(batchdata["image"]).to(device=device, non_blocking=non_blocking, **kwargs)
        return self.prepare(image, image > BACKGROUND, batchdata)

    def prepare(self, image: Tensor, brain: Tensor, batchdata: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        raise NotImplementedError


class PrepareMaskedBatch(_PrepareSlices):
    """Hide a random part of each lesion-free image.

    Args:
        radius: of the low frequencies that the high-frequency image lacks.
        masks: hyper-parameters of :py:func:`bundle.masking.training_masks`.
        lesions: hyper-parameters of :py:func:`bundle.corruption.synthetic_lesions`; the networks then see images into
            which lesions were painted, and are to give the images without them. None for the published method.
        crop_multiple: leave out the rows and columns that hold no brain in any image of the batch, and keep a multiple
            of so many, which the levels of the networks must divide. None to keep them all.

    A call returns the input of both networks (B x 2 x H x W: the image whose masked part is N(0, 1) noise, and the
    high-frequency image) and their label (B x 2 x H x W: the whole image, and the mask as 0 or 1).
    With ``crop_multiple`` both are cut to the same window.
    """

    def __init__(
        self,
        radius: float,
        masks: Mapping[str, Any] | None = None,
        lesions: Mapping[str, Any] | None = None,
        crop_multiple: int | None = None,
    ) -> None:
        self.radius = radius
        self.masks = masks or {}
        self.lesions = lesions
        self.crop_multiple = crop_multiple

    def prepare(self, image: Tensor, brain: Tensor, batchdata: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        seen = image if self.lesions is None else synthetic_lesions(image, brain, **self.lesions)[0]
        mask = training_masks(brain, **self.masks)
        visible = torch.where(mask, torch.randn_like(image), seen)
        inputs = torch.cat([visible, high_frequency(seen, self.radius)], dim=1)
        label = torch.cat([image, mask.float()], dim=1)
        window = (..., *brain_window(brain, self.crop_multiple))
        return inputs[window], label[window]


class PrepareJudgedBatch(_PrepareSlices):
    """Paint lesions into lesion-free images, and let the trained networks refine them as at inference.

    Args:
        model: an :py:class:`bundle.refinement.IterMaskNet` with a judge and a threshold; only its judge is to learn.
        lesions: hyper-parameters of :py:func:`bundle.corruption.synthetic_lesions`.
        iterations: of the refinement; few are enough, the mask shrinks most in the first.
        crop_multiple: as for :py:class:`PrepareMaskedBatch`.

    A call returns the judge's input (B x 2 x H x W: the images with lesions, and their reconstructions) and label
    (B x 1 x H x W: 1 where a lesion is). A ``pseudo_label`` of the batch is joined with the painted lesions.
    """

    def __init__(
        self, model: nn.Module, lesions: Mapping[str, Any], iterations: int = 2, crop_multiple: int | None = None
    ) -> None:
        self.model = model
        self.lesions = lesions
        self.iterations = iterations
        self.crop_multiple = crop_multiple
        for network in (model.initial, model.refiner):
            network.requires_grad_(False).eval()

    def prepare(self, image: Tensor, brain: Tensor, batchdata: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        seen, lesions = synthetic_lesions(image, brain, **self.lesions)
        seeds = torch.randint(2**31, (len(image),), device=image.device)
        if "pseudo_label" in batchdata:
            lesions = lesions | (torch.as_tensor(batchdata["pseudo_label"]).to(lesions.device) > 0)
        # frequencies are those of the whole slice
        images = seen, brain, lesions, high_frequency(seen, self.model.radius)
        window = (..., *brain_window(brain, self.crop_multiple))
        seen, brain, lesions, detail = (part[window] for part in images)
        with torch.no_grad():
            found = self.model.refine(seen, brain, seeds, max_iterations=self.iterations, detail=detail)
        return torch.cat([seen, found.reconstruction], dim=1), lesions.float()


class ReconstructionPair(nn.Module):
    """Both networks of a model as one module, so that one forward pass (and one DDP wrapper) trains both.

    Args:
        model: an :py:class:`bundle.refinement.IterMaskNet`.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.initial = model.initial
        self.refiner = model.refiner

    def forward(self, inputs: Tensor) -> Tensor:
        """From B x 2 x H x W (visible image, high-frequency image) to B x 2 x H x W (initial network's, refiner's)."""
        return torch.cat([self.initial(inputs[:, 1:]), self.refiner(inputs)], dim=1)


class ReconstructionLoss(nn.Module):
    """Mean squared error of both reconstructions over the whole image (paper section 2.3)."""

    def forward(self, pred: Tensor, label: Tensor) -> Tensor:
        return (pred - label[:, :1]).square().mean()


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
        set_rnd(engine.data_loader.dataset, seed=seed % 2**32)


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

    The state is written under another name and renamed, so the last whole one survives a kill at any moment.

    Args:
        path: of the file.
        objects: what has a state, by name: networks, optimizer, scheduler and so on. The trainer's own is added.
        interval: epochs between two writings.
    """

    def __init__(self, path: str, objects: Mapping[str, Any], interval: int = 1) -> None:
        self.path = Path(path)
        self.objects = dict(objects)
        self.interval = interval

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self.load)
        engine.add_event_handler(Events.EPOCH_COMPLETED(every=self.interval), self.save)

    def _scaler(self, engine: Engine) -> dict[str, Any]:
        scaler = getattr(engine, "scaler", None)
        return {} if scaler is None else {"scaler": scaler}

    def save(self, engine: Engine) -> None:
        if idist.get_rank() != 0:
            return
        state = {name: item.state_dict() for name, item in {**self.objects, **self._scaler(engine)}.items()}
        state["epoch"], state["iteration"] = engine.state.epoch, engine.state.iteration
        self.path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = self.path.with_suffix(".unfinished")
        torch.save(state, unfinished)
        os.replace(unfinished, self.path)

    def load(self, engine: Engine) -> None:
        if not self.path.exists():
            return
        try:
            state = torch.load(self.path, map_location=engine.state.device, weights_only=True)
            for name, item in {**self.objects, **self._scaler(engine)}.items():
                item.load_state_dict(state[name])
            engine.state.epoch, engine.state.iteration = state["epoch"], state["iteration"]
        except Exception as error:
            raise InputError(
                f"{self.path}: this run cannot go on from that state ({type(error).__name__}: it is damaged, or was "
                "written with another configuration); delete it, or choose another --output_dir."
            ) from error
        engine.logger.info(f"Going on from {self.path}, epoch {engine.state.epoch}.")
        if engine.state.epoch >= engine.state.max_epochs:
            engine.logger.warning(
                f"{self.path}: all {engine.state.epoch} epochs are done and nothing is trained; to train "
                "further give the model as --pretrained, and another --output_dir."
            )
