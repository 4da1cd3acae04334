import copy
import random

import nibabel as nib
import numpy as np
import pytest
import torch
from scipy import ndimage

from bundle import segment
from bundle.errors import InputError
from bundle.interaction import Prompts, ScanState, answer, prepare_scan
from bundle.interaction.refining import to_model_grid
from tests.interaction.conftest import TINY


def inside(mask):
    """The voxel that lies deepest in a mask."""
    depth = ndimage.distance_transform_edt(mask)
    return [int(index) for index in np.unravel_index(depth.argmax(), mask.shape)]


def test_without_prompts_it_is_what_segment_finds(state, head, tiny_weights):
    drawn = []
    for call in (lambda: None, lambda: segment(head["image"], ckpt_path=str(tiny_weights), **TINY)):
        random.seed(3), np.random.seed(3), torch.manual_seed(3)
        found = call()
        drawn.append((random.random(), np.random.rand(), float(torch.rand(1)), torch.backends.cudnn.deterministic))
    assert drawn[0] == drawn[1], "the random numbers of the caller"
    mask = np.asarray(found.mask.dataobj)
    automatic = answer(state, Prompts())
    assert mask.any() and np.array_equal(state.mask, mask)
    assert np.array_equal(automatic.mask, mask) and automatic.mask.dtype == np.uint8
    np.testing.assert_allclose(automatic.score, np.asarray(found.score.dataobj), atol=1e-6)
    assert np.array_equal(automatic.score, state.score_on_scan)
    assert automatic.statistics["components"] == found.statistics["components"]
    assert automatic.changed == (0, None)


def test_a_click_on_normal_takes_the_region_away_and_one_on_lesion_brings_it_back(state, head):
    voxel = inside(state.mask > 0)
    normal = answer(state, Prompts(background=[voxel]))
    assert normal.mask[tuple(voxel)] == 0 and normal.mask.sum() < state.mask.sum()
    assert normal.changed.voxels == (normal.mask != state.mask).sum()
    assert normal.changed.box[2][0] <= voxel[2] < normal.changed.box[2][1]
    lesion = answer(state, Prompts(foreground=[inside(head["lesion"])]), start=np.zeros(state.shape))
    marked = lesion.mask > 0
    assert marked.sum() > 20 and (marked & head["lesion"]).sum() > 0.9 * marked.sum()


def test_the_order_of_prompts_and_what_was_asked_before_mean_nothing(state):
    points = [[20, 20, 5], [28, 40, 6], [30, 30, 3]]
    other = [[33, 30, 4], [26, 22, 8]]
    first = answer(state, Prompts(foreground=points, background=other))
    answer(state, Prompts(background=points))
    second = answer(state, Prompts(foreground=points[::-1], background=other[::-1]))
    assert np.array_equal(first.mask, second.mask) and np.array_equal(first.score, second.score)
    assert np.array_equal(first.reconstruction, second.reconstruction)
    # undo: the same call with one prompt less
    assert np.array_equal(answer(state, Prompts()).mask, state.mask)


def test_slices_refined_together_are_as_slices_refined_alone(state):
    voxel = inside(state.mask > 0)
    prompts = Prompts(foreground=[[20, 20, 5]], background=[voxel])
    # the untrained network paints nothing, whatever it sees
    network, random = copy.deepcopy(state.tools.network), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weights in network.parameters():
            weights += 0.05 * torch.randn(weights.shape, generator=random)
    alone, together = (
        ScanState(state.data, state.tools._replace(network=network, batch_size=size)) for size in (1, 16)
    )
    # one of its slices is remembered from another question
    answer(together, Prompts(background=[voxel])).on_model_grid  # noqa: B018
    one, other = answer(alone, prompts).on_model_grid, answer(together, prompts).on_model_grid
    np.testing.assert_allclose(one.score, other.score, atol=1e-4)
    np.testing.assert_allclose(one.reconstruction, other.reconstruction, atol=1e-4)
    assert not np.allclose(one.reconstruction, state.reconstruction, atol=1e-4)


def test_a_click_between_the_voxels_of_the_model_reaches_it(state):
    voxels = np.argwhere(state.brain)[::97]
    known = np.zeros((len(voxels), *state.shape), bool)
    known[(np.arange(len(voxels)), *voxels.T)] = True
    reached = [int(to_model_grid(state, one).sum()) for one in known]
    assert len(voxels) > 50 and set(reached) == {1}
    # what is larger is not widened
    block = np.zeros(state.shape, bool)
    block[10:30, 12:40, 3:8] = True
    expected = block.sum() * abs(np.linalg.det(state.to_model[:3, :3]))
    assert int(to_model_grid(state, block).sum()) == pytest.approx(expected, rel=0.05)


def test_prompts_are_obeyed_at_every_voxel_of_theirs(state):
    random = np.random.RandomState(0)
    voxels = np.unique(random.randint(0, np.array(state.shape), (24, 3)), axis=0)
    scribble = [[i, 31, 5] for i in range(56)]
    plane = [[28, 10, k] for k in range(12)]
    voxels = [v for v in voxels.tolist() if v not in scribble and v not in plane]
    prompts = Prompts(voxels[::2], voxels[1::2], [scribble], [plane])
    mask = answer(state, prompts).mask
    assert all(mask[tuple(v)] == 1 for v in (*voxels[::2], *scribble))
    assert all(mask[tuple(v)] == 0 for v in (*voxels[1::2], *plane))


def test_nothing_far_from_prompts_changes(state):
    marked = state.mask > 0
    for name, voxel in (("foreground", inside(state.brain & ~marked)), ("background", inside(marked))):
        prompts = Prompts(**{name: [voxel]})
        away = np.ones(state.shape, bool)
        away[tuple(voxel)] = False
        far = ndimage.distance_transform_edt(away, sampling=state.spacing) > state.tools.rule["reach"]
        found = answer(state, prompts)
        assert found.changed.voxels > 0
        assert np.array_equal(found.mask[far], state.mask[far])


def test_a_turned_scan_gives_the_turned_answer(head, tiny_weights):
    """Stored with other axes, flipped, and oblique: the voxels are those of the scan as it is stored."""
    weights = str(tiny_weights)
    upright = prepare_scan(head["oblique"], ckpt_path=weights, **TINY)
    turned = prepare_scan(head["turned"], ckpt_path=weights, **TINY)
    orientation = np.array([[1, 1], [2, -1], [0, 1]])

    def turn(volume):
        return nib.orientations.apply_orientation(volume, orientation)

    there = np.zeros(upright.shape, bool)
    lesion, normal = inside(head["lesion"]), [15, 30, 4]
    answers = []
    for state, where in ((upright, lambda v: v), (turned, turn)):
        voxels = []
        for voxel in (lesion, normal):
            there[:] = False
            there[tuple(voxel)] = True
            voxels.append(np.argwhere(where(there))[0].tolist())
        answers.append(answer(state, Prompts(foreground=[voxels[0]], background=[voxels[1]])).mask)
    assert np.array_equal(turn(answers[0]), answers[1]) and answers[0].any()


def test_what_lies_outside_of_the_scan_is_refused(state):
    with pytest.raises(InputError, match=r"\[56, 0, 0\] lies outside of the scan of 56 x 64 x 12 voxels"):
        answer(state, Prompts(foreground=[[56, 0, 0]]))
    with pytest.raises(InputError, match="outside"):
        answer(state, Prompts(background_scribbles=[[[0, 0, -1]]]))
    with pytest.raises(InputError, match="to start from has the shape"):
        answer(state, Prompts(), start=np.zeros((2, 2, 2)))


def test_the_score_changes_as_far_as_it_is_smoothed(head, tiny_weights, monkeypatch):
    """It stayed as it was from the fourth slice beside a click on."""
    state = prepare_scan(head["image"], ckpt_path=str(tiny_weights), slice_sigma=20.0, **TINY)
    nothing = torch.zeros(state.score.shape[:2])
    monkeypatch.setattr(
        "bundle.interaction.refining._refined_slices", lambda _, numbers, *__: [(nothing, nothing)] * 12
    )
    clicked = answer(state, Prompts(background=[inside(state.brain & (state.mask == 0))]))
    change = (clicked.on_model_grid.score - state.score).abs().amax(dim=(0, 1))
    assert (change > 0.01).sum() > 7
