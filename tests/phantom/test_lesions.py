import numpy as np
import pytest
from scipy import ndimage

from bundle.phantom.lesions import APPEARANCE, LESIONS, smooth_noise


def tissue() -> dict[str, np.ndarray]:
    """A ball of white matter in a shell of grey matter, with a ventricle in the middle; 1 mm voxels."""
    shape = (110, 120, 100)
    axes = np.ogrid[tuple(slice(0, size) for size in shape)]
    distance = np.sqrt(sum((axis - size / 2) ** 2 for axis, size in zip(axes, shape)))
    maps = {
        "ventricle": distance < 10,
        "wm": (distance >= 10) & (distance < 38),
        "gm": (distance >= 38) & (distance < 45),
        "csf": (distance >= 45) & (distance < 48),
    }
    return {name: ndimage.gaussian_filter(part.astype(np.float32), 0.7) for name, part in maps.items()}


@pytest.mark.parametrize("kind", LESIONS)
def test_lesions_lie_in_the_brain_and_repeat(kind):
    maps = tissue()
    brain = maps["wm"] + maps["gm"] + maps["csf"] + maps["ventricle"] > 0.5
    volumes = []
    for seed in range(6):
        lesion = LESIONS[kind](maps, np.random.RandomState(seed))
        again = LESIONS[kind](maps, np.random.RandomState(seed))
        assert all(np.array_equal(lesion.parts[name], again.parts[name]) for name in lesion.parts)
        assert set(lesion.parts) <= set(APPEARANCE["flair"])
        share = np.max(list(lesion.parts.values()), axis=0)
        assert share.min() >= 0 and share.max() <= 1
        volumes.append(((share > 0.5) & brain).sum())
        if kind != "glioma":  # a cyst is a ball, wherever it reaches
            assert (share > 0.5)[~ndimage.binary_dilation(brain, iterations=2)].sum() == 0
    assert min(volumes) > 20 and len(set(volumes)) == 6


def test_a_stroke_keeps_to_its_hemisphere():
    for seed in range(6):
        infarct = LESIONS["stroke"](tissue(), np.random.RandomState(seed)).parts["infarct"] > 0.5
        middle = (infarct.shape[0] - 1) // 2
        sides = infarct[: middle - 1].sum(), infarct[middle + 3 :].sum()
        assert min(sides) == 0 and max(sides) > 0


def test_small_strokes_are_small():
    for seed in range(6):
        assert 0 < (LESIONS["small_stroke"](tissue(), np.random.RandomState(seed)).parts["infarct"] > 0.5).sum() < 1000


def test_plaques_are_many_and_small():
    plaques = LESIONS["ms"](tissue(), np.random.RandomState(1)).parts["plaque"] > 0.5
    labels, number = ndimage.label(plaques)
    sizes = ndimage.sum_labels(plaques, labels, range(1, number + 1))
    assert number >= 3 and max(sizes) < 4000


def test_noise_has_the_asked_length():
    random = np.random.RandomState(0)
    field = smooth_noise((60, 60, 60), 12, random)
    assert abs(field.mean()) < 1e-3 and abs(field.std() - 1) < 1e-3
    near, far = ((field[:-step] * field[step:]).mean() for step in (2, 40))
    assert near > 0.8 and abs(far) < 0.3
