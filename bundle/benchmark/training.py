# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""How fast both networks learn: steps per second of the bundle's training, and of a plain loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import pandas as pd
import torch
from monai.bundle import ConfigParser
from monai.engines import SupervisedTrainer
from torch import Tensor

from bundle.benchmark.measuring import measured


class TrainingSpeed:
    """Train both networks for a few steps, as the bundle does and in a plain loop.

    The plain loop is that of the authors' program: whole slices in float32, nothing but forward, backward and the
    optimizer. The bundle's training is MONAI's trainer with the parts of the config: slices are cut to the brain,
    lesions are painted, and a mean of the weights is kept. Reading slices is in neither: they are in memory.

    Args:
        config: path of the config of the training.
        values: of keys of this config, such as the sizes of the networks.
        steps: that are timed, after one that is not.
    """

    def __init__(self, config: str, values: Mapping[str, Any], steps: int) -> None:
        self.config = config
        self.values = values
        self.steps = steps

    def _parts(self, device: torch.device, **values: Any) -> ConfigParser:
        parser = ConfigParser()
        parser.read_config(self.config)
        for name, value in {**self.values, "device": device, **values}.items():
            parser[name] = value
        torch.manual_seed(0)
        return parser

    def compare(self, slices: Tensor) -> pd.DataFrame:
        """Time the ways to train.

        Args:
            slices: normalised, D x 1 x H x W; as many as a batch needs are taken evenly, again where there are fewer.

        Returns:
            DataFrame: a row per way; ``in networks`` is the share of a step that is forward, backward and optimizer.
        """
        size = int(self._parts(slices.device).get_parsed_content("batch_size"))
        batch = {"image": slices[torch.arange(size, device=slices.device) * len(slices) // size]}
        ways: dict[str, dict[str, Any]] = {
            "plain loop, float32": {"crop_multiple": None, "amp": False},
            "default": {},
            "bfloat16 (--amp true)": {"amp": True},
        }
        rows = [self._row(way, batch, self._parts(slices.device, **values)) for way, values in ways.items()]
        table = pd.DataFrame(rows)
        table["ratio"] = (table["steps/s"] / table["steps/s"][0]).round(2)
        return table

    def _row(self, way: str, batch: dict[str, Tensor], parts: ConfigParser) -> dict[str, Any]:
        names = ("network", "train#loss", "optimizer", "train#prepare_batch", "device", "amp")
        pair, loss, optimizer, prepare, device, amp = (parts.get_parsed_content(name) for name in names)
        pair.train()

        def learn(inputs: Tensor, label: Tensor) -> None:
            optimizer.zero_grad()
            with torch.autocast(device.type, torch.bfloat16, enabled=amp):
                value = loss(pair(inputs), label)
            value.backward()
            optimizer.step()

        steps: Callable[[], Any]
        if way.startswith("plain"):
            steps = partial(_each, [batch] * self.steps, lambda part: learn(*prepare(part, device)))
        else:
            trainer = SupervisedTrainer(
                device=device,
                max_epochs=1,
                train_data_loader=[batch] * self.steps,  # type: ignore[arg-type]  # any that can be gone through
                network=pair,
                optimizer=optimizer,
                loss_function=loss,
                inferer=parts.get_parsed_content("train#inferer"),
                prepare_batch=prepare,
                key_train_metric=parts.get_parsed_content("train#key_metric"),
                train_handlers=[parts.get_parsed_content("ema")],
                amp=amp,
                amp_kwargs=parts.get_parsed_content("train#trainer#amp_kwargs"),
            )
            steps = trainer.run
        ready = prepare(batch, device)
        learn(*ready)
        took = measured(steps, device)
        within = measured(partial(_each, [ready] * self.steps, lambda pair: learn(*pair)), device)
        return {
            "training": way,
            "steps/s": round(self.steps / took.seconds, 3),
            "CPU seconds per step": round(took.cpu_seconds / self.steps, 3),
            # busy neighbours change seconds from one step to the next
            "in networks": round(
                within.cpu_seconds / took.cpu_seconds if device.type == "cpu" else within.seconds / took.seconds, 3
            ),
            "peak MB": round(took.peak_mb),
        }


def _each(items: list, work: Callable[[Any], None]) -> None:
    for item in items:
        work(item)
