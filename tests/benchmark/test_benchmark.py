import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
import torch

from bundle.benchmark import plain_loop, volume_of
from bundle.benchmark.measuring import Clock, measured
from bundle.cases import CaseFolder
from bundle.errors import InputError
from bundle.model import high_frequency
from tests.flows import JUDGED, run, workflow
from tests.heads import write_head


def test_the_plain_loop_finds_what_the_refinement_finds(golden, golden_model):
    """The same noise, and each slice is taken when it stops by itself."""
    image, brain = golden["test/image"], golden["test/brain_mask"]
    detail = high_frequency(image, golden_model.radius)
    whole = tuple(slice(0, size) for size in image.shape[2:])
    passes = []
    golden_model.refiner.register_forward_hook(lambda module, inputs, output: passes.append(len(output)))
    with torch.no_grad():
        plain = plain_loop(golden_model, image, detail, whole, seed=0)
        of_the_plain_loop = sum(passes)
        passes.clear()
        found = golden_model.find_lesions(image, brain, detail, 0, 2)
    assert torch.equal(plain.refined_mask, found.refined_mask) and plain.refined_mask.any()
    assert torch.allclose(plain.reconstruction, found.reconstruction, atol=1e-4)
    last = int(found.hidden_iterations.max())
    assert of_the_plain_loop == last * len(image) > sum(passes) and plain.score is None


def test_time_of_several_threads_is_their_mean():
    module, x = torch.nn.Identity(), torch.zeros(5, 2)
    with Clock(torch.device("cpu")).on(module) as clock, ThreadPoolExecutor(2) as threads:
        # both are in the module at once
        together = threading.Barrier(2)
        module.register_forward_hook(lambda *_: together.wait() and None)
        started = time.perf_counter()
        list(threads.map(module, [x, x]))
        took = time.perf_counter() - started
    assert clock.images == 10 and 0 < clock.seconds <= took


def test_time_in_modules_is_counted_while_one_looks():
    module, x = torch.nn.Linear(2, 2), torch.zeros(5, 2)
    with Clock(torch.device("cpu")).on(module) as clock:
        took = measured(lambda: [module(x), module(x)], torch.device("cpu"), repeats=3)
    module(x)
    assert clock.images == 30 and 0 < took.seconds < 10 and took.peak_mb > 10 and len(took.result) == 2


@pytest.fixture
def weights(tmp_path):
    flow = workflow("infer", ["inference"], **JUDGED)
    flow.initialize()
    model = flow.network_def
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    model.threshold.fill_(0.5)
    model.lesion_threshold.fill_(0.05)
    torch.save(model.state_dict(), tmp_path / "model.pt")
    return str(tmp_path / "model.pt")


def test_the_tables_of_a_run(weights, tmp_path, capsys):
    write_head(tmp_path, "a", 0, lesion=True)
    flow = workflow(
        "infer",
        ["inference", "benchmark"],
        image=str(tmp_path),
        output_dir=str(tmp_path / "out"),
        ckpt_path=weights,
        repeats=1,
        run_id="benchmark",
        **JUDGED,
    )
    flow.initialize()
    flow.run()
    flow.finalize()
    ways = pd.read_csv(tmp_path / "out" / "ways.csv").set_index("way")
    assert list(ways.index[:3]) == ["plain loop, float32", "the same in the window", "default"]
    assert ways["ratio"].iloc[0] == ways["Dice with the plain loop"].iloc[0] == 1
    assert (ways.loc["default", "passes"] == ways["passes"].iloc[3:]).mean() > 0.5
    assert ways["passes"].iloc[0] >= ways.loc["default", "passes"] > 0
    assert ways.loc["float32, not folded", "Dice with the plain loop"] > 0.8
    # the arithmetic is the same; nothing but the window differs
    assert ways.loc["float32, not folded", "Dice with that in the window"] > 0.99
    assert ((ways["in networks"] > 0) & (ways["in networks"] < 1.2)).all()
    stations = pd.read_csv(tmp_path / "out" / "stations.csv").set_index("station")["seconds"]
    assert stations["in all"] == pytest.approx(stations.drop("in all").sum())
    assert {"LoadVolumed", "BrainMaskd", "inferer", "MarkLesionsd"} < set(stations.index)
    assert stations.drop("in all").min() >= 0
    training = pd.read_csv(tmp_path / "out" / "training.csv").set_index("training")
    assert list(training.index) == ["plain loop, float32", "default", "bfloat16 (--amp true)"]
    assert (training[["steps/s", "in networks"]] > 0).all(axis=None)
    assert training["ratio"].iloc[0] == 1
    both = json.loads((tmp_path / "out" / "benchmark.json").read_text())
    assert both["facts"]["repeats"] == 1 and len(both["ways"]) == len(ways)
    # the whole scan was done, and as inference does it: with the correction of the coil's brightness
    same = {"image": str(tmp_path), "ckpt_path": weights, "output_dir": str(tmp_path / "same"), **JUDGED}
    run("infer", ["inference"], **same)
    results = CaseFolder(tmp_path / "out" / "a_flair"), CaseFolder(tmp_path / "same" / "a_flair")
    assert results[0].has("page") and results[0].statistics()["made_from"] == results[1].statistics()["made_from"]
    assert np.array_equal(*(case.volume("score") for case in results))
    assert [case.has("coil_field") for case in results] == [True, True]
    assert "| plain loop, float32 |" in capsys.readouterr().out


def test_one_scan_is_timed(tmp_path):
    """Of several the first was, and nothing was said."""
    scans = [write_head(tmp_path, name, 0)["image"] for name in ("a", "b")]
    assert volume_of(scans[0], "", "", "flair")["image"] == scans[0]
    for several in (scans, {"flair": scans[0], "t1": scans[1]}, str(tmp_path)):
        with pytest.raises(InputError, match="give one scan"):
            volume_of(several, "", "", "flair")
