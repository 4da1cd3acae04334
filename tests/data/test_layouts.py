import json
from pathlib import Path

import pytest

import bundle.data.layouts
from bundle.data.prepare import held_out, prepare_dataset
from bundle.errors import InputError
from tests.heads import save, simulate_head

IMAGE, LESION = simulate_head(1, lesion=True)
BRATS = "BraTS2021_{i:05d}/BraTS2021_{i:05d}_{name}.nii.gz"
GLI = "BraTS-GLI-{i:05d}-{visit:03d}/BraTS-GLI-{i:05d}-{visit:03d}-{name}.nii.gz"
ATLAS = "Training/R001/sub-r001s{i:03d}/ses-1/anat/sub-r001s{i:03d}_ses-1_space-MNI152NLin2009aSym_{name}.nii.gz"
ISLES = "{top}sub-strokecase{i:04d}/ses-0001/{kind}sub-strokecase{i:04d}_ses-0001_{name}.nii.gz"


def brats2021(root: Path, i: int) -> tuple[str, str]:
    for name in ("t1", "t1ce", "t2"):
        save(IMAGE, root / BRATS.format(i=i, name=name))
    return BRATS.format(i=i, name="flair"), BRATS.format(i=i, name="seg")


def brats2023(root: Path, i: int) -> tuple[str, str]:
    """Every patient has two visits."""
    for name in ("t1n", "t1c", "t2w"):
        save(IMAGE, root / GLI.format(i=i // 2, visit=i % 2, name=name))
    return tuple(GLI.format(i=i // 2, visit=i % 2, name=name) for name in ("t2f", "seg"))


def atlas(root: Path, i: int) -> tuple[str, str]:
    return ATLAS.format(i=i, name="T1w"), ATLAS.format(i=i, name="label-L_desc-T1lesion_mask")


def isles2022(root: Path, i: int) -> tuple[str, str]:
    save(IMAGE, root / ISLES.format(top="", i=i, kind="dwi/", name="dwi"))
    label = ISLES.format(top="derivatives/", i=i, kind="", name="msk")
    return ISLES.format(top="", i=i, kind="anat/", name="FLAIR"), label


def bids(root: Path, i: int) -> tuple[str, str]:
    save(IMAGE, root / f"sub-{i:02d}/ses-a/anat/sub-{i:02d}_ses-a_T1w.nii.gz")
    stem = f"sub-{i:02d}/ses-a/anat/sub-{i:02d}_ses-a_"
    return f"{stem}FLAIR.nii.gz", f"derivatives/manual/{stem}desc-lesion_mask.nii.gz"


def lgg_flair(root: Path, i: int) -> tuple[str, str]:
    return f"TCGA_{i}/flair.nii.gz", f"TCGA_{i}/seg.nii.gz"


def folder(root: Path, i: int) -> tuple[str, str]:
    return f"p{i}.nii.gz", f"labels/p{i}.nii.gz"


TREES = {tree.__name__: tree for tree in (brats2021, brats2023, atlas, isles2022, bids, lgg_flair, folder)}


def make(layout: str, root: Path, number: int = 6) -> dict[str, str]:
    """A tree of ``number`` cases; gives the label of each image."""
    pairs = dict(TREES[layout](root, i) for i in range(number))
    for image, label in pairs.items():
        save(IMAGE, root / image)
        save(LESION, root / label)
    return pairs


def prepare(layout: str, root: Path, **options) -> tuple[str, dict]:
    options = {"validation": 1, "test": 2, "modality": "t1" if layout == "atlas" else "flair", **options}
    said = prepare_dataset(layout, str(root), str(root.parent / "list.json"), **options)
    return said, json.loads((root.parent / "list.json").read_text())


@pytest.mark.parametrize("layout", TREES)
def test_layouts(layout, tmp_path):
    root = tmp_path / "set"
    pairs = make(layout, root)
    said, datalist = prepare(layout, root, validation=1, test=1)
    assert "left out" not in said
    entries = [entry for split in datalist.values() for entry in split]
    found = {entry["image"]: entry["label"] for entry in entries}
    assert found == {str(root / image): str(root / label) for image, label in pairs.items()}
    assert all(entry["lesion_voxels"] == LESION.sum() and entry["slices"] == LESION.shape[2] for entry in entries)
    patients = [{entry["patient"] for entry in split} for split in datalist.values()]
    assert all(patients) and sum(map(len, patients)) == len(set.union(*patients))
    assert len(set.union(*patients)) == (3 if layout == "brats2023" else 6)


@pytest.mark.parametrize(
    ("images", "patients"),
    [
        (("a/a1.nii.gz", "a/a2.nii.gz", "b/b1.nii.gz"), {"a", "b"}),
        (("images/a.nii.gz", "images/b.nii.gz", "images/c.nii.gz"), {"a", "b", "c"}),
        (("scans/a/1/t2.nii.gz", "scans/a/2/t2.nii.gz", "scans/b.nii"), {"a", "b"}),
    ],
)
def test_folders_are_patients(images, patients, tmp_path):
    for image in images:
        save(IMAGE, tmp_path / image)
    cases, _ = bundle.data.layouts.find_cases(tmp_path, bundle.data.layouts.LAYOUTS["folder"], "flair")
    assert {case["patient"] for case in cases} == patients and len(cases) == 3


def test_patients_can_be_named(tmp_path):
    """Visits as folders, patients as files: refused until it is said which is which, lest a split parts a patient."""
    root = tmp_path / "set"
    for visit in (1, 2):
        for i in range(4):
            save(IMAGE, root / f"visit-{visit}" / f"p{i}.nii.gz")
    with pytest.raises(InputError, match="--patient"):
        prepare("folder", root)
    _, datalist = prepare("folder", root, patient=r"p\d", validation=1, test=1)
    patients = [{entry["patient"] for entry in split} for split in datalist.values()]
    assert [len(split) for split in datalist.values()] == [4, 2, 2] and set.union(*patients) == {"p0", "p1", "p2", "p3"}
    with pytest.raises(InputError, match="matches no part"):
        prepare("folder", root, patient="sub")
    _, datalist = prepare("folder", root, pattern="visit-1/*", validation=1, test=1)
    assert [len(split) for split in datalist.values()] == [2, 1, 1]


def test_a_share_that_is_asked_for_is_never_empty(tmp_path):
    for i in range(3):
        save(IMAGE, tmp_path / "set" / f"p{i}.nii.gz")
    _, datalist = prepare("folder", tmp_path / "set", validation=0.1, test=0.2)
    assert [len(split) for split in datalist.values()] == [1, 1, 1]


def test_healthy_people_have_no_label(tmp_path):
    for i in range(3):
        save(IMAGE, tmp_path / "set" / f"p{i}.nii.gz")
    said, datalist = prepare("folder", tmp_path / "set", validation=1, test=1)
    assert [len(split) for split in datalist.values()] == [1, 1, 1] and "label" not in datalist["test"][0]
    assert "3 without a label, taken for healthy" in said


@pytest.mark.parametrize(
    "label", ["p{i}/seg.nii.gz", "p{i}/lesion.nii.gz", "p{i}/flair_lesion.nii.gz", "p{i}/flair-roi.nii.gz"]
)
def test_labels_beside_their_images(label, tmp_path):
    for i in range(3):
        save(IMAGE, tmp_path / "set" / f"p{i}" / "flair.nii.gz")
        save(LESION, tmp_path / "set" / label.format(i=i))
    said, datalist = prepare("folder", tmp_path / "set", validation=1, test=1)
    entries = [entry for split in datalist.values() for entry in split]
    assert len(entries) == 3 and all(entry["lesion_voxels"] == LESION.sum() for entry in entries)
    assert "healthy" not in said


@pytest.mark.parametrize("ending", ["flair", "FLAIR", "t1ce", "T1w"])
def test_a_contrast_may_be_missing_in_the_name_of_the_label(ending, tmp_path):
    for i in range(3):
        save(IMAGE, tmp_path / "set" / f"p{i}" / f"p{i}_{ending}.nii.gz")
        save(LESION, tmp_path / "set" / f"p{i}" / f"p{i}_seg.nii.gz")
    said, datalist = prepare("folder", tmp_path / "set", validation=1, test=1)
    assert all(entry["lesion_voxels"] for split in datalist.values() for entry in split), said


def test_masks_without_an_image_are_named(tmp_path):
    for i in range(3):
        save(IMAGE, tmp_path / "set" / f"p{i}.nii.gz")
    save(LESION, tmp_path / "set" / "expert-0_lesion.nii.gz")
    said, _ = prepare("folder", tmp_path / "set", validation=1, test=1)
    assert "masks by their names that belong to no image: 1 (expert-0_lesion.nii.gz)" in said


def test_incomplete_cases_are_named_and_the_rest_goes_on(tmp_path):
    root = tmp_path / "set"
    pairs = make("brats2021", root)
    images = list(pairs)
    (root / images[0]).unlink()
    (root / pairs[images[1]]).unlink()
    (root / images[2]).write_text("not an image")
    save(LESION[:-1], root / pairs[images[3]])
    said, datalist = prepare("brats2021", root, validation=0.0, test=1)
    left_out = said.splitlines()[1:]
    assert len(left_out) == 4 and sum(map(len, datalist.values())) == 2
    for path, fault in (
        (images[0].split("/")[0], "no flair image"),
        (images[1], "lesion mask is missing"),
        (images[2], "cannot be read"),
        (pairs[images[3]], "shape of the label"),
    ):
        assert any(path in line and fault in line for line in left_out)


def test_a_table_of_splits_decides(tmp_path):
    root = tmp_path / "set"
    make("lgg_flair", root, 3)
    (root / "dataset.csv").write_text("patient,split\nTCGA_0,test\nTCGA_1,val\nTCGA_2,train\n")
    _, datalist = prepare("lgg_flair", root)
    assert {name: [entry["patient"] for entry in split] for name, split in datalist.items()} == {
        "training": ["TCGA_2"],
        "validation": ["TCGA_1"],
        "test": ["TCGA_0"],
    }
    (root / "dataset.csv").write_text("patient,split\nTCGA_0,test\nTCGA_1,validation\nTCGA_2,elsewhere\n")
    said, datalist = prepare("lgg_flair", root)
    assert len(datalist["validation"]) == 1 and "gives its patient no split; write train, val or test" in said
    (root / "dataset.csv").write_bytes("patient,split\nM\xfcller,test\n".encode("latin-1"))
    with pytest.raises(InputError, match=r"dataset\.csv: its text is not UTF-8"):
        prepare("lgg_flair", root)


def test_an_interrupted_call_goes_on(tmp_path, monkeypatch):
    root = tmp_path / "set"
    make("folder", root, 4)
    other = tmp_path / "other"
    make("folder", other, 4)
    examine, examined = bundle.data.prepare._examine, []

    def until_the_third(folder, case):
        examined.append(str(folder))
        if len(examined) == 3:
            raise RuntimeError("stopped")
        return {**examine(folder, case), "slices": -1}

    monkeypatch.setattr(bundle.data.prepare, "_examine", until_the_third)
    with pytest.raises(RuntimeError, match="stopped"):
        prepare("folder", root, validation=1, test=1, workers=1)
    monkeypatch.setattr(bundle.data.prepare, "_examine", examine)
    notes = tmp_path / "list.json.examined"
    known = notes.read_text().splitlines()[:2]
    # the last line was cut short
    notes.write_text("\n".join(known) + '\n{"image": "cut sh')

    def slices(folder):
        _, datalist = prepare("folder", folder, validation=1, test=1)
        return sorted(entry["slices"] for split in datalist.values() for entry in split)

    assert slices(root) == [-1, -1, IMAGE.shape[2], IMAGE.shape[2]] and not notes.exists()
    # what was noted of one data set is nothing to another with the same names
    notes.write_text("\n".join(known) + "\n")
    assert slices(other) == [IMAGE.shape[2]] * 4


def test_what_cannot_be_prepared_is_said(tmp_path):
    for arguments, said in (
        (("brats", str(tmp_path), "x.json"), "no such layout"),
        (("atlas", str(tmp_path), "x.json"), "no such modality"),
        (("folder", str(tmp_path / "none"), "x.json"), "no such folder"),
        (("folder", str(tmp_path), str(tmp_path / "x.json")), "no usable flair case"),
    ):
        with pytest.raises(InputError, match=said):
            prepare_dataset(*arguments)
    make("folder", tmp_path / "set", 3)
    with pytest.raises(InputError, match="3 patients cannot give 2 for validation and 1 for test"):
        prepare("folder", tmp_path / "set", validation=2, test=1)


def test_everybody_may_be_in_the_test_set(tmp_path):
    """Also where the data set has a table of splits."""
    root = tmp_path / "set"
    for i in range(3):
        save(IMAGE, root / f"p{i}.nii.gz")
    (root / "dataset.csv").write_text("patient,split\np0,train\np1,train\np2,val\n")
    said, datalist = prepare("folder", root, test="all")
    assert {name: len(entries) for name, entries in datalist.items()} == {"training": 0, "validation": 0, "test": 3}
    assert "3 test" in said


def test_an_earlier_call_does_not_say_whom_a_scan_is_of(tmp_path):
    """The sentence about too few patients asks for --patient: that counts, not what was noted before."""
    root = tmp_path / "set"
    for path in ("one/a.nii.gz", "one/b.nii.gz", "two/c.nii.gz"):
        save(IMAGE, root / path)
    with pytest.raises(InputError, match="--patient"):
        prepare("folder", root, validation=1, test=1)
    _, datalist = prepare("folder", root, validation=1, test=1, patient="[abc](?=.nii)")
    assert sorted(entry["patient"] for split in datalist.values() for entry in split) == ["a", "b", "c"]


def labels_of(root: Path, images: dict[str, list[str]], modality: str = "flair") -> dict[str, str | None]:
    """The label that the layout of BIDS finds for each image; files by name."""
    for image, labels in images.items():
        for path in (image, *labels):
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).touch()
    cases, _ = bundle.data.layouts.find_cases(root, bundle.data.layouts.LAYOUTS["bids"], modality)
    return {case["image"]: case.get("label") for case in cases}


def test_a_label_in_bids_is_that_of_the_person(tmp_path):
    """The name of one may be the beginning of another's, and of another session's."""
    one, ten = "sub-1/anat/sub-1_FLAIR.nii.gz", "sub-10/anat/sub-10_FLAIR.nii.gz"
    lesion = "derivatives/manual/sub-10_desc-lesion_mask.nii.gz"
    assert labels_of(tmp_path, {one: [], ten: [lesion]}) == {one: None, ten: lesion}


def test_a_brain_in_bids_is_no_lesion(tmp_path):
    """Pipelines such as fMRIPrep leave the brain and its tissues in derivatives."""
    made = "derivatives/fmriprep/sub-01/anat/sub-01"
    endings = ("desc-brain_mask", "dseg", "desc-aseg_dseg", "space-MNI_desc-brain_mask", "space-MNI_dseg")
    image = "sub-01/anat/sub-01_FLAIR.nii.gz"
    of_the_brain = [f"{made}_{ending}.nii.gz" for ending in endings]
    assert labels_of(tmp_path, {image: of_the_brain}) == {image: None}
    lesion = "derivatives/manual/sub-01/anat/sub-01_dseg.nii.gz"
    assert labels_of(tmp_path, {image: [lesion]}) == {image: lesion}


def test_contrast_agent_in_bids(tmp_path):
    """T1 after contrast agent is a contrast of its own, wherever in the name it is said."""
    before, after, again = (f"sub-01/anat/sub-01_{name}T1w.nii.gz" for name in ("", "ce-gad_", "ce-gad_run-2_"))
    assert labels_of(tmp_path, {before: [], after: [], again: []}, "t1") == {before: None}
    assert labels_of(tmp_path, {}, "t1ce") == {after: None, again: None}


@pytest.mark.parametrize(
    ("part", "number", "held"), [(0.1, 3, 1), (0.5, 10, 5), (2, 10, 2), (2, 0, 2), (0.1, 0, 0), (0, 3, 0)]
)
def test_a_share_of_some_is_one_at_least(part, number, held):
    assert held_out(part, number) == held
