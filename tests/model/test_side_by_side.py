import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
import torch

from bundle.model import high_frequency
from bundle.model.side_by_side import find_side_by_side


@pytest.fixture
def two_threads():
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(threads)


class Judge(torch.nn.Module):
    """Sees a lesion where the image is brighter than its reconstruction."""

    def forward(self, x):
        return x[:, :1] - x[:, 1:]


@pytest.mark.parametrize("judge", [None, Judge()])
def test_each_thread_has_slices_of_its_own_and_finds_the_same(golden, golden_model, two_threads, judge):
    golden_model.judge = judge
    image, brain = (torch.cat([golden[f"test/{name}"], golden[f"test/{name}"][:1]]) for name in ("image", "brain_mask"))
    detail, threads = high_frequency(image, golden_model.radius), set()
    golden_model.refiner.register_forward_pre_hook(lambda *_: threads.add(threading.current_thread()))
    found = find_side_by_side(golden_model, image, brain, detail, 3, 2)
    assert len(image) % 2 == 1 and len(threads) == 2 and threading.current_thread() not in threads
    with ThreadPoolExecutor(1) as later:
        assert later.submit(torch.get_num_threads).result() == torch.get_num_threads() == 2
    # threads that share convolutions wait long for each other where other tests run
    torch.set_num_threads(1)
    with torch.no_grad():
        expected = golden_model.find_lesions(image, brain, detail, 3, 2)
    assert torch.equal(found.refined_mask, expected.refined_mask) and found.refined_mask.any()
    assert torch.equal(found.hidden_iterations, expected.hidden_iterations)
    assert torch.allclose(found.reconstruction, expected.reconstruction, atol=1e-4)
    assert torch.allclose(found.initial_error, expected.initial_error, atol=1e-4)
    assert (found.score is None) == (judge is None) == (expected.score is None)
    assert judge is None or torch.allclose(found.score, expected.score, atol=1e-4)


def test_one_slice_needs_no_other_thread(two_threads):
    model, image = SimpleNamespace(find_lesions=lambda *given: given), torch.zeros(1, 1, 4, 4)
    assert find_side_by_side(model, image, image > 0, image, 7, 2)[3:] == (7, 2)
