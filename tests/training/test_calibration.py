from types import SimpleNamespace

import pytest
import torch
from ignite.engine import Engine, Events
from monai.engines import IterationEvents

from bundle.model.frequency import high_frequency
from bundle.preprocessing import BACKGROUND
from bundle.training.calibration import LesionThreshold, StoreThreshold, ThresholdMetric, healthy_threshold


def test_recorded_run(golden, golden_model):
    image, masked = golden["validation/image"], golden["validation/masked"]
    inputs = torch.cat([torch.where(masked, golden["validation/noise"], image), high_frequency(image, 15)], dim=1)
    with torch.no_grad():
        reconstruction = golden_model.refiner(inputs)
    error = (image - reconstruction) ** 2
    assert torch.allclose(error, golden["validation/squared_error"], atol=1e-4)
    threshold = healthy_threshold(error[masked], 80)
    assert float(threshold) == pytest.approx(float(golden["validation/threshold"]), rel=1e-5)

    metric = ThresholdMetric(80, "any")
    label = torch.cat([image, masked.float()], dim=1)
    for part in (slice(0, 3), slice(3, 8)):
        metric(torch.cat([torch.zeros_like(image), reconstruction], dim=1)[part], label[part])
    assert float(metric.aggregate()) == float(threshold)


def test_percentile_is_the_kth_value_rounded_down():
    errors = torch.tensor([5.0, 1.0, 4.0, 2.0, 3.0])
    assert [float(healthy_threshold(errors, p)) for p in (10, 39, 40, 79, 80, 100)] == [1, 1, 2, 3, 4, 5]


def test_models_are_given_the_threshold(golden_model):
    engine = Engine(lambda *_: None)
    engine.state.metrics = {}
    StoreThreshold([golden_model]).attach(engine)
    engine.add_event_handler("EPOCH_STARTED", lambda e: e.state.metrics.update(threshold=0.25))
    engine.run([0])
    assert float(golden_model.threshold) == 0.25


@pytest.mark.parametrize(("lowest", "expected"), [(0.1, 0.8), (0.9, 0.9)])
def test_the_threshold_of_a_judge_is_a_percentile_of_the_brain_and_no_lower_than_the_lowest(lowest, expected):
    model = SimpleNamespace(lesion_threshold=torch.tensor(float("nan")))
    image = torch.full((1, 1, 1, 20), BACKGROUND)
    image[..., :10] = 0.0
    # what is not brain scores higher, and does not count
    score = torch.arange(1, 21).reshape(image.shape) / 10
    engine = Engine(lambda *_: [{"image": image, "score": score}])
    engine.register_events(*IterationEvents)
    engine.add_event_handler(Events.ITERATION_COMPLETED, lambda e: e.fire_event(IterationEvents.MODEL_COMPLETED))
    LesionThreshold(model, 80, lowest).attach(engine)
    engine.run([0], max_epochs=2)
    assert float(model.lesion_threshold) == pytest.approx(expected)
