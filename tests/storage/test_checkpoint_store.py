"""Where checkpoints lie: what is read is what was written, or nothing."""

import os
import sys
from pathlib import Path
from threading import Thread

import fsspec
import pytest

from lrsearch.errors import SpecError
from lrsearch.storage.checkpoint_store import DEFAULT_FOLDER, CheckpointStore, owner

DATA = b"weights" * 100


@pytest.fixture(params=["folder", "file", "memory"])
def where(request, tmp_path):
    if request.param == "memory":
        yield "memory://bucket/checkpoints"
        fsspec.filesystem("memory").store.clear()
        return
    yield f"{tmp_path}/c" if request.param == "folder" else f"file://{tmp_path}/c"


@pytest.fixture
def store(where):
    return CheckpointStore(where, "tiny")


def put(store, file, data):
    """Write behind the store's back."""
    store._files.pipe_file(store._path(file), data)


def test_what_is_read_is_what_was_written(store, where):
    saved = store.write("trial", 7, 500, DATA)
    assert saved.bytes == len(DATA)
    assert saved.file.startswith("trial-7-500-")
    assert store.read(saved.file, saved.sha256) == DATA
    assert CheckpointStore(where, "tiny").read(saved.file, saved.sha256) == DATA
    assert CheckpointStore(where, "other").read(saved.file, saved.sha256) is None


def test_two_states_at_the_same_step_are_two_files(store):
    first, second = (store.write("trial", 7, 500, data) for data in (DATA, b"other"))
    assert first.file != second.file
    assert store.write("trial", 7, 500, DATA) == first
    assert store.read(first.file, first.sha256) == DATA
    assert store.read(second.file, second.sha256) == b"other"


@pytest.mark.parametrize("damage", [None, b"", DATA[:-1], DATA[:-1] + b"x"])
def test_a_file_that_is_missing_or_altered_is_none_and_one_line(store, damage, caplog):
    saved = store.write("trial", 7, 500, DATA)
    if damage is None:
        store._files.rm_file(store._path(saved.file))
    else:
        put(store, saved.file, damage)
    assert store.read(saved.file, saved.sha256) is None
    (line,) = caplog.messages
    assert saved.file in line


def test_a_file_system_that_fails_is_none_and_one_line(store, monkeypatch, caplog):
    saved = store.write("trial", 7, 500, DATA)

    def gone(*arguments, **keywords):
        raise RuntimeError("the bucket\nis gone")

    for name in ("cat_file", "ls", "rm_file"):
        monkeypatch.setattr(type(store._files), name, gone)
    monkeypatch.setattr(CheckpointStore, "_read_local", gone)
    assert store.read(saved.file, saved.sha256) is None
    assert store.names() == []
    assert store.remove([saved.file]) == 0
    assert len(caplog.messages) == 3
    assert all("RuntimeError: the bucket is gone" in line for line in caplog.messages)


@pytest.fixture
def local(tmp_path):
    return CheckpointStore(str(tmp_path / "c"), "tiny")


def refused(store, saved, caplog, *parts):
    assert store.read(saved.file, saved.sha256, saved.bytes) is None
    (line,) = caplog.messages
    for part in (saved.file, *parts):
        assert part in line


def test_a_file_of_another_size_is_not_read(store, caplog):
    saved = store.write("trial", 7, 500, DATA)
    assert store.read(saved.file, saved.sha256, saved.bytes) == DATA
    put(store, saved.file, DATA + b"x")
    refused(store, saved, caplog, "has 701 bytes, and 700 were written")


def test_a_huge_file_takes_no_memory(local, tmp_path, caplog):
    saved = local.write("trial", 7, 500, DATA)
    with (tmp_path / "c" / "tiny" / saved.file).open("r+b") as file:
        file.truncate(1 << 40)  # a sparse one
    refused(local, saved, caplog, f"has {1 << 40} bytes")


def test_a_link_is_not_followed(local, tmp_path, caplog):
    saved = local.write("trial", 7, 500, DATA)
    path = tmp_path / "c" / "tiny" / saved.file
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    refused(local, saved, caplog, "is a link")


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["pipe", "folder"])
def test_what_is_no_file_is_not_waited_for(local, tmp_path, caplog, make):
    saved = local.write("trial", 7, 500, DATA)
    path = tmp_path / "c" / "tiny" / saved.file
    path.unlink()
    make(path)
    refused(local, saved, caplog, "is no file")


FOREIGN = [
    "../../secret",
    "/etc/passwd",
    "x.pt",
    "trial-7-500-0123456789abcdef.pt/../x",
    "a\0b",
    "",
]


@pytest.mark.parametrize("file", FOREIGN)
def test_a_name_that_is_none_of_ours_is_neither_read_nor_removed(file, tmp_path, caplog):
    store = CheckpointStore(str(tmp_path / "c"), "tiny")
    store.write("trial", 1, 1, DATA)
    (tmp_path / "secret").write_text("x")
    (tmp_path / "c" / "tiny" / "x.pt").write_text("x")
    before = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    assert store.read(file, "0" * 64) is None
    assert store.remove([file]) == 0
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == before
    assert len(caplog.messages) == 2
    assert owner(file) is None


def test_the_files_of_an_item_go_with_what_was_half_written(store):
    files = [
        store.write(kind, 7, step, DATA).file for kind in ("trial", "range test") for step in (1, 2)
    ]
    other = store.write("trial", 77, 1, DATA).file
    put(store, f"{files[0]}.123.tmp", b"half")
    assert {owner(name) for name in store.names()} == {
        ("trial", 7),
        ("trial", 77),
        ("range test", 7),
    }
    assert store.remove_all_of("trial", 7) == 3
    assert store.names() == sorted([*files[2:], other])


def test_what_is_not_there_need_not_be_removed(store, caplog):
    saved = store.write("trial", 7, 1, DATA)
    assert store.remove([saved.file]) == 1
    assert store.remove([saved.file]) == 0
    assert store.names() == []
    assert caplog.messages == []


def test_the_studys_folder_goes_with_its_last_file_and_the_users_own_stays(tmp_path):
    store = CheckpointStore(str(tmp_path / "c"), "tiny")
    files = [store.write("trial", 7, step, DATA).file for step in (1, 2)]
    store.remove(files[:1])
    assert (tmp_path / "c" / "tiny").is_dir()
    store.remove(files[1:])
    assert list(tmp_path.iterdir()) == [tmp_path / "c"]
    assert list((tmp_path / "c").iterdir()) == []


def test_without_a_place_it_is_a_folder_below_the_current_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = CheckpointStore(None, "tiny")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")  # a task may do so; the folder stays
    saved = store.write("trial", 7, 1, DATA)
    assert (tmp_path / DEFAULT_FOLDER / "tiny" / saved.file).read_bytes() == DATA
    store.remove([saved.file])
    assert not (tmp_path / DEFAULT_FOLDER).exists()


def test_a_crash_while_writing_leaves_what_was_there(tmp_path, monkeypatch):
    store = CheckpointStore(str(tmp_path), "tiny")
    older = store.write("trial", 7, 1, DATA)

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        store.write("trial", 7, 2, b"newer")
    assert store.names() == [older.file]
    assert store.read(older.file, older.sha256) == DATA


def test_workers_that_write_while_others_remove_the_empty_folder(tmp_path):
    def work(item):
        store = CheckpointStore(str(tmp_path), "tiny")
        for step in range(100):
            saved = store.write("trial", item, step, DATA)
            assert store.read(saved.file, saved.sha256) == DATA
            store.remove([saved.file])
        done.append(item)

    done = []
    threads = [Thread(target=work, args=(item,)) for item in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done) == [0, 1, 2]


@pytest.mark.parametrize(
    ("where", "message"),
    [
        (
            "s3://bucket/x",
            "checkpoints = 's3://bucket/x' needs a package that is not here: Install s3fs",
        ),
        (
            "gs://bucket",
            "checkpoints = 'gs://bucket' needs a package that is not here: Please install gcsfs",
        ),
        ("foo://x", "checkpoints = 'foo://x': Protocol not known: foo; a folder, or a URL such as"),
        (
            "simplecache::s3://x",
            "checkpoints = 'simplecache::s3://x' is a chain of file systems; a folder",
        ),
        ("s3://me:secret@bucket", "checkpoints must not hold a password"),
        ("http://[x", "checkpoints = 'http://[x' is no URL: Invalid IPv6 URL"),
    ],
)
def test_a_place_that_cannot_be_used_is_refused_in_one_line(where, message, monkeypatch):
    for package in ("s3fs", "gcsfs"):
        monkeypatch.setitem(sys.modules, package, None)  # as where it is not installed
    with pytest.raises(SpecError) as error:
        CheckpointStore(where, "tiny")
    assert str(error.value).startswith(message)
    assert str(error.value).isprintable()
    assert "secret" not in str(error.value)


def test_a_home_folder_is_written_as_people_do(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    saved = CheckpointStore("~/c", "tiny").write("trial", 1, 1, DATA)
    assert (Path(tmp_path) / "c" / "tiny" / saved.file).is_file()
