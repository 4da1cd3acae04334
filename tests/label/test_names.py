"""Names that a request brings: what could lead out of a folder is refused, in any encoding."""

import pytest

from bundle.errors import InputError
from bundle.label.names import check_json, check_keys, check_name, check_tag, file_name

BAD = [
    "../x",
    "..",
    ".",
    "a/b",
    "/etc/passwd",
    "a\\b",
    "C:\\x",
    "a\0b",
    "a\nb",
    "%2e%2e",
    "%2E%2e%2fx",
    "a%2fb",
    "a%5cb",
    "%252e%252e%252fx",
    "%25252e%25252e",
    "x%00",
    "%c0%af",
    "x" * 256,
]


@pytest.mark.parametrize("name", BAD)
def test_refused(name):
    with pytest.raises(InputError, match=r"^image: "):
        check_name(name, "image")


@pytest.mark.parametrize("name", ["", "case_1", "flair.v2", "P 01 (left)", "50%", "Müller", "1.2.840.113619", "a%20b"])
def test_taken(name):
    check_name(name, "image")


def test_json_is_searched_at_any_depth():
    check_json({"label_info": [{"name": "lesion / oedema"}], "a": [1, None, True, {"b": "c"}]}, "params")
    for value in ({"a": [{"b": "../x"}]}, {"../x": 1}, ["%2e%2e"], {"label_info": [{"name": "a\0"}]}):
        with pytest.raises(InputError, match="params"):
            check_json(value, "params")


def test_keys_and_tags():
    check_keys({"device": "cpu"}, {"device"}, "params")
    with pytest.raises(InputError, match="image cannot be set"):
        check_keys({"device": "cpu", "image": "x"}, {"device"}, "params")
    with pytest.raises(InputError, match="not a JSON object"):
        check_keys([], {"device"}, "params")
    check_tag("final")
    for tag in ("", ".", "a.b", "-a", "a b", "x" * 65):
        with pytest.raises(InputError, match="tag"):
            check_tag(tag)


def test_file_names_lose_the_folders_of_the_client():
    assert file_name("/tmp/Slicer-x/label.nii.gz") == file_name(r"C:\Temp\label.nii.gz") == "label.nii.gz"
    for name in ("../../label.nii.gz", "a/../label.nii.gz", "a\\..\\b", "x%2f..%2fy", "..%2fx/label.nii", "/tmp/.."):
        with pytest.raises(InputError, match="file name"):
            file_name(name)
