# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""Several contrasts of one scan: a model for each, and what their judges say together.

No part of the published method.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine
from monai.inferers import Inferer
from monai.utils import convert_to_dst_type, convert_to_tensor
from torch import Tensor, nn

from bundle.errors import InputError
from bundle.model.checkpoint import ModelLoader
from bundle.model.contrast import lesion_contrast
from bundle.model.lesion_score import score_kind
from bundle.model.refinement import IterMaskNet
from bundle.preprocessing.intensities import BACKGROUND


def together(
    probabilities: Mapping[str, Tensor], seen: Mapping[str, Tensor], shares: Mapping[str, float], doubt: float
) -> Tensor:
    """One probability of a lesion from those of several contrasts: the weighted mean of their log-odds.

    No label chooses anything here; the shares are settings.

    Args:
        probabilities: 0 to 1, by contrast, all of one shape.
        seen: bool, by contrast: where it shows tissue; elsewhere it has no say.
        shares: weight of each contrast.
        doubt: no judge counts as surer than this far from 0 and from 1, so that none that sees nothing rules out what
            another one sees.

    Returns:
        Tensor: float32, 0 where no contrast shows tissue.
    """
    total: Tensor | float = 0.0
    weight: Tensor | float = 0.0
    for name, probability in probabilities.items():
        share = shares[name] * seen[name].float()
        total = total + share * torch.logit(probability.float(), eps=doubt)
        weight = weight + share
    weight = torch.as_tensor(weight)
    return torch.where(weight > 0, torch.sigmoid(total / weight.clamp(min=1e-6)), 0.0)


class ContrastNetworks(nn.Module):
    """A model for each contrast, of one architecture.

    Args:
        network: whose architecture and settings they have; its weights are not used.
        scales_by_score: ``judge_scales`` of the models of the further contrasts, by what their score is made of; the
            leading one has those of ``network``.
        leading: the contrast of the scan itself, on whose image the lesions are marked.
        contrasts: all of them, words of ``--modality``.

    Raises:
        InputError: when the leading contrast is none of them, or the network has no judge.
    """

    def __init__(
        self,
        network: IterMaskNet,
        scales_by_score: Mapping[str, Sequence[float]],
        leading: str,
        contrasts: Mapping[str, Any],
    ) -> None:
        super().__init__()
        if leading not in contrasts:
            raise InputError(f"--modality {leading}: there are no weights for it; give one of {', '.join(contrasts)}.")
        if network.judge is None:
            raise InputError("Several contrasts together need the judges of their models; leave --judge as it is.")
        self.leading = leading
        self.networks = nn.ModuleDict({name: _for_contrast(network, name) for name in contrasts})
        for name, model in self.networks.items():
            if name != leading:
                model.judge_scales = [float(scale) for scale in scales_by_score[model.score]]  # type: ignore[index, assignment]

    @property
    def lead(self) -> IterMaskNet:
        """The model of the leading contrast."""
        return self.networks[self.leading]  # type: ignore[return-value]


def _for_contrast(network: IterMaskNet, modality: str) -> IterMaskNet:
    model = copy.deepcopy(network)
    model.contrast = lesion_contrast(modality)
    model.card |= {"modality": modality, "contrast": model.contrast, "score": score_kind(modality)}
    model.score = model.card["score"]
    return model


def weights_of_contrasts(names: Mapping[str, str], folder: str, leading: str, leading_path: str) -> dict[str, str]:
    """The paths of the weights by contrast.

    Args:
        names: files in ``folder``, or paths, by contrast.
        folder: where the weights that ship are.
        leading: the contrast that leads.
        leading_path: its weights.
    """
    return {**{name: str(Path(folder) / path) for name, path in names.items()}, leading: leading_path}


class ContrastWeights:
    """Load the weights of each contrast, see :py:class:`bundle.model.checkpoint.ModelLoader`.

    Args:
        paths: of the weights, by contrast.
        model: into which they go.
    """

    def __init__(self, paths: Mapping[str, str], model: ContrastNetworks) -> None:
        self.loaders = [ModelLoader(paths[name], network) for name, network in model.networks.items()]  # type: ignore[arg-type]

    def attach(self, engine: Engine) -> None:
        for loader in self.loaders:
            loader.attach(engine)


class TogetherInferer(Inferer):
    """Find lesions in a scan by all contrasts that there are of it.

    Args:
        lead: inferer for the leading contrast.
        others: inferer for the others.
        shares: see :py:func:`together`.
        doubt: the same.
    """

    def __init__(self, lead: Inferer, others: Inferer, shares: Mapping[str, float], doubt: float) -> None:
        self.lead = lead
        self.others = others
        self.shares = dict(shares)
        self.doubt = doubt

    def __call__(
        self,
        inputs: Tensor,
        network: ContrastNetworks,
        contrasts: Mapping[str, Tensor] | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """
        Args:
            inputs: 1 x 1 x H x W x D, the leading contrast, see :py:class:`bundle.model.inferer.IterativeMaskInferer`.
            network: the models.
            contrasts: further ones by name, of the same shape.

        Returns:
            dict: what ``lead`` gives, but for ``seconds``, which are of all. With further contrasts
            ``joint_probability``, of all together, the shape of ``inputs``; where the leading model scores by
            probability, it is the ``score`` too.
        """
        found = self.lead(inputs, network.lead)
        if not contrasts:
            return found
        volumes = {network.leading: inputs, **contrasts}
        probabilities = {network.leading: found["probability"]}
        for name, volume in contrasts.items():
            other = self.others(volume.to(inputs.device), network.networks[name])
            probabilities[name] = other["probability"]
            found["refinement"]["seconds"] = found["refinement"]["seconds"] + other["refinement"]["seconds"]
        plain = {name: convert_to_tensor(volume, track_meta=False) for name, volume in probabilities.items()}
        seen = {
            name: convert_to_tensor(volume, track_meta=False).to(inputs.device) > BACKGROUND
            for name, volume in volumes.items()
        }
        joint = convert_to_dst_type(together(plain, seen, self.shares, self.doubt), inputs)[0]
        by_probability = {"score": joint} if network.lead.score == "probability" else {}
        return {**found, "joint_probability": joint, **by_probability}
