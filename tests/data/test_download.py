"""fetch against a server on localhost that does what servers do; what it sent is the witness."""

import hashlib
import random
import subprocess
import sys
import threading
from collections import namedtuple
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from segmodels.core import files
from segmodels.data.sources import download

CONTENT = random.Random(0).randbytes(3_000_000)
OTHER = random.Random(1).randbytes(len(CONTENT))
MD5, OTHER_MD5 = (hashlib.md5(content).hexdigest() for content in (CONTENT, OTHER))

Usage = namedtuple("Usage", "total used free")


class Handler(BaseHTTPRequestHandler):
    """The first part of the path says how to behave."""

    def do_GET(self):
        self.server.asked.append((self.path, self.headers.get("Range")))
        getattr(self, self.path.split("/")[1])()

    def log_message(self, *_):
        pass

    def answer(self, content, etag='"1"', until=None, length=None, lacks=""):
        """Send content from the offset asked for; `until` cuts the connection there.

        lacks: what the server does not know: Range, If-Range, or an ETag in a 206.
        """
        offset = self.headers.get("Range") if lacks != "Range" else None
        offset = int(offset.removeprefix("bytes=").removesuffix("-")) if offset else 0
        if lacks != "If-Range" and self.headers.get("If-Range", etag) != etag:
            offset = 0
        if offset >= len(content):
            return self.send_error(416)
        self.send_response(206 if offset else 200)
        self.send_header("Content-Length", str(length or len(content) - offset))
        if etag and not (offset and lacks == "ETag"):
            self.send_header("ETag", etag)
        if offset:
            self.send_header("Content-Range", f"bytes {offset}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        body = content[offset:until]
        self.wfile.write(body)
        self.server.served += len(body)

    def good(self):
        self.answer(CONTENT)

    def exact(self):  # says how long the file is that has nothing left to send
        self.send_response(416)
        self.send_header("Content-Range", f"bytes */{len(CONTENT)}")
        self.end_headers()

    def other(self):
        self.answer(OTHER)

    def missing(self):
        self.send_error(404)

    def busy(self):
        self.send_error(503)

    def thrice(self):  # cuts at 20, 40 and 60 %
        self.answer(CONTENT, until=len(self.server.asked) * 600_000 if self.nth() < 4 else None)

    def always(self):
        self.answer(CONTENT, until=700_000)

    def forgetful(self):  # no Range: each connection starts over and every other one breaks
        self.answer(CONTENT, until=2_500_000 if self.nth() < 3 else None, lacks="Range")

    def changing(self, lacks=""):  # becomes another file after the second connection
        if self.nth() < 3:
            return self.answer(CONTENT, '"1"', until=1_000_000 * self.nth(), lacks=lacks)
        self.answer(OTHER, '"2"', lacks=lacks)

    def mixing(self):
        self.changing(lacks="If-Range")

    def terse(self):
        self.changing(lacks="ETag")

    def tenfold(self):
        self.answer(CONTENT, until=300_000 * self.nth())

    def unnamed(self):  # no validator at all
        self.answer(CONTENT, None, until=1_000_000 if self.nth() == 1 else None)

    def quiet(self):
        until = 1_000_000 * self.nth() if self.nth() < 3 else None
        self.answer(CONTENT, until=until, lacks="ETag")

    def overlong(self):
        self.answer(CONTENT, length=len(CONTENT) + 10)

    def short(self):
        self.answer(CONTENT, length=len(CONTENT) - 10)

    def page(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write(b"<html>moved</html>")

    def loop(self):
        self.send_response(302)
        self.send_header("Location", self.path)
        self.end_headers()

    def moved(self):
        self.send_response(301)
        self.send_header("Location", "/good")
        self.end_headers()

    def stalls(self):  # half of the file, then silence
        if self.nth() > 1:
            return self.answer(CONTENT)
        self.answer(CONTENT, until=len(CONTENT) // 2)
        self.wfile.flush()
        self.server.halfway.set()
        self.server.closing.wait(20)

    def nth(self):
        return sum(path == self.path for path, _ in self.server.asked)


@pytest.fixture
def server():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.asked, server.served = [], 0
    server.halfway, server.closing = threading.Event(), threading.Event()
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server
    server.closing.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def fetch(server, tmp_path, monkeypatch):
    """fetch(path, ...) from the server, without waiting."""
    monkeypatch.setattr(download, "TIMEOUT", (2, 0.3))
    monkeypatch.setattr(download, "WAITS", (0, 0, 0))

    def fetch(*paths, md5=(MD5,)):
        urls = [path if "://" in path else f"{server.url}/{path}" for path in paths]
        return download.fetch(urls, md5, tmp_path / "scratch", "SEGMODELS_VOC_ARCHIVE")

    return fetch


def test_a_file_without_a_checksum_is_fetched_anew_after_its_content_was_refused(fetch, server):
    first = fetch("thrice", md5=())
    assert first.read_bytes() == CONTENT
    first.write_bytes(b"of another version, whose content was refused")
    assert fetch("thrice", md5=()).read_bytes() == CONTENT


def test_a_file_at_hand_without_a_checksum_has_to_exist(tmp_path):
    with pytest.raises(ValueError, match=r"x\.tar: no such file, expected an archive"):
        download.verify(tmp_path / "x.tar", [])


def test_three_broken_connections_are_continued(fetch, server):
    assert fetch("thrice").read_bytes() == CONTENT
    ranges = [asked for _, asked in server.asked]
    assert ranges == [None, "bytes=600000-", "bytes=1200000-", "bytes=1800000-"]
    assert server.served == len(CONTENT)


def test_killed_process_is_continued_by_the_next(fetch, server, tmp_path):
    program = """if True:
        import pathlib, sys
        from segmodels.data.sources import download
        download.fetch([sys.argv[1]], [sys.argv[2]], pathlib.Path(sys.argv[3]), "X")
    """
    arguments = [f"{server.url}/stalls", MD5, str(tmp_path / "scratch")]
    process = subprocess.Popen([sys.executable, "-c", program, *arguments])
    try:
        assert server.halfway.wait(20)
        wait_until(lambda: part_size(tmp_path) >= 5 * download.CHUNK)
    finally:
        process.kill()
        process.wait()
    stopped = part_size(tmp_path)
    assert fetch("stalls").read_bytes() == CONTENT
    assert server.asked[1:] == [("/stalls", f"bytes={stopped}-")]
    assert server.served <= len(CONTENT) + download.CHUNK


def wait_until(condition):
    for _ in range(1000):
        if condition():
            return
        threading.Event().wait(0.01)
    raise AssertionError("did not happen")


def part_size(tmp_path):
    return sum(path.stat().st_size for path in (tmp_path / "scratch").glob("*.part"))


def test_stalled_connection_is_continued(fetch, server, capsys):
    assert fetch("stalls").read_bytes() == CONTENT
    assert "no byte for 0.3 s at 1.5 MB of 3.0 MB; next attempt in 0 s" in capsys.readouterr().err
    assert server.served <= len(CONTENT) + download.CHUNK


def test_finished_archive_is_not_fetched_again(fetch, server):
    fetch("good")
    assert fetch("missing").read_bytes() == CONTENT
    assert server.asked == [("/good", None)]


def test_wrong_bytes_are_refused_with_both_checksums(fetch, tmp_path):
    with pytest.raises(ValueError, match=f"/other: md5 is {OTHER_MD5}, expected {MD5}"):
        fetch("other")
    assert not list((tmp_path / "scratch").glob("*.part"))
    assert not (tmp_path / "scratch" / "archive").exists()


def test_wrong_bytes_at_the_first_address_are_fetched_from_the_next(fetch):
    assert fetch("other", "good").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("missing", "answered 404 Not Found"),
        ("busy", "answered 503 Service Unavailable; given up after 4 attempts"),
        ("page", "answered with a web page"),
        ("loop", "Exceeded 30 redirects"),
        ("short", "md5 is [0-9a-f]{32}, expected"),
        ("overlong", "the rest on offer does not fit"),
        ("ftp://127.0.0.1/archive", "No connection adapters"),
        ("http://127.0.0.1:1/archive", "no connection: .*Connection refused.*4 attempts"),
    ],
)
def test_address_that_fails_is_named_and_the_next_is_used(fetch, capsys, path, reason):
    assert fetch(path, "good").read_bytes() == CONTENT
    assert f"{path}: " in capsys.readouterr().err
    pytest.raises(ValueError, fetch, path, md5=["0" * 32]).match(f"{path}: ({reason})")


def test_all_addresses_failing_is_one_error_with_the_way_out(fetch):
    error = pytest.raises(ValueError, fetch, "missing", "other", "page").value
    first, *reasons, advice = str(error).splitlines()
    assert first == "no address gave the archive:"
    assert [reason.split(": ")[0].rsplit("/")[-1] for reason in reasons] == [
        "missing",
        "other",
        "page",
    ]
    assert "SEGMODELS_VOC_ARCHIVE=/path/to.tar" in advice


def test_server_without_range_starts_over(fetch, server):
    assert fetch("forgetful").read_bytes() == CONTENT
    assert server.served == len(CONTENT) + 2 * 2_500_000


@pytest.mark.parametrize("path", ["changing", "mixing", "terse"])
def test_file_that_changes_between_two_parts_is_not_mixed(fetch, path):
    assert fetch(path, md5=[MD5, OTHER_MD5]).read_bytes() == OTHER


@pytest.mark.parametrize("path", ["unnamed", "quiet"])
def test_server_that_names_no_version_is_continued(fetch, server, path):
    assert fetch(path).read_bytes() == CONTENT
    assert server.served == len(CONTENT)


def test_connection_that_breaks_often_but_gets_on_is_continued(fetch, server):
    assert fetch("tenfold").read_bytes() == CONTENT
    assert len(server.asked) == 10


def test_connection_that_always_breaks_ends(fetch, server):
    with pytest.raises(ValueError, match="connection broke at 0.7 MB of 3.0 MB; given up after"):
        fetch("always")
    assert len(server.asked) < 10


def part_of(server, path):
    """The name of the partial file of an address, without its suffix."""
    return hashlib.sha256(f"{server.url}/{path}".encode()).hexdigest()[:16]


def test_partial_file_longer_than_the_file_starts_over(fetch, server, tmp_path):
    (tmp_path / "scratch").mkdir()
    (tmp_path / "scratch" / f"{part_of(server, 'good')}.part").write_bytes(CONTENT + b"more")
    assert fetch("good").read_bytes() == CONTENT
    assert [asked for _, asked in server.asked] == [f"bytes={len(CONTENT) + 4}-", None]


def test_partial_file_that_is_whole_is_not_fetched_again(fetch, server, tmp_path):
    """As of a process that was killed between the last byte and the name of the result."""
    (tmp_path / "scratch").mkdir()
    (tmp_path / "scratch" / f"{part_of(server, 'exact')}.part").write_bytes(CONTENT)
    assert fetch("exact").read_bytes() == CONTENT
    assert server.served == 0


def test_redirect_is_followed(fetch):
    assert fetch("moved").read_bytes() == CONTENT


def test_full_disk_is_told_before_the_first_byte(fetch, tmp_path, monkeypatch):
    monkeypatch.setattr(files.shutil, "disk_usage", lambda _: Usage(10, 9, 1_000_000))
    with pytest.raises(ValueError, match="the download needs 3.0 MB, 1.0 MB are free"):
        fetch("good", "other")
    assert part_size(tmp_path) == 0
