"""Fetch a file over HTTP: resume, retry, next address, checksum.

A download continues where it stopped, also in another process: each address has a partial file of
its own, named by a digest of the address, and beside it the validator (ETag or Last-Modified) under
which the server sent it, so that two versions of a file are never joined.
Source: RFC 9110, sections 13.1.5 (If-Range), 14 (Range) and 15.5.17 (416).

requests is imported where it is used: a training starts from this module, and seldom downloads.
"""

import hashlib
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from tqdm import tqdm

from segmodels.core import files

if TYPE_CHECKING:
    import requests

CHUNK = 1 << 18  # bytes
PATIENCE = 24 * 3600  # seconds in which another process may make the same data set
TIMEOUT = (10, 60)  # seconds to connect, seconds without a byte
WAITS = (1, 3, 9)  # seconds before each new attempt; anew after one that got further


class Refused(Exception):
    """This address will not give the file."""


class _Broken(Exception):
    """The connection broke; another attempt may get further."""


def fetch(urls: Sequence[str], md5: Collection[str], folder: Path, variable: str) -> Path:
    """Download a file from the first address that gives it with the right checksum.

    Args:
        urls: addresses, tried in turn.
        md5: checksums, any of which is right; none where the content is verified otherwise. Then a
            file that an earlier process completed is not trusted, but fetched again.
        folder: where partial files and the result lie; what an earlier process left is continued.
        variable: of the environment, by which an archive at hand is named; the error mentions it.
    Returns:
        Path of the verified file.
    Raises:
        ValueError: no address gave it (a line for each, with both checksums), or the disk is full.
    """
    result = folder / "archive"
    if result.exists() and files.md5(result) in md5:
        return result
    folder.mkdir(parents=True, exist_ok=True)
    reasons = []
    for url in urls:
        part = folder / f"{hashlib.sha256(url.encode()).hexdigest()[:16]}.part"
        try:
            complete(url, part, WAITS)
            if wrong := _wrong(part, md5):
                part.unlink()
                raise Refused(wrong)
        except Refused as error:
            reasons.append(f"{url}: {error}")
            _tell(reasons[-1])
        else:
            part.replace(result)
            return result
    advice = f"an archive at hand is taken from {variable}=/path/to.tar"
    raise ValueError("\n  ".join(["no address gave the archive:", *reasons, advice]))


def complete(url: str, part: Path, waits: Sequence[float]) -> None:
    """Fill `part` from one address, over as many connections as it takes.

    Args:
        waits: see WAITS.
    Raises:
        Refused: the address does not give it.
        ValueError: the disk has no room for it.
    """
    furthest = _size(part)
    breaks = 0
    while True:
        try:
            return _continue(url, part)
        except _Broken as error:
            # Against the furthest mark ever, since a server without Range starts over each time.
            breaks = 1 if _size(part) > furthest else breaks + 1
            furthest = max(furthest, _size(part))
            if breaks > len(waits):
                raise Refused(f"{error}; given up after {breaks} attempts") from None
            _tell(f"{url}: {error}; next attempt in {waits[breaks - 1]:g} s")
            time.sleep(waits[breaks - 1])


def verify(path: str | Path, md5: Collection[str]) -> Path:
    """The path of a file at hand, once its checksum is right, or none is known.

    Raises:
        ValueError: the checksum is another, or there is no such file.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such file, expected an archive")
    if wrong := _wrong(path, md5):
        raise ValueError(f"{path}: {wrong}")
    return path


@contextmanager
def alone(folder: Path) -> Iterator[Path]:
    """Hold the folder of a download, which other clones' stages may use; it goes when all is well.

    Raises:
        ValueError: another process has held it for a day.
    """
    busy = f"{folder} is held by another process that makes the same data set: wait until it ends"
    with files.held(folder, PATIENCE, busy):
        yield folder


def _wrong(path: Path, md5: Collection[str]) -> str:
    """What is wrong with a file's checksum; "" if nothing is, or none is known."""
    if not md5:
        return ""
    found = files.md5(path)
    return "" if found in md5 else f"md5 is {found}, expected {' or '.join(md5)}"


def _continue(url: str, part: Path) -> None:
    """Append to `part` what it still lacks, over one connection."""
    note = part.with_suffix(".validator")
    offset = _size(part)
    known = note.read_text(encoding="latin-1").strip() if offset and note.exists() else ""
    headers = {"Accept-Encoding": "identity"}  # size and checksum are those of the stored file
    if offset:
        headers["Range"] = f"bytes={offset}-"
    if known:
        headers["If-Range"] = known
    with _get(url, headers) as response:
        status, span = response.status_code, response.headers.get("Content-Range", "")
        if offset and status == 416 and span == f"bytes */{offset}":
            return
        if status == 200:  # the whole: Range is ignored, or the file is another than before
            offset = 0
        elif not span.startswith(f"bytes {offset}-") or _validator(response) not in ("", known):
            part.unlink(missing_ok=True)
            raise _Broken("the rest on offer does not fit the part at hand, starting over")
        left = response.raw.length_remaining  # None: not said
        files.check_space(part.parent, left or 0, "the download")
        try:
            with open(part, "ab" if offset else "wb") as file:
                if not offset:  # now that the file is empty: no old bytes under a new validator
                    files.write_text(note, _validator(response))
                _receive(response, file, url)
        except OSError as error:  # others of this machine took the space
            raise files.explained(error, part, left or 0) from None


def _get(url: str, headers: dict[str, str]) -> "requests.Response":
    """Open a connection that offers the file or its rest; the body is not read yet."""
    import requests
    import urllib3

    try:
        response = requests.get(url, headers=headers, stream=True, timeout=TIMEOUT)
    except requests.Timeout:
        raise _Broken("no answer in time") from None
    except requests.ConnectionError as error:
        cause = getattr(next(iter(error.args), error), "reason", error)
        raise _Broken(f"no connection: {str(cause).rsplit(': ', 1)[-1]}") from None
    except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError) as error:
        # The last two: of a redirect to what is no address.
        raise Refused(" ".join(str(error).split())) from None
    answered = f"answered {response.status_code} {response.reason}"
    if response.status_code in (408, 429) or response.status_code >= 500:
        raise _Broken(answered)
    if response.status_code not in (200, 206, 416):
        raise Refused(answered)
    page = response.headers.get("Content-Type", "").startswith("text/html")
    if page and response.status_code == 200:
        raise Refused("answered with a web page (text/html), not with the archive")
    return response


def _receive(response: "requests.Response", file: BinaryIO, url: str) -> None:
    """Append the body as it comes, undecoded; one that ends early is a broken connection."""
    import urllib3

    begin, left = file.tell(), response.raw.length_remaining
    total = None if left is None else begin + left
    size = "an unknown size" if total is None else files.megabytes(total)
    _tell(f"{url}: {size}, starting at {files.megabytes(begin)}")
    bar = tqdm(total=total, initial=begin, unit="B", unit_scale=True, disable=None)
    try:
        with bar:
            while chunk := response.raw.read1(CHUNK, decode_content=False):
                file.write(chunk)
                bar.update(len(chunk))
    except urllib3.exceptions.HTTPError as error:
        silent = isinstance(error, urllib3.exceptions.ReadTimeoutError)
        reason = f"no byte for {TIMEOUT[1]:g} s" if silent else "connection broke"
        raise _Broken(f"{reason} at {files.megabytes(file.tell())} of {size}") from None


def _validator(response: "requests.Response") -> str:
    """What If-Range accepts: a strong ETag, else the date; "" where there is neither."""
    etag = response.headers.get("ETag", "W/")
    return response.headers.get("Last-Modified", "") if etag.startswith("W/") else etag


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _tell(line: str) -> None:
    tqdm.write(line, file=sys.stderr)
