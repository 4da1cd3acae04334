import pytest

from bundle.errors import InputError
from bundle.files import writable_folder, write_whole


def test_a_file_is_replaced_whole(tmp_path):
    path = tmp_path / "new" / "file.txt"
    write_whole(path, "one")
    write_whole(path, b"two")
    assert path.read_text() == "two" and [p.name for p in path.parent.iterdir()] == ["file.txt"]
    with pytest.raises(TypeError):
        write_whole(path, None)
    assert path.read_text() == "two"


def test_folders(tmp_path):
    assert writable_folder(tmp_path / "a" / "b").is_dir()
    assert not list((tmp_path / "a" / "b").iterdir())
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        writable_folder(tmp_path / "file" / "folder")
