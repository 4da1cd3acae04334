"""What a cached volume of slices is known by."""

import sys

from bundle.data import datasets
from bundle.preprocessing import BrainMaskd
from tests.limits import PLAUSIBLE


def test_a_cache_is_of_one_version_and_of_the_files_as_they_are(tmp_path, monkeypatch):
    image = tmp_path / "a.nii.gz"
    image.write_text("voxels")
    entry = {"image": str(image), "series": "2"}
    first = datasets._stamped_hash(entry)
    assert datasets._stamped_hash(dict(entry)) == first
    image.write_text("other voxels")
    second = datasets._stamped_hash(entry)
    monkeypatch.setattr(datasets, "__version__", "9.9")
    assert len({first, second, datasets._stamped_hash(entry)}) == 3


def test_a_cache_is_of_settings_and_not_of_a_device(monkeypatch):
    def of(**settings):
        return datasets._settings_hash([BrainMaskd("image", PLAUSIBLE, **{"skull_strip": "auto", **settings})])

    assert of(device="cpu") == of(device="cuda:1") != of(skull_strip="never")
    here = of()
    monkeypatch.setattr(sys.modules["bundle.preprocessing.brain_mask"], "can_extract_brains", lambda: "elsewhere")
    assert of() != here
