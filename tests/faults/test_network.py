"""Downloads of the archive and of weights from a server that does what servers should not.

The witness is the server's own content: what is handed out has its bytes, and whatever else happens
the end is one line within the time that the time-outs allow, with nothing wrong left behind.
"""

import hashlib
import time

import pytest

from faults.conftest import attack
from faults.hostile_server import CONTENT, FAILS, GETS_THERE, OTHER, Server
from segmodels.data.sources import download
from segmodels.models import pretrained

MD5 = hashlib.md5(CONTENT).hexdigest()
NAME = f"resnet18-{hashlib.sha256(CONTENT).hexdigest()[:8]}.pth"
PATIENT = 15  # seconds; time-outs of 0.3 s, two attempts


pytestmark = pytest.mark.slow


@pytest.fixture
def server():
    with Server() as server:
        yield server


@pytest.fixture(autouse=True)
def hasty(monkeypatch):
    monkeypatch.setattr(download, "TIMEOUT", (2, 0.3))
    monkeypatch.setattr(download, "WAITS", (0,))


@pytest.fixture
def archive(server, tmp_path):
    """archive(behaviour): fetch the archive into `folder`, one address only."""

    def fetch(*behaviours, md5=(MD5,)):
        urls = [f"{server.url}/{behaviour}/voc.tar" for behaviour in behaviours]
        return download.fetch(urls, md5, fetch.folder, "SEGMODELS_VOC_ARCHIVE")

    fetch.folder = tmp_path / "scratch"
    return fetch


@pytest.fixture
def published(server, tmp_path, monkeypatch):
    """published(behaviour): starting weights from torchvision's address, into `folder`."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(pretrained, "ATTEMPTS", (0,))

    def fetch(behaviour):
        monkeypatch.setitem(pretrained.IMAGENET, "resnet18", f"{server.url}/{behaviour}/{NAME}")
        arguments = {"backbone": "resnet18"}
        url = pretrained.source(arch="fcn", arguments=arguments, init="imagenet")
        return pretrained._download(url)

    fetch.folder = tmp_path / "torch/hub/checkpoints"
    return fetch


@pytest.fixture(params=["archive", "published"])
def fetch(request):
    """Either of the two."""
    return request.getfixturevalue(request.param)


def refused(fetch, *behaviours, **options):
    """The line of a download that ends with one, in time."""
    begin = time.monotonic()
    with pytest.raises((ValueError, OSError)) as caught:
        fetch(*behaviours, **options)
    assert time.monotonic() - begin < PATIENT
    return str(caught.value)


@pytest.mark.parametrize("behaviour", GETS_THERE)
def test_file_arrives_whole_or_not_at_all(fetch, behaviour):
    with attack():
        begin = time.monotonic()
        assert fetch(behaviour).read_bytes() == CONTENT
        assert time.monotonic() - begin < PATIENT


@pytest.mark.parametrize("behaviour", FAILS)
def test_failure_is_one_line_in_time_and_keeps_nothing_wrong(fetch, behaviour):
    with attack():
        told = refused(fetch, behaviour)
        reason = [line for line in told.splitlines() if f"/{behaviour}" in line]
        assert len(reason) == 1 or "the download needs" in told, told
        assert "Traceback" not in told and "object at 0x" not in told
        left = sorted(fetch.folder.iterdir()) if fetch.folder.exists() else []
        parts = [path for path in left if path.suffix not in (".part", ".validator")]
        assert not parts, "under the name of the result there is nothing"
        if fetch.folder.name == "checkpoints":
            assert not left, "nor a part that another process would find"
        assert fetch("good").read_bytes() == CONTENT, "and later it can be had"


def test_next_address_is_tried_after_each_failure(archive):
    for behaviour in ("says_no_number", "answers_garbage", "sends_a_page", "redirects_nowhere"):
        with attack():
            (archive.folder / "archive").unlink(missing_ok=True)
            assert archive(behaviour, "good").read_bytes() == CONTENT


@pytest.mark.parametrize("left", [b"", b'"2"', b"\0\0", b"\xff\n", None])
def test_wrong_note_beside_a_part_starts_over(archive, left):
    """The note of an earlier process may be damaged, or missing; the part is then of no use."""
    with attack():
        refused(archive, "truncates")
        (note,) = archive.folder.glob("*.validator")
        digest = hashlib.sha256(archive_url(archive).encode()).hexdigest()[:16]
        for path in (note, note.with_suffix(".part")):  # as of the address that is good
            path.rename(path.with_stem(digest))
        note = note.with_stem(digest)
        if left is None:
            note.unlink()
        else:
            note.write_bytes(left)
        assert archive("good").read_bytes() == CONTENT


def test_part_of_another_file_is_found_out_by_the_checksum(archive):
    """Its note is that of the file on offer; the next attempt starts over."""
    with attack():
        refused(archive, "truncates")
        (note,) = archive.folder.glob("*.validator")
        digest = hashlib.sha256(archive_url(archive).encode()).hexdigest()[:16]
        note.rename(note.with_stem(digest))
        note.with_stem(digest).with_suffix(".part").write_bytes(OTHER[:1_000_000])
        assert "md5 is" in refused(archive, "good")
        assert archive("good").read_bytes() == CONTENT


def archive_url(archive):
    """The address that `archive("good")` asks."""
    (cell,) = (c.cell_contents for c in archive.__closure__ if isinstance(c.cell_contents, Server))
    return f"{cell.url}/good/voc.tar"


@pytest.mark.parametrize("behaviour", ["changes", "changes_under_one_name"])
def test_two_files_are_never_joined(archive, behaviour):
    """Whichever of the two versions is right, a mixture is not."""
    right = [hashlib.md5(content).hexdigest() for content in (CONTENT, OTHER)]
    with attack():
        try:
            found = archive(behaviour, md5=right).read_bytes()
        except ValueError:
            assert behaviour == "changes_under_one_name"
        else:
            assert found == OTHER


def test_wrong_weights_that_lie_in_the_cache_are_refused(published):
    with attack():
        published.folder.mkdir(parents=True)
        (published.folder / NAME).write_bytes(OTHER)
        with pytest.raises(ValueError, match=rf"{NAME}: sha256 does not start with .*delete it"):
            published("good")
