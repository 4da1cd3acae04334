import numpy as np
import pytest
import torch
from ignite.engine import Engine, Events
from monai.bundle import ConfigParser
from monai.data import DataLoader, Dataset
from monai.engines import Evaluator
from monai.transforms import Compose, RandFlipd

from bundle.errors import InputError
from bundle.model.frequency import high_frequency
from bundle.model.refinement import IterMaskNet
from bundle.training.batches import Appearance, PrepareMaskedBatch
from bundle.training.handlers import FiniteWeights, SeedEpoch, TrainingState, ValidationToTheEnd
from bundle.training.reconstruction import ReconstructionLoss, ReconstructionPair
from tests.flows import REFINEMENT
from tests.limits import of_training

MASKS = of_training("training_masks")


def image_batch() -> torch.Tensor:
    image = torch.full((6, 1, 48, 48), -3.0)
    image[:, :, 8:40, 8:40] = torch.randn(6, 1, 32, 32).clamp(min=-2.9)
    return image


def test_batches_hide_brain_behind_noise():
    image = image_batch()
    inputs, label = PrepareMaskedBatch(radius=6, masks=MASKS)({"image": image})
    mask = label[:, 1:] > 0
    assert torch.equal(label[:, :1], image) and mask.flatten(1).any(dim=1).all()
    assert not (mask & (image == -3)).any()
    assert torch.equal(inputs[:, :1][~mask], image[~mask])
    hidden = inputs[:, :1][mask]
    assert abs(hidden.mean()) < 0.1 and abs(hidden.std() - 1) < 0.1
    assert torch.allclose(inputs[:, 1:], high_frequency(image, 6), atol=1e-5)
    again, _ = PrepareMaskedBatch(radius=6, masks=MASKS)({"image": image})
    assert not torch.equal(again, inputs)


def test_painted_lesions_are_seen_and_not_asked_for():
    image = image_batch()
    options = {**of_training("synthetic_lesions"), "probability": 1.0, "radius_range": (4, 8), "contrast_range": (2, 3)}
    inputs, label = PrepareMaskedBatch(radius=6, masks=MASKS, appearance=Appearance(options))({"image": image})
    mask = label[:, 1:] > 0
    assert torch.equal(label[:, :1], image)
    changed = ((inputs[:, :1] - image).abs() > 0.5) & ~mask
    assert changed.flatten(1).any(dim=1).float().mean() > 0.8 and not (changed & (image == -3)).any()
    # both inputs come from the painted image: where nothing is hidden, one follows from the other
    whole = torch.where(mask, image, inputs[:, :1])
    assert (inputs[:, 1:] - high_frequency(image, 6)).abs().max() > 0.5
    assert (inputs[:, 1:] - high_frequency(whole, 6)).abs().mean() < (
        inputs[:, 1:] - high_frequency(image, 6)
    ).abs().mean()


def test_background_around_the_brains_of_a_batch_can_be_left_out():
    image = image_batch()
    inputs, label = PrepareMaskedBatch(radius=6, masks=MASKS, crop_multiple=16)({"image": image})
    assert inputs.shape == label.shape == (6, 2, 32, 32)
    assert torch.equal(label[:, :1], image[:, :, 8:40, 8:40])
    # frequencies are those of the whole image
    assert torch.allclose(inputs[:, 1:], high_frequency(image, 6)[:, :, 8:40, 8:40], atol=1e-5)
    aside = torch.roll(image, (8, -8), dims=(2, 3))
    _, label = PrepareMaskedBatch(radius=6, masks=MASKS, crop_multiple=20)({"image": aside})
    assert label.shape == (6, 2, 40, 40) and (label[:, 0] > -3).sum() == (image > -3).sum()


def test_each_network_gets_its_own_input_and_loss():
    class Echo(torch.nn.Module):
        def forward(self, x):
            return x.sum(dim=1, keepdim=True)

    pair = ReconstructionPair(IterMaskNet(Echo(), Echo(), **REFINEMENT))
    inputs = torch.randn(2, 2, 4, 4)
    pred = pair(inputs)
    assert torch.equal(pred[:, :1], inputs[:, 1:]) and torch.equal(pred[:, 1:], inputs.sum(dim=1, keepdim=True))
    label = torch.stack([torch.zeros(2, 4, 4), torch.ones(2, 4, 4)], dim=1)
    assert torch.allclose(ReconstructionLoss()(pred, label), pred.square().mean())


def drawn(every_epoch: bool, start: int = 0) -> list[list]:
    """What the epochs of a run see: order and flips of the data, and random numbers."""
    data = [{"image": np.arange(4, dtype=np.float32)[None] + 10 * i} for i in range(6)]
    dataset = Dataset(data, Compose([RandFlipd("image", prob=0.5)]))
    loader = DataLoader(dataset, batch_size=2, sampler=torch.utils.data.RandomSampler(dataset))
    seen: list[list] = []
    engine = Engine(lambda _, batch: seen[-1].append((batch["image"].tolist(), torch.rand(1).item(), np.random.rand())))
    engine.data_loader = loader
    engine.add_event_handler("EPOCH_STARTED", lambda _: seen.append([]))
    SeedEpoch(3, every_epoch).attach(engine)
    engine.state.max_epochs, engine.state.epoch_length = 3, 3

    def resume(e):
        e.state.epoch, e.state.iteration = start, 3 * start

    engine.add_event_handler("STARTED", resume)
    engine.run(loader, max_epochs=3)
    return seen


def test_an_epoch_is_a_function_of_seed_and_number():
    whole = drawn(every_epoch=True)
    assert whole[0] != whole[1]
    assert drawn(every_epoch=True, start=1) == whole[1:]
    same = drawn(every_epoch=False)
    assert same[0] == same[1]


@pytest.mark.parametrize(("epochs", "validated"), [(5, [2, 4, 5]), (4, [2, 4]), (1, [1])])
def test_the_last_epoch_is_validated_too(epochs, validated):
    done = []
    validator = Evaluator("cpu", [0], iteration_update=lambda *_: None)
    validator.run = done.append
    engine = Engine(lambda *_: None)
    ValidationToTheEnd(2, validator).attach(engine)
    engine.run([0], max_epochs=epochs)
    assert done == validated


def test_state_is_written_whole_and_read_back(tmp_path):
    model = torch.nn.Linear(2, 2)
    weights = model.weight.detach().clone()
    path = tmp_path / "state.pt"
    engine = Engine(lambda *_: None)
    engine.state.device = torch.device("cpu")
    TrainingState(str(path), {"model": model}, interval=2).attach(engine)
    engine.run([0, 0], max_epochs=3)
    assert torch.load(path, weights_only=True)["epoch"] == 2
    assert [p.name for p in tmp_path.iterdir()] == ["state.pt"]

    torch.nn.init.zeros_(model.weight)
    epochs = []
    second = Engine(lambda e, _: epochs.append(e.state.epoch))
    second.state.device = torch.device("cpu")
    second.state.max_epochs, second.state.epoch_length = 3, 2
    TrainingState(str(path), {"model": model}).attach(second)
    second.run([0, 0], max_epochs=3)
    assert torch.equal(model.weight, weights) and epochs == [3, 3]


def test_a_resumed_training_notices_other_data_and_settings(tmp_path):
    def trained(epochs: int, **made_from) -> Engine:
        engine = Engine(lambda engine, batch: None)
        engine.state.device = torch.device("cpu")
        engine.state.max_epochs, engine.state.epoch_length = epochs, 1
        objects = {"model": torch.nn.Linear(2, 2)}
        TrainingState(str(tmp_path / "state.pt"), objects, made_from=made_from).attach(engine)
        engine.run([0], max_epochs=epochs)
        return engine

    trained(1, data="abc", learning_rate=0.1)
    assert trained(2, data="abc", learning_rate=0.1).state.epoch == 2
    with pytest.raises(InputError, match=r"other values of data, learning_rate; give it the same again"):
        trained(3, data="abd", learning_rate=0.2)
    with pytest.raises(InputError, match=r"other values of learning_rate;"):
        trained(3, data="abc")


def test_a_second_training_into_the_folder_is_refused(tmp_path):
    first = TrainingState(str(tmp_path / "state.pt"), {})
    first.hold()
    with pytest.raises(InputError, match="another run is writing there"):
        TrainingState(str(tmp_path / "state.pt"), {}).hold()
    first.held.close()
    TrainingState(str(tmp_path / "state.pt"), {}).hold()


def test_a_training_that_diverges_ends_before_anything_is_saved():
    model, engine = torch.nn.Linear(2, 2), Engine(lambda engine, batch: None)
    seen = []
    FiniteWeights(model).attach(engine)
    engine.add_event_handler(Events.EPOCH_COMPLETED, lambda: seen.append(1))
    engine.run([0])
    with torch.no_grad():
        model.weight[0, 0] = torch.inf
    with pytest.raises(InputError, match=r"^Epoch 1: the weights became NaN .* Give a lower --learning_rate"):
        engine.run([0])
    assert seen == [1]


def test_more_epochs_stretch_the_schedule():
    """The rate of an epoch is a function of its number and of how many there are, in a run that goes on too."""

    def scheduler(epochs):
        parser = ConfigParser()
        parser.read_config("configs/train.json")
        parser["epochs"] = epochs
        parser["optimizer"] = torch.optim.SGD([torch.zeros(1)], lr=1.0)
        return parser.get_parsed_content("lr_scheduler")

    def rates(schedule, number):
        return [schedule.optimizer.step() or schedule.step() or schedule.get_last_lr()[0] for _ in range(number)]

    first, longer = scheduler(4), scheduler(8)
    assert np.allclose(rates(first, 4), [0.5 + 0.5 * np.cos(np.pi * epoch / 4) for epoch in range(1, 5)])
    longer.load_state_dict(first.state_dict())
    assert np.allclose(rates(longer, 4), [0.5 + 0.5 * np.cos(np.pi * epoch / 8) for epoch in range(5, 9)])


def test_a_finished_run_says_that_it_trains_nothing(tmp_path, caplog):
    for run in (1, 2):
        engine = Engine(lambda *_: None)
        engine.state.device = torch.device("cpu")
        TrainingState(str(tmp_path / "state.pt"), {"model": torch.nn.Linear(2, 2)}).attach(engine)
        engine.run([0], max_epochs=1)
        assert ("nothing is trained" in caplog.text) == (run == 2)
