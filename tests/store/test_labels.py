"""The label store: many writers, kills, damage, and recalls that take effect as a whole."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import pytest

from saltern.cli import main
from saltern.errors import UserError
from saltern.frames import Frames
from saltern.store import LabelStore, write_frames

KEYS = [f"{i:064x}" for i in range(1, 400)]
NOBODY = 65534


def record(writer: object, recall: str = "") -> dict[str, Any]:
    """What matters to the store, and floats that must keep every bit."""
    return {
        "answer": {"energy": -0.1 - 2**-54, "forces": [[1e-300, -0.0]]},
        "record": {"host": writer, "recall": recall},
    }


def place(store: LabelStore, key: str, kind: str = "labels") -> Path:
    return store.directory / kind / key[:2] / f"{key}.json"


@pytest.fixture
def store(tmp_path: Path) -> LabelStore:
    return LabelStore(tmp_path / "store")


def test_a_label_comes_back_as_it_was_and_the_first_one_stays(store: LabelStore) -> None:
    assert store.find(KEYS[0]) is None
    assert store.add(KEYS[0], record("a")) == record("a")
    assert store.add(KEYS[0], record("b")) == record("a")
    assert LabelStore(store.directory).find(KEYS[0]) == record("a")
    assert str(store.find(KEYS[0])["answer"]["forces"][0][1]) == "-0.0"


WRITER = """
import sys, time
from pathlib import Path
from saltern.store import LabelStore
store, me, start = LabelStore(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
Path(f"{start}.{me}").touch()
while not start.exists():
    time.sleep(0.001)
for number in range(1, int(sys.argv[4]) + 1):
    key = f"{number:064x}"
    found = store.add(key, {"answer": {}, "record": {"host": me, "recall": ""}})
    print(found["record"]["host"])
"""


def writers(store: LabelStore, start: Path, processes: int, labels: int) -> list[list[str]]:
    """For each of some processes that add the same labels at the same time: whose label it was given."""
    running = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, store.directory, str(me), start, str(labels)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for me in range(processes)
    ]
    deadline = time.monotonic() + 120
    while not all(Path(f"{start}.{me}").exists() for me in range(processes)) and time.monotonic() < deadline:
        time.sleep(0.01)
    start.touch()
    outputs = [process.communicate(timeout=120)[0].split() for process in running]
    assert [process.returncode for process in running] == [0] * processes
    return outputs


def test_many_writers_of_the_same_labels_are_all_given_the_same_one(store: LabelStore, tmp_path: Path) -> None:
    given = writers(store, tmp_path / "start", processes=4, labels=200)
    kept = [found["record"]["host"] for _, found in store]
    assert len(kept) == 200
    assert given == [kept] * 4
    assert len(set(kept)) > 1, "the writers took turns; otherwise this test shows nothing"
    assert len(list(store.directory.rglob("*"))) == 200 + 2, "200 files in two folders and nothing else"


def test_every_flipped_bit_is_found_and_the_question_is_open_again(store: LabelStore) -> None:
    store.add(KEYS[0], record("a"))
    path = place(store, KEYS[0])
    whole = path.read_bytes()
    for byte in range(len(whole)):
        for bit in (0, 1, 6):
            broken = bytearray(whole)
            broken[byte] ^= 1 << bit
            path.write_bytes(bytes(broken))
            assert store.find(KEYS[0]) is None, f"bit {bit} of byte {byte}, {whole[byte : byte + 1]!r}"
            assert not path.exists()
            assert place(store, KEYS[0], "damaged").read_bytes() == broken
    assert store.add(KEYS[0], record("b")) == record("b")


@pytest.mark.parametrize("damage", ["truncated", "empty", "foreign", "another key's", "not text"])
def test_files_that_are_no_label_are_put_aside(
    store: LabelStore, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    store.add(KEYS[0], record("a"))
    store.add(KEYS[1], record("b"))
    path = place(store, KEYS[0])
    contents = {
        "truncated": path.read_bytes()[:-30],
        "empty": b"",
        "foreign": b'{"format": "something else"}\n{}\n',
        "another key's": place(store, KEYS[1]).read_bytes(),
        "not text": b"\xff\xfe\x00",
    }
    path.write_bytes(contents[damage])
    assert store.add(KEYS[0], record("c")) == record("c"), "an answer that is there again takes the place"
    assert capsys.readouterr().err == f"{path}: damaged, put aside; its question is asked again\n"
    assert [key for key, _ in store] == KEYS[:2]


def test_a_label_of_a_later_version_is_left_alone(store: LabelStore) -> None:
    head = {"format": "saltern-label", "format_version": 2, "key": KEYS[0], "checksum": "another way"}
    path = place(store, KEYS[0])
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(head) + "\n{}\n")
    with pytest.raises(UserError, match=r"format version 2, this Saltern reads up to 1"):
        store.find(KEYS[0])
    assert path.exists()


def test_a_file_that_cannot_be_read_is_not_damaged(store: LabelStore) -> None:
    """A fault of the network, say: the label may be as good as ever."""
    path = place(store, KEYS[0])
    path.mkdir(parents=True)
    with pytest.raises(UserError, match="cannot be read"):
        store.find(KEYS[0])
    assert path.exists()


def test_what_took_the_place_of_a_damaged_label_meanwhile_stays(store: LabelStore) -> None:
    """Two find the damage; one has put a new label there before the other moves what it takes for the old one."""
    store.add(KEYS[0], record("new"))
    store._put_aside(KEYS[0], "damaged")
    assert store.find(KEYS[0]) == record("new")
    assert not place(store, KEYS[0], "damaged").exists()


@pytest.mark.parametrize("code", [errno.EPERM, errno.EOPNOTSUPP])
def test_without_hard_links(store: LabelStore, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "link", refuse)
    assert store.add(KEYS[0], record("a")) == record("a")
    assert store.add(KEYS[0], record("b")) == record("a")
    store.recall("one", [KEYS[0]], {})
    assert store.find(KEYS[0]) is None
    assert not list(store.directory.rglob(".*"))


@pytest.fixture
def read_only() -> Iterator[LabelStore]:
    """A store with one label that this process may only read; root works as nobody, whom permissions bind."""
    outer = Path(mkdtemp(prefix="saltern-read-only-"))
    store = LabelStore(outer / "store")
    store.add(KEYS[0], record("a"))
    outer.chmod(0o755)
    for path in store.directory.rglob("*"):
        if path.is_dir():
            path.chmod(0o555)
    store.directory.chmod(0o555)
    root = os.geteuid() == 0
    if root:
        os.seteuid(NOBODY)
    yield store
    if root:
        os.seteuid(0)
    for path in [store.directory, *store.directory.rglob("*")]:
        path.chmod(0o755)
    shutil.rmtree(outer)


def test_a_store_that_may_only_be_read(read_only: LabelStore) -> None:
    assert read_only.find(KEYS[0]) == record("a")
    for attempt in (
        lambda: read_only.add(KEYS[1], record("a")),
        lambda: read_only.recall("one", [KEYS[0]], {}),
    ):
        with pytest.raises(UserError, match=r"store: cannot be written \(Permission denied\)") as caught:
            attempt()
        assert len(caught.value.lines) == 1
    assert read_only.find(KEYS[0]) == record("a")


def test_unfinished_files_of_killed_writers_are_no_labels_and_go_after_a_day(store: LabelStore) -> None:
    script = (
        "import os, signal, sys; from saltern.store import LabelStore; from saltern.store import files; "
        "files.publish = lambda *_: os.kill(os.getpid(), signal.SIGKILL); "
        "LabelStore(sys.argv[1]).add(sys.argv[2], {})"
    )
    killed = subprocess.run([sys.executable, "-c", script, store.directory, KEYS[0]], check=False)
    assert killed.returncode == -signal.SIGKILL
    [left] = place(store, KEYS[0]).parent.iterdir()
    assert left.name.startswith(f".{KEYS[0]}.json.")
    assert store.keys() == [] == list(store)
    assert store.add(KEYS[0], record("a")) == record("a")
    assert store.tidy() == 0, "its writer may still be at work"
    day_before_yesterday = time.time() - 2 * 86400
    os.utime(left, (day_before_yesterday, day_before_yesterday))
    os.utime(place(store, KEYS[0]), (day_before_yesterday, day_before_yesterday))
    assert store.tidy() == 1
    assert [key for key, _ in store] == [KEYS[0]]


def test_a_recall_takes_effect_with_its_file_even_if_no_label_was_moved(store: LabelStore) -> None:
    """As after a kill right after the file was there."""
    for key in KEYS[:3]:
        store.add(key, record("a"))
    (store.directory / "recalls").mkdir()
    content = {"reason": "a test", "keys": KEYS[:2]}
    (store.directory / "recalls/one.json").write_text(json.dumps(content))
    again = LabelStore(store.directory)
    assert [key for key, _ in again] == [KEYS[2]]
    assert again.find(KEYS[0]) is None
    assert place(store, KEYS[0], "recalled/one").exists()
    again.recall("one", KEYS[:2], {"reason": "a test"})
    assert {path.name for path in (store.directory / "recalled/one").rglob("*.json")} == {f"{k}.json" for k in KEYS[:2]}
    with pytest.raises(UserError, match="is another recall"):
        again.recall("one", KEYS[:3], {"reason": "a test"})
    assert again.find(KEYS[2]) is not None


def test_a_label_that_was_asked_before_its_recall_is_not_taken_for_a_new_one(store: LabelStore) -> None:
    """Somebody asked the engine before the recall and answers after it."""
    store.add(KEYS[0], record("a"))
    store.recall("one", [KEYS[0]], {})
    assert store.add(KEYS[0], record("late")) == record("late"), "its maker may go on, and is found out later"
    assert store.find(KEYS[0]) is None
    assert store.add(KEYS[0], record("anew", store.recalled(KEYS[0]))) == record("anew", "one")
    assert store.find(KEYS[0]) == record("anew", "one")


def test_labels_can_be_recalled_again_whatever_the_names_and_the_clock_say(store: LabelStore) -> None:
    store.add(KEYS[0], record("a"))
    for name, known in (
        ("2026-11-22-zinc", "2026-11-22-zinc"),
        ("2026-11-21-iron", "2026-11-21-iron, 2026-11-22-zinc"),
    ):
        store.recall(name, [KEYS[0]], {})
        assert store.find(KEYS[0]) is None
        assert store.recalled(KEYS[0]) == known
        store.add(KEYS[0], record("b", known))
        assert store.find(KEYS[0]) == record("b", known)


def test_a_finished_recall_keeps_its_file(store: LabelStore) -> None:
    """Batches made since are newer than it; were it written again they would all be made again."""
    store.add(KEYS[0], record("a"))
    store.recall("one", [KEYS[0]], {"reason": "a test"})
    path = store.directory / "recalls/one.json"
    before = path.stat()
    store.recall("one", [KEYS[0]], {"reason": "a test"})
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.parametrize("name", ["../one", "", ".one", "a, b"])
def test_names_of_recalls_are_plain(store: LabelStore, name: str) -> None:
    with pytest.raises(UserError, match="only letters"):
        store.recall(name, [], {})


def batch(path: Path, keys: list[str], since: list[str], told: list[str]) -> Path:
    """A file of labels, as far as recalls go."""
    frames = Frames.uniform(np.array([1]), len(keys), label_key=np.array(keys), recall=np.array(since))
    write_frames(path, frames, {"recalls": told})
    return path


def test_a_batch_depends_on_the_recalls_that_touch_it_and_on_those_it_was_made_because_of(
    store: LabelStore, tmp_path: Path
) -> None:
    store.recall("one", KEYS[:2], {})
    store.recall("two", KEYS[1:3], {})
    one, two = (store.directory / f"recalls/{name}.json" for name in ("one", "two"))
    assert store.recalls_of(tmp_path / "nothing.h5") == []
    assert store.recalls_of(batch(tmp_path / "old.h5", [KEYS[0], KEYS[9]], ["", ""], [])) == [one]
    assert store.recalls_of(batch(tmp_path / "both.h5", KEYS[:3], ["", "", ""], [])) == [one, two]
    assert store.recalls_of(batch(tmp_path / "half.h5", KEYS[:2], ["one", "one"], [])) == [two]
    assert store.recalls_of(batch(tmp_path / "first.h5", KEYS[:2], ["one", "one, two"], [])) == []
    assert store.recalls_of(batch(tmp_path / "again.h5", KEYS[:2], ["one", "one, two"], ["one"])) == [one]
    (tmp_path / "broken.h5").write_text("no HDF5")
    assert store.recalls_of(tmp_path / "broken.h5") == []


def test_a_store_that_cannot_be_used_is_one_line_and_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert main(["recall", str(tmp_path / "file"), "--list"]) == 2
    assert capsys.readouterr().err == f"saltern: {tmp_path / 'file'}: no label store is there\n"
