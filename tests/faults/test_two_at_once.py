"""Two of everything at once: the results are those of one, at worst a line says to wait."""

import fcntl
import hashlib
import shutil
import tarfile
import threading
import time

import pytest
from conftest import write_tree
from helpers.projects import change_params, commit, dvc, run

from faults import laboratory
from faults.conftest import attack
from faults.laboratory import NAMED, OUTS, STAGES, check, make, repro, results, stage, start

pytestmark = pytest.mark.slow
BUSY = ("is busy, it is being blocked by", "Unable to acquire lock")  # DVC's words
LAST = "train@small"  # by then two queue workers have long met
READERS = {
    "predict": "evaluate",
    "evaluate": "compare",
    "compare": "page",
}  # what reads a stage's files


@pytest.fixture(scope="module")
def laboratory_at_rest(tmp_path_factory, computed):
    folder = tmp_path_factory.mktemp("work") / "project"
    shutil.copytree(computed[0], folder, symlinks=True)
    check(folder, computed[1])
    return folder, computed[1]


@pytest.mark.rotates
@pytest.mark.parametrize(
    ("later", "last"),
    [(0.0, []), (2.5, ["predict@small"]), (5.0, ["predict@small"])],  # long after they have met
    ids=["0 s later", "2.5 s later", "5 s later"],
)
def test_two_repro_in_one_clone(laboratory_at_rest, later, last):
    folder, expected = laboratory_at_rest
    laboratory.without(folder, *[out for outs in OUTS.values() for out in outs])
    outputs = [folder.parent / f"log{k}" for k in range(2)]
    with attack():
        both = []
        for log in outputs:
            both.append(start(folder, "-m", "dvc", "repro", "--force", *last, log=log))
            time.sleep(later)
        statuses = [process.wait(laboratory.SECONDS) for process in both]
        texts = [log.read_text(encoding="utf-8") for log in outputs]
        for status, text in zip(statuses, texts, strict=True):
            assert status == 0 or any(words in text for words in BUSY), text
            assert "Traceback" not in text, text
        assert 0 in statuses or later == 0, texts  # the first goes on
        laboratory.wait_for_silence(folder)
        check(folder, expected)


def test_run_waits_for_another_dvc_that_works_for_long(laboratory_at_rest):
    """Found: DVC gives up after 3 s, and a training that had ended well was done again.

    `dvc status` on many pictures holds the lock as long as this test does.
    """
    folder, expected = laboratory_at_rest
    before, done = (folder / "params.yaml").read_bytes(), []
    with attack():
        change_params(folder, seed=7)
        thread = threading.Thread(target=lambda: done.append(make(folder)))
        thread.start()
        number = laboratory.importing(folder)
        with open(folder / ".dvc/tmp/lock", "a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            while number in laboratory.at_work(folder):
                time.sleep(0.1)
            time.sleep(6)
        thread.join()
        ((status, output),) = done
        assert status == 0 and "tools/python -m stages.train" in output, output
        (folder / "params.yaml").write_bytes(before)
        check(folder, expected)


@pytest.mark.rotates
@pytest.mark.parametrize("name", STAGES)
def test_one_stage_twice_without_dvc(laboratory_at_rest, name):
    """Found for download: each removed the tree that the other was filling."""
    folder, expected = laboratory_at_rest
    laboratory.without(folder, *OUTS[name])
    words = ["-m", f"stages.{name}", *["small"] * (name in NAMED)]
    outputs = [folder.parent / f"log{k}" for k in range(2)]
    with attack():
        both = [start(folder, *words, log=log) for log in outputs]
        for process, log in zip(both, outputs, strict=True):
            status, text = process.wait(laboratory.SECONDS), log.read_text(encoding="utf-8")
            said = [line for line in text.splitlines() if line.startswith("error: ")]
            assert status == 0 or len(said) == 1, text
            assert "Traceback" not in text, text
        found = results(folder)
        assert {name: found.get(name) for name in expected} == expected
        assert not list((folder / ".scratch").iterdir())
        check(folder, expected)


@pytest.mark.rotates
@pytest.mark.parametrize("writer", READERS)
def test_reader_while_a_stage_writes(laboratory_at_rest, writer):
    """The stage runs again and again under DVC, which removes its files before it starts."""
    folder, expected = laboratory_at_rest
    reader = READERS[writer]
    written, seen, undisturbed = [], [], written_by(folder, reader)
    assert undisturbed

    def write():
        for _ in range(2):
            written.append(repro(folder, "--force", "--single-item", STAGES[writer]))

    thread = threading.Thread(target=write)
    thread.start()
    while thread.is_alive():
        with attack():
            status, error = stage(folder, reader, *["small"] * (reader in NAMED))
            assert status == 0 or error.startswith("error: ") and "Traceback" not in error, error
            seen.append(status)
            assert status or written_by(folder, reader) == undisturbed
    thread.join()
    assert all(status == 0 for status, _ in written), written
    assert 0 in seen
    check(folder, expected)


def written_by(folder, reader):
    """The files that a reader writes."""
    root = folder / {**OUTS, "page": ["data/page"]}[reader][0]
    return {path.name: path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.mark.longest
def test_two_queue_workers_that_need_the_same_archive(tmp_path):
    """Found: both wrote into one partial file, and one removed what the other was about to read."""
    write_tree(tmp_path / "VOCdevkit/VOC2012", train=6, val=3, num_classes=5)
    path = tmp_path / "voc.tar"
    with tarfile.open(path, "w") as tar:
        tar.add(tmp_path / "VOCdevkit", "VOCdevkit")
        padding = tarfile.TarInfo("VOCdevkit/VOC2012/padding")
        padding.size = 20_000_000  # some seconds of download
        with open("/dev/zero", "rb") as zeros:
            tar.addfile(padding, zeros)
    content = path.read_bytes()
    md5 = hashlib.md5(content).hexdigest()
    with laboratory.serving(content) as server, attack():
        source = {"urls": [server.address], "md5": [md5]}
        folder = laboratory.settle(tmp_path / "project", {"archive": source}, epochs=1)
        commit(folder)
        for k in range(2):
            name = f"seed{k + 1}"
            dvc(folder, "exp", "run", "--queue", "-S", f"seed={k + 1}", "--name", name, LAST)
        dvc(folder, "queue", "start", "-j", "2")
        deadline = time.monotonic() + 4 * laboratory.SECONDS
        while (state := dvc(folder, "queue", "status")).count("Success") < 2:
            assert "Failed" not in state, logs(folder)
            assert time.monotonic() < deadline, state
            time.sleep(8)  # each look costs seconds of a core
        assert not list((folder / ".scratch").iterdir())
        hashes = []
        for k in range(2):
            run(folder, "git", "checkout", "-q", "-f", run_of(folder, f"seed{k + 1}"))
            dvc(folder, "checkout", "--force", "--with-deps", LAST)
            hashes.append(results(folder))
            status, output = repro(folder, LAST)
            assert status == 0 and "tools/python" not in output, output  # nothing is left to do
            assert results(folder) == hashes[-1]
        pictures = [k for k in hashes[0] if "JPEGImages" in k]
        assert len(pictures) == 9
        assert all(hashes[0][k] == hashes[1][k] for k in pictures)
        weights = "data/runs/tiny/small/train/weights.pt"
        assert hashes[0][weights] != hashes[1][weights]


def logs(folder):
    """What the workers' experiments printed."""
    found = sorted((folder / ".dvc/tmp/exps/run").rglob("*.out"))
    return "\n".join(path.read_text(encoding="utf-8", errors="replace") for path in found)


def run_of(folder, name):
    """The commit of an experiment."""
    listed = run(folder, "git", "for-each-ref", "--format=%(objectname) %(refname)", "refs/exps")
    (commit_id,) = {line.split()[0] for line in listed.splitlines() if line.endswith(f"/{name}")}
    return commit_id
