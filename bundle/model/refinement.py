# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""Iterative refinement: the mask that hides the whole brain shrinks onto what the networks cannot explain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Optional

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bundle.errors import InputError
from bundle.model.card import CARD, card_tensor, read_card
from bundle.model.contrast import CONTRASTS, reconstruction_error
from bundle.model.frequency import high_frequency
from bundle.model.lesion_score import SCORES, lesion_score
from bundle.model.noise import addressed_noise
from bundle.preprocessing.intensities import BACKGROUND


class RefinementResult(NamedTuple):
    """What the refinement of B images gives; images are B x 1 x H x W (or D x H x W).

    Attributes:
        mask: bool, the lesion mask: the pixels that were still hidden when the image stopped.
        reconstruction: float32, the last reconstruction of the image, made with ``mask`` hidden.
        hidden_iterations: int16, for how many iterations each pixel was hidden. The mask of iteration t (from 1) is
            ``(hidden_iterations >= t) | mask``, so this one image holds the whole course of the refinement.
        iterations: int64, shape B, the iterations that each image took.
        converged: bool, shape B, False where an image was stopped by the cap on iterations.
        initial_error: float32, the error of the initial network within the brain; zero where a first mask was given.
    """

    mask: Tensor
    reconstruction: Tensor
    hidden_iterations: Tensor
    iterations: Tensor
    converged: Tensor
    initial_error: Tensor


class VolumeResult(NamedTuple):
    """What is found in the D slices of one volume; all D x 1 x H x W, float32.

    Attributes:
        refined_mask: 0 or 1, the pixels that were still hidden when their slice stopped.
        error: squared error of the last reconstruction within the brain, in the direction of the contrast.
        reconstruction: the last reconstruction.
        hidden_iterations: for how many iterations each pixel was hidden.
        initial_error: the error of the initial network within the brain.
        score: of :py:func:`bundle.model.lesion_score.lesion_score`; None from a model without a judge.
        probability: of a lesion, by the judge, 0 outside the brain; None from a model without one.
    """

    refined_mask: Tensor
    error: Tensor
    reconstruction: Tensor
    hidden_iterations: Tensor
    initial_error: Tensor
    score: Optional[Tensor]
    probability: Optional[Tensor]


def start_mask(error: Tensor, brain_mask: Tensor, fraction: float) -> Tensor:
    """Hide the ``fraction`` of brain pixels with the largest error (paper section 2.3, iteration 0).

    Args:
        error: B x 1 x H x W (or D x H x W), not negative.
        brain_mask: bool, the shape of ``error``.
        fraction: share of the brain pixels of each image to hide, 0 to 1.

    Returns:
        Tensor: bool, the brain pixels whose error is strictly above the k-th smallest of the brain, k being the share
        ``1 - fraction`` of its size, rounded down.
    """
    errors = torch.where(brain_mask, error, -1.0).flatten(1)
    size = brain_mask.flatten(1).sum(dim=1, keepdim=True)
    k = (size.double() * (1.0 - fraction)).long()
    # brain first, from the largest error down, then the background; the pad stands for "below everything"
    ordered = F.pad(torch.sort(errors, dim=1, descending=True)[0], [0, 1], value=-1.0)
    return (errors > ordered.gather(1, size - k)).reshape(error.shape)


class IterMaskNet(nn.Module):
    """The whole model: both networks, the threshold that belongs to them, and the refinement that uses them.

    The state dict holds ``initial.*``, ``refiner.*``, ``judge.*`` where there is one, ``threshold``,
    ``lesion_threshold`` and the card (:py:mod:`bundle.model.card`). Until calibration sets it the threshold is NaN, and
    nothing is ever unmasked.

    Args:
        initial: network from the high-frequency image to a reconstruction (1 channel in, 1 out). Used once an image.
        refiner: network from the visible image and the high-frequency image to a reconstruction (2 channels in, 1 out).
        radius: low frequencies, in pixels of the spectrum, that :py:func:`high_frequency` whitens.
        start_fraction: share of the brain hidden at the first iteration.
        stop_ratio: an image stops when its mask shrinks by less than this share of itself.
        max_iterations: cap on the iterations of an image.
        contrast: in which direction lesions differ: "bright", "dark" or "any", see :py:func:`reconstruction_error`.
        score_sigma: see :py:func:`bundle.model.lesion_score.robust_intensity`.
        score_limit: see :py:func:`bundle.model.lesion_score.lesion_score`.
        score: "intensity" or "probability", see :py:func:`bundle.model.lesion_score.lesion_score`.
        judge_scales: sizes at which the judge looks at an image, as multiples of its own, see
            :py:meth:`lesion_probability`.
        multiple: which the sides of what the judge looks at must be, as its levels need it.
        judge: network from the image and its last reconstruction to the logit of a lesion (2 channels in, 1 out),
            trained on synthetic lesions; no part of the published method. None to go without.
        card: for which images the weights are: ``modality``, and settings by name. It is saved with the weights. That
            of a checkpoint is not taken over, see :py:class:`bundle.model.checkpoint.ModelLoader`.

    Raises:
        InputError: when ``contrast`` or ``score`` is none of these.
    """

    if TYPE_CHECKING:  # TorchScript cannot read annotations of a class here
        threshold: Tensor
        lesion_threshold: Tensor

    def __init__(
        self,
        initial: nn.Module,
        refiner: nn.Module,
        radius: float,
        start_fraction: float,
        stop_ratio: float,
        max_iterations: int,
        contrast: str,
        score_sigma: float,
        score_limit: float,
        score: str,
        judge_scales: Sequence[float],
        multiple: int,
        judge: Optional[nn.Module] = None,
        card: Optional[Mapping[str, Any]] = None,
    ) -> None:
        super().__init__()
        if contrast not in CONTRASTS:
            raise InputError(f"{contrast}: no such contrast; give --contrast as one of {', '.join(CONTRASTS)}.")
        if score not in SCORES:
            raise InputError(f"{score}: no such score; give --score as one of {', '.join(SCORES)}.")
        self.initial = initial
        self.refiner = refiner
        self.judge = judge
        self.radius = float(radius)
        self.start_fraction = float(start_fraction)
        self.stop_ratio = float(stop_ratio)
        self.max_iterations = int(max_iterations)
        self.contrast = contrast
        self.score_sigma = float(score_sigma)
        self.score_limit = float(score_limit)
        self.score = score
        self.judge_scales = [float(scale) for scale in judge_scales]
        self.multiple = int(multiple)
        self.card = dict(card or {})
        # TorchScript reads no global variable
        self.background = BACKGROUND
        # squared error above which a hidden pixel stays hidden
        self.register_buffer("threshold", torch.tensor(float("nan")))
        # lesion score above which a pixel is marked
        self.register_buffer("lesion_threshold", torch.tensor(float("nan")))

    def get_extra_state(self) -> Tensor:
        """The card, as it goes into the state dict."""
        return card_tensor(self.card)

    def set_extra_state(self, state: Tensor) -> None:
        """Leave the card of a checkpoint alone, and refuse one for images of another modality.

        Not every program that loads weights reads their card: MONAI Label takes the first file of a folder.

        Raises:
            InputError: when the modality is another one.
        """
        theirs, own = read_card({CARD: state}).get("modality"), self.card.get("modality")
        if theirs and own and theirs != own:
            raise InputError(f"These weights are for {theirs} images, and this model is for {own}; give others.")

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *args: Any) -> None:
        # checkpoints of version 0.4 and before have no card
        state_dict.setdefault(prefix + CARD, card_tensor({}))
        super()._load_from_state_dict(state_dict, prefix, *args)

    def forward(self, image: Tensor) -> Tensor:
        """Segment preprocessed images or volumes, as an exported model is used; the result of one depends on no other.

        Args:
            image: B x 1 x H x W, or B x 1 x H x W x D with the slices along the last axis; normalised intensities,
                ``BACKGROUND`` exactly where there is no brain.

        Returns:
            Tensor: float32, two channels and the size of ``image``: channel 0 background, channel 1 lesion, 0 or 1;
            what scores above ``lesion_threshold``, or without a judge the mask that the refinement left. A volume's own
            threshold and the cleaning (:py:mod:`bundle.postprocessing.mark_lesions`) are not part of it.
        """
        volumes = image if image.ndim == 5 else image.unsqueeze(-1)
        masks = []
        for volume in volumes.unbind(0):
            slices = volume.movedim(-1, 0)
            brain = slices > self.background
            found = self.find_lesions(slices, brain, high_frequency(slices, self.radius), 0, len(slices))
            mask = found.refined_mask > 0
            score = found.score
            if score is not None:
                mask = (score > self.lesion_threshold) & brain
            masks.append(torch.cat([~mask, mask], dim=1).float().movedim(0, -1))
        result = torch.stack(masks)
        return result if image.ndim == 5 else result.squeeze(-1)

    @torch.jit.export
    def find_lesions(
        self, image: Tensor, brain_mask: Tensor, detail: Tensor, seed: int, batch_size: int
    ) -> VolumeResult:
        """From the slices of one volume to all that is found in them.

        Args:
            image: normalised intensities, D x 1 x H x W.
            brain_mask: bool, the shape of ``image``.
            detail: the high-frequency image, the shape of ``image``.
            seed: of the noise; each slice has its own, a function of this seed and of its place in the volume.
            batch_size: slices refined together; limits the memory that is needed.
        """
        # TorchScript has no defaults between its methods
        found = self.refine(
            image=image,
            brain_mask=brain_mask,
            seeds=self.seeds_of_slices(image, seed),
            noise=None,
            start=None,
            known_normal=None,
            known_abnormal=None,
            threshold=None,
            max_iterations=None,
            detail=detail,
            batch_size=batch_size,
        )
        probability = self.probability_of_slices(image, found.reconstruction, batch_size)
        return self.volume_result(image, brain_mask, found, probability)

    @torch.jit.export
    def seeds_of_slices(self, image: Tensor, seed: int) -> Tensor:
        """One integer for each of the slices of a volume, from which its noise is made, int64."""
        return torch.arange(len(image), device=image.device) + 1_000_000 * seed

    @torch.jit.export
    def probability_of_slices(self, image: Tensor, reconstruction: Tensor, batch_size: int) -> Optional[Tensor]:
        """:py:meth:`lesion_probability` of many slices, a batch at a time; None from a model without a judge."""
        if self.judge is None:
            return None
        pairs = zip(image.split(batch_size), reconstruction.split(batch_size))
        return torch.cat([self.lesion_probability(part, painted) for part, painted in pairs])

    @torch.jit.export
    def volume_result(
        self, image: Tensor, brain_mask: Tensor, found: RefinementResult, probability: Optional[Tensor]
    ) -> VolumeResult:
        """What is found in a volume, from what the refinement of all its slices gave.

        Args:
            image: normalised intensities, D x 1 x H x W.
            brain_mask: bool, the shape of ``image``.
            found: of all slices.
            probability: of :py:meth:`probability_of_slices`.
        """
        score: Optional[Tensor] = None
        if probability is not None:
            probability = probability * brain_mask
            score = lesion_score(
                probability, image, brain_mask, self.contrast, self.score_sigma, self.score_limit, self.score
            )
        return VolumeResult(
            found.mask.float(),
            reconstruction_error(image, found.reconstruction, self.contrast) * brain_mask,
            found.reconstruction,
            found.hidden_iterations.float(),
            found.initial_error,
            score,
            probability,
        )

    @torch.jit.export
    def lesion_probability(self, image: Tensor, reconstruction: Tensor) -> Tensor:
        """The judge's probability that each pixel is part of a lesion, by all its scales together.

        The square root of the probability makes the lesion score, so it is the square roots that are averaged: what one
        scale alone calls a lesion weighs less than in the mean of the probabilities.

        Args:
            image: normalised intensities, B x 1 x H x W.
            reconstruction: the last one of the refinement.

        Returns:
            Tensor: float32, the shape of ``image``, 0 to 1; 0 everywhere from a model without a judge.
        """
        pair = torch.cat([image, reconstruction], dim=1)
        if len(self.judge_scales) == 1:
            return self.judged(pair, self.judge_scales[0])
        root = torch.zeros_like(image, dtype=torch.float32)
        for scale in self.judge_scales:
            root = root + self.judged(pair, scale).sqrt()
        return (root / len(self.judge_scales)).square()

    @torch.jit.export
    def judged(self, pair: Tensor, scale: float) -> Tensor:
        """The judge's probability at one scale.

        Args:
            pair: images and reconstructions, B x 2 x H x W.
            scale: at which the judge looks, as a multiple of H and W.

        Returns:
            Tensor: float32, B x 1 x H x W.
        """
        if self.judge is None:
            return torch.zeros_like(pair[:, :1], dtype=torch.float32)
        if scale == 1.0:
            return self.judge(pair).float().sigmoid()
        height, width = int(scale * pair.shape[2] + 0.5), int(scale * pair.shape[3] + 0.5)
        scaled = F.interpolate(pair.float(), size=[height, width], mode="bicubic", align_corners=False)
        # what bicubic interpolation makes of the rim of a brain may be below the background
        scaled = scaled.clamp(min=self.background)
        padding = [0, -width % self.multiple, 0, -height % self.multiple]
        seen = self.judge(F.pad(scaled, padding, value=self.background)).float().sigmoid()
        return F.interpolate(seen[:, :, :height, :width], size=[pair.shape[2], pair.shape[3]], mode="area")

    @torch.jit.export
    def refine(
        self,
        image: Tensor,
        brain_mask: Tensor,
        seeds: Tensor,
        noise: Optional[Tensor] = None,
        start: Optional[Tensor] = None,
        known_normal: Optional[Tensor] = None,
        known_abnormal: Optional[Tensor] = None,
        threshold: Optional[Tensor] = None,
        max_iterations: Optional[int] = None,
        detail: Optional[Tensor] = None,
        batch_size: Optional[int] = None,
    ) -> RefinementResult:
        """Shrink the mask of each image until it stops (paper section 2.3).

        Images that have stopped leave the batch, and those that wait take their places. The stop test is the only
        host-device synchronisation of an iteration.

        Args:
            image: normalised intensities, B x 1 x H x W (B x 1 x D x H x W with three-dimensional networks).
            brain_mask: bool, the shape of ``image``.
            seeds: one integer an image, shape B, from which its noise is made.
            noise: T x B x 1 x H x W, noise to use in the place of seeded noise, one entry an iteration.
            start: bool, the shape of ``image``: the first mask, in the place of the one from the initial network.
            known_normal: bool, the shape of ``image``: pixels that are never hidden.
            known_abnormal: bool, the shape of ``image``: pixels that are never unmasked.
            threshold: scalar to use in the place of the calibrated one.
            max_iterations: cap to use in the place of the model's.
            detail: the high-frequency image, where ``image`` is only a part of the slice that it must come from.
            batch_size: most images that are in a network at once; None for all.

        Returns:
            RefinementResult: the masks, reconstructions and course of all images.
        """
        limit = self.threshold if threshold is None else threshold
        cap = self.max_iterations if max_iterations is None else max_iterations
        if detail is None:
            detail = high_frequency(image, self.radius)
        number = image.shape[0]
        most = max(1, number) if batch_size is None else batch_size
        initial_error = torch.zeros_like(detail)
        if start is None:
            painted = torch.cat([self.initial(part).float() for part in detail.split(most)])
            initial_error = reconstruction_error(image, painted, self.contrast) * brain_mask
            start = start_mask(initial_error, brain_mask, self.start_fraction)
        always = torch.zeros_like(brain_mask) if known_abnormal is None else known_abnormal & brain_mask
        mask = (start & brain_mask) | always
        if known_normal is not None:
            mask = mask & ~known_normal
            always = always & ~known_normal

        reconstruction = image.clone()
        hidden_iterations = torch.zeros_like(mask, dtype=torch.int16)
        iterations = torch.zeros(number, dtype=torch.int64, device=image.device)
        converged = torch.zeros(number, dtype=torch.bool, device=image.device)

        begun = min(most, number)
        active = torch.arange(begun, device=image.device)
        while active.numel() > 0:
            seen, hidden, step = image[active], mask[active], iterations[active]
            fill = addressed_noise(seeds[active], step, seen) if noise is None else noise[step, active]
            visible = torch.where(hidden, fill, seen)
            reconstructed = self.refiner(torch.cat([visible, detail[active]], dim=1)).float()
            # "not shown to be normal" rather than "abnormal": an error or a threshold that is NaN unmasks nothing
            error = reconstruction_error(seen, reconstructed, self.contrast)
            shrunk = (~(error <= limit) & hidden) | always[active]

            before = hidden.flatten(1).sum(dim=1)
            shrinkage = (before - shrunk.flatten(1).sum(dim=1)) / before.clamp(min=1)
            stopped = shrinkage < self.stop_ratio
            ended = stopped | (step + 1 >= cap)

            # the result of an image is what was hidden when it ended
            mask[active] = torch.where(ended.reshape([-1] + [1] * (image.ndim - 1)), hidden, shrunk)
            reconstruction[active] = reconstructed
            hidden_iterations[active] += hidden.to(torch.int16)
            iterations[active] = step + 1
            converged[active] = stopped

            going = (~ended).nonzero().flatten()
            last = min(begun + most - going.numel(), number)
            active = torch.cat([active[going], torch.arange(begun, last, device=image.device)])
            begun = last
        return RefinementResult(mask, reconstruction, hidden_iterations, iterations, converged, initial_error)
