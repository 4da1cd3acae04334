# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
"""One run that compares ways to refine a volume, and times a whole scan."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from datetime import date
from functools import partial
from pathlib import Path
from types import EllipsisType
from typing import Any, NamedTuple

import pandas as pd
import torch
from monai.engines import Evaluator
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from bundle import __version__
from bundle.benchmark.measuring import Clock, Measured, convolutions_seconds, measured, product_gflops
from bundle.benchmark.plain_loop import plain_loop
from bundle.benchmark.training import TrainingSpeed
from bundle.cases import RunFolder
from bundle.cases.stations import Stopwatch
from bundle.files import write_json, write_whole
from bundle.model import IterativeMaskInferer, IterMaskNet, VolumeResult, brain_window, high_frequency
from bundle.model.inference_network import cpu_dtype, cpu_has_bfloat16, for_inference
from bundle.model.side_by_side import find_side_by_side
from bundle.postprocessing.agreement import agreement
from bundle.preprocessing import BACKGROUND
from bundle.report.markdown import as_markdown


class Way(NamedTuple):
    """A way to refine a volume.

    Attributes:
        name: that the table shows.
        dtype: of the networks.
        batch_size: slices in a network at once.
        threads: of torch.
        folded: whether the networks are those of :py:func:`bundle.model.inference_network.for_inference`.
        channels_last: how the networks lie in memory where they are not folded.
        side_by_side: whether each thread has slices of its own, see :py:mod:`bundle.model.side_by_side`.
    """

    name: str
    dtype: torch.dtype
    batch_size: int
    threads: int
    folded: bool = True
    channels_last: bool = False
    side_by_side: bool = True


def ways(default: Way, on_cpu: bool) -> list[Way]:
    """The default, and what differs from it in one thing."""
    sizes = [default._replace(name=f"batch size {n}", batch_size=n) for n in (1, 4, 8, 16, 32, 128)]
    found = [default, *(way for way in sizes if way.batch_size != default.batch_size)]
    if default.threads > 1:
        found.append(default._replace(name="one thread", threads=1))
        found.append(default._replace(name="threads that share each convolution", side_by_side=False))
    if on_cpu:
        full = default._replace(name="float32", dtype=torch.float32)
        if default.dtype != torch.float32:
            found.append(full)
        elif cpu_has_bfloat16():
            found.append(default._replace(name="bfloat16", dtype=torch.bfloat16))
        found.append(full._replace(name="float32, not folded", folded=False))
        found.append(full._replace(name="float32, not folded, channels last", folded=False, channels_last=True))
    return found


class Benchmark:
    """Compare ways to refine one volume, and time a whole scan.

    Args:
        entry: of the scan, see :py:func:`bundle.benchmark.volume_of`.
        preprocessing: of the scan.
        evaluator: that of the inference, which does the scan and loads the weights.
        inferer: the search alone, with the settings of the default.
        network: the model, on its device.
        run_folder: where the results of the whole scan go; tables go beside them.
        repeats: how often each way is timed; the fastest counts.
        training: of the same slices, as if they were healthy.
    """

    def __init__(
        self,
        entry: Mapping[str, Any],
        preprocessing: Callable[[dict[str, Any]], dict[str, Any]],
        evaluator: Evaluator,
        inferer: IterativeMaskInferer,
        network: IterMaskNet,
        run_folder: RunFolder,
        repeats: int,
        training: TrainingSpeed,
    ) -> None:
        self.entry = entry
        self.training = training
        self.preprocessing = preprocessing
        self.evaluator = evaluator
        self.inferer = inferer
        self.network = network
        self.device = network.threshold.device
        self.run_folder = run_folder
        self.repeats = repeats

    def run(self) -> None:
        """Measure, print the tables, and write them (``benchmark.md``, ``benchmark.json``, three of CSV).

        Raises:
            InputError: when the scan cannot be done.
        """
        stations = self.whole_scan()
        with self.run_folder.opened():
            self.network.eval()
            table, gflops = self.compare()
            learning = self.training.compare(self._slices())
            facts = {**self.facts(), **gflops}
            text = "\n".join(
                (
                    *(f"* {name}: {value}" for name, value in facts.items()),
                    "",
                    "\n".join(as_markdown(rows, ".3g") for rows in (table, stations, learning)),
                )
            )
            folder = self.run_folder.path
            write_whole(folder / "benchmark.md", text + "\n")
            write_whole(folder / "ways.csv", table.to_csv(index=False))
            write_whole(folder / "stations.csv", stations.to_csv(index=False))
            write_whole(folder / "training.csv", learning.to_csv(index=False))
            tables = {"ways": table, "stations": stations, "training": learning}
            records = {name: rows.to_dict("records") for name, rows in tables.items()}
            write_json(folder / "benchmark.json", {"facts": facts, **records})
            print(f"\n{text}\n\nTables: {folder.resolve()}")

    def whole_scan(self) -> pd.DataFrame:
        """Seconds of each station of the scan, from its file to its report, as every run does it."""
        watch = Stopwatch()
        self.evaluator.run()
        whole = watch.read()
        self.run_folder.check()
        # another name where the folder holds another scan of that name
        (case,) = self.run_folder.entries
        stations = self.run_folder.case(case).statistics()["stations"]
        rows = pd.DataFrame.from_dict(stations, orient="index")
        rows.loc["weights, saving, pictures, report"] = pd.Series(whole) - rows.sum()
        rows.loc["in all"] = pd.Series(whole)
        rows["share"] = rows["seconds"] / whole["seconds"]
        return rows.rename_axis("station").reset_index()

    def facts(self) -> dict[str, Any]:
        """The computer, the versions, and the day."""
        names = [line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
        processor = f"{(names or [platform.processor()])[0]}, {torch.get_num_threads()} threads"
        gpu = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else ""
        return {
            "date": date.today().isoformat(),
            "scan": self.entry["case"],
            "hardware": ", ".join(filter(None, (gpu, processor))),
            "bfloat16 in the processor": cpu_has_bfloat16(),
            "versions": f"bundle {__version__}, torch {torch.__version__}, Python {platform.python_version()}",
            "repeats": self.repeats,
        }

    def _slices(self) -> Tensor:
        """Those of the volume, D x 1 x H x W, as the networks see them."""
        return self.preprocessing(dict(self.entry))["image"].as_tensor().to(self.device).movedim(-1, 0)

    def compare(self) -> tuple[pd.DataFrame, dict[str, Any]]:
        """One row per way, and the arithmetic per second of this computer.

        The first way is the plain loop, the second is the same in the window around the brain: what the masks of the
        others owe to that window, and what to their arithmetic.
        """
        slices = self._slices()
        window = brain_window(slices > BACKGROUND, self.inferer.crop_multiple)
        detail = high_frequency(slices, self.network.radius)
        on_cpu = self.device.type == "cpu"
        dtype = cpu_dtype(self.inferer.cpu_precision) if on_cpu else torch.float32
        default = Way("default", dtype, self.inferer.batch_size, torch.get_num_threads(), folded=on_cpu)
        one = torch.zeros(1, 2, *(s.stop - s.start for s in window), device=self.device)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            self.network.refiner(one)
        gflop = counter.get_total_flops() / 1e9
        share = slices[0].numel() / one[0, 0].numel()

        part: tuple[EllipsisType | slice, ...] = (..., *window)

        def plain() -> VolumeResult:
            return plain_loop(self.network, slices, detail, window, self.inferer.seed)

        def in_window() -> VolumeResult:
            everywhere = (slice(None), slice(None))
            return plain_loop(self.network, slices[part], detail[part], everywhere, self.inferer.seed)

        with torch.no_grad():
            took, clock = self._measured(plain, self.network)
            inner, inner_clock = self._measured(in_window, self.network)
            masks = self._marked(took.result)[part], self._marked(inner.result)
            rows = [
                self._row("plain loop, float32", took, clock, len(slices), took, gflop * share, masks[0], masks),
                self._row("the same in the window", inner, inner_clock, len(slices), took, gflop, masks[1], masks),
            ]
            for way in ways(default, on_cpu):
                rows.append(self._of_way(way, slices[part], detail[part], took, gflop, masks))
            peak = product_gflops(dtype, self.device)
            net = for_inference(self.network, dtype).refiner if on_cpu else self.network.refiner
            batch = one.expand(default.batch_size, -1, -1, -1).contiguous()
            net(batch)
            alone = convolutions_seconds(net, batch)
        return pd.DataFrame(rows), {
            "GFLOP of one slice in one network": round(gflop, 3),
            f"GFLOP per second of a matrix product, {str(dtype)[6:]}": round(peak),
            "GFLOP per second of the convolutions alone": round(gflop * default.batch_size / alone),
            "share of the matrix product's, default": round(rows[2]["GFLOP/s in networks"] / peak, 2),
        }

    def _of_way(
        self, way: Way, image: Tensor, detail: Tensor, plain: Measured, gflop: float, masks: tuple[Tensor, Tensor]
    ) -> dict[str, Any]:
        brain, seed = image > BACKGROUND, self.inferer.seed
        threads = torch.get_num_threads()
        torch.set_num_threads(way.threads)
        network = self.network
        if way.folded:
            network = for_inference(network, way.dtype)
        elif way.channels_last:
            network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        try:
            find = partial(find_side_by_side, network) if way.side_by_side else network.find_lesions
            took, clock = self._measured(lambda: find(image, brain, detail, seed, way.batch_size), network)
        finally:
            torch.set_num_threads(threads)
            self.network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        return self._row(way.name, took, clock, len(image), plain, gflop, self._marked(took.result), masks)

    def _marked(self, found: VolumeResult) -> Tensor:
        """What scores above the lowest threshold; without a judge the mask that the refinement left."""
        return found.refined_mask > 0 if found.score is None else found.score > self.network.lesion_threshold

    def _measured(self, work: Callable[[], Any], network: IterMaskNet) -> tuple[Measured, Clock]:
        """What the work took, and time in the networks of one more time."""
        nets = [net for net in (network.initial, network.refiner, network.judge) if net is not None]
        took = measured(work, self.device, self.repeats)
        with Clock(self.device).on(*nets) as clock:
            whole = measured(work, self.device)
        clock.seconds *= took.seconds / whole.seconds
        return took, clock

    @staticmethod
    def _row(
        name: str,
        took: Measured,
        clock: Clock,
        slices: int,
        plain: Measured,
        gflop: float,
        found: Tensor,
        masks: tuple[Tensor, Tensor],
    ) -> dict[str, Any]:
        whole, windowed = (round(agreement(found.cpu().numpy(), mask.cpu().numpy()), 4) for mask in masks)
        return {
            "way": name,
            "seconds": round(took.seconds, 3),
            "CPU seconds": round(took.cpu_seconds, 3),
            "slices/s": round(slices / took.seconds, 1),
            "passes": clock.images,
            "ratio": round(plain.seconds / took.seconds, 2),
            "in networks": round(clock.seconds / took.seconds, 2),
            "GFLOP/s in networks": round(clock.images * gflop / clock.seconds),
            "Dice with the plain loop": whole,
            "Dice with that in the window": windowed,
            "peak MB": round(took.peak_mb),
        }


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).exists() else []
