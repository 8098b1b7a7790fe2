"""Fetch a file over HTTP: resume, retry, next address, checksum.

A download continues where it stopped, also in another process: each address has a partial file of
its own, named by a digest of the address, and beside it the validator (ETag or Last-Modified) under
which the server sent it, so that two versions of a file are never joined. The result is handed out
only with the right checksum.
Source: RFC 9110, sections 13.1.5 (If-Range), 14 (Range) and 15.5.17 (416).

requests is imported where it is used: a training starts from this module, and seldom downloads.
"""

import hashlib
import json
import re
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segmodels.files import explained, free_space, held, megabytes, write_json

if TYPE_CHECKING:
    import requests

CHUNK = 1 << 18  # bytes
PATIENCE = 24 * 3600  # seconds in which another process may make the same data set
STEP = 1 << 20  # bytes between two broken connections that count as getting on
NUMBER = "[0-9]{1,18}"  # of bytes, as a pattern
SLOWEST = 10  # times the time-out, in which a connection has to bring a STEP


class Refused(Exception):
    """This address will not give the file."""


class _Broken(Exception):
    """The connection broke; another attempt may get further."""


@dataclass(frozen=True)
class Watch:
    """Who is told how a download goes, and how patient it is."""

    progress: Callable[[int, int | None], None]  # bytes so far, bytes in all (None: not known)
    note: Callable[[str], None]  # a line for the user
    timeout: tuple[float, float] = (10, 60)  # seconds to connect, seconds without a byte
    waits: Sequence[float] = (1, 3, 9)  # seconds before each new attempt; anew after another STEP


def fetch(
    urls: Sequence[str], md5: Collection[str], folder: Path, variable: str, watch: Watch
) -> Path:
    """Download a file from the first address that gives it with the right checksum.

    Args:
        urls: addresses, tried in turn.
        md5: checksums, any of which is right.
        folder: where partial files and the result lie; what an earlier process left is continued.
        variable: of the environment, by which an archive at hand is named; the error mentions it.
    Returns:
        Path of the verified file.
    Raises:
        ValueError: no address gave it (a line for each, with both checksums), or the disk is full.
    """
    result = folder / "archive"
    if result.exists() and checksum(result) in md5:
        return result
    folder.mkdir(parents=True, exist_ok=True)
    reasons = []
    for url in urls:
        part = folder / f"{hashlib.sha256(url.encode()).hexdigest()[:16]}.part"
        try:
            complete(url, part, watch)
            _accept(part, md5)
        except Refused as error:
            watch.note(f"{url}: {error}")
            reasons.append(f"{url}: {error}")
        else:
            part.replace(result)
            return result
    advice = f"an archive at hand is taken from {variable}=/path/to.tar"
    raise ValueError("\n  ".join(["no address gave the archive:", *reasons, advice]))


def verify(path: str | Path, md5: Collection[str]) -> Path:
    """The path of a file at hand, once its checksum is right.

    Raises:
        ValueError: the checksum is another, or there is no such file.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such file, expected an archive")
    found = checksum(path)
    if found not in md5:
        raise ValueError(f"{path}: md5 is {found}, expected {' or '.join(md5)}")
    return path


@contextmanager
def alone(folder: Path) -> Iterator[Path]:
    """Hold the folder of a download, which other clones' stages may use; it goes when all is well.

    Raises:
        ValueError: another process has held it for a day.
    """
    busy = f"{folder} is held by another process that makes the same data set: wait until it ends"
    with held(folder, PATIENCE, busy):
        yield folder


def check_space(folder: Path, needed: int, what: str) -> None:
    """Refuse what is larger than the space that is free where a folder is or will be.

    Args:
        needed: bytes.
    Raises:
        ValueError: both numbers.
    """
    if needed > (free := free_space(folder)):
        raise ValueError(
            f"{folder}: {what} needs {megabytes(needed)}, {megabytes(free)} are free: make space "
            "and start the same command again"
        )


def checksum(path: Path) -> str:
    """Hex MD5 of a file: what VOC's mirrors are known by; it finds accidents, not forgeries."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _accept(part: Path, md5: Collection[str]) -> None:
    """Refuse and delete a complete file that is not the expected one."""
    try:
        verify(part, md5)
    except ValueError as error:
        part.unlink()
        raise Refused(str(error).removeprefix(f"{part}: ")) from None


def complete(url: str, part: Path, watch: Watch) -> None:
    """Fill `part` from one address, over as many connections as it takes.

    Raises:
        Refused: the address does not give it.
        ValueError: the disk has no room for it.
    """
    furthest, breaks = _size(part), 0
    while True:
        try:
            return _continue(url, part, watch)
        except _Broken as error:
            # Against the furthest mark ever, since a server without Range starts over each time.
            breaks = 1 if _size(part) >= furthest + STEP else breaks + 1
            furthest = max(furthest, _size(part))
            if breaks > len(watch.waits):
                raise Refused(f"{error}; given up after {breaks} attempts") from None
            watch.note(f"{url}: {error}; next attempt in {watch.waits[breaks - 1]:g} s")
            time.sleep(watch.waits[breaks - 1])


def _continue(url: str, part: Path, watch: Watch) -> None:
    """Append to `part` what it still lacks, over one connection."""
    state = _read_state(part)
    offset = _size(part) if state else 0
    if offset and offset == state["bytes"]:
        return
    with _get(url, _headers(offset, state), watch.timeout) as response:
        offset, total = _span(response, part, offset, state)
        check_space(part.parent, (total or 0) - offset, "the download")
        watch.note(f"{url}: {_megabytes(total)}, starting at {_megabytes(offset)}")
        watch.progress(offset, total)
        try:
            with open(part, "ab") as file:
                file.truncate(offset)  # before the new validator is written: no old bytes under it
                validator = _validator(response) or (state["validator"] if offset else None)
                write_json(_state_path(part), {"bytes": total, "validator": validator})
                _receive(response, file, total, watch)
        except OSError as error:  # others of this machine took the space
            raise explained(error, part, max(0, (total or 0) - _size(part))) from None


def _headers(offset: int, state: dict[str, Any]) -> dict[str, str]:
    headers = {"Accept-Encoding": "identity"}  # size and checksum are those of the stored file
    if offset:
        headers["Range"] = f"bytes={offset}-"
    if offset and state["validator"]:
        headers["If-Range"] = state["validator"]
    return headers


def _get(url: str, headers: dict[str, str], timeout: tuple[float, float]) -> "requests.Response":
    """Open a connection; the answer's body is not read yet."""
    import requests
    import urllib3

    try:
        return requests.get(url, headers=headers, stream=True, timeout=timeout)
    except requests.TooManyRedirects:
        raise Refused("redirects in a loop") from None
    except requests.Timeout:
        raise _Broken("no answer in time") from None
    except requests.ConnectionError as error:
        cause = getattr(next(iter(error.args), error), "reason", error)
        raise _Broken(f"no connection: {str(cause).rsplit(': ', 1)[-1]}") from None
    except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError) as error:
        # The last two: of a redirect to what is no address.
        raise Refused(" ".join(str(error).split())) from None


def _span(
    response: "requests.Response", part: Path, offset: int, state: dict[str, Any]
) -> tuple[int, int | None]:
    """Where in the file the answer starts, and how long the whole file is (None: not said)."""
    status, headers = response.status_code, response.headers
    answered = f"answered {status} {response.reason}"
    if status in (408, 429) or status >= 500:
        raise _Broken(answered)
    if status not in (200, 206, 416):
        raise Refused(answered)
    if status == 200:  # the whole: Range is ignored, or the file is another than before
        if headers.get("Content-Type", "").startswith("text/html"):
            raise Refused("answered with a web page (text/html), not with the archive")
        length = headers.get("Content-Length", "")
        return 0, int(length) if re.fullmatch(NUMBER, length) else None
    pattern = rf"bytes ({NUMBER})-{NUMBER}/({NUMBER})"
    found = re.fullmatch(pattern, headers.get("Content-Range", ""))
    start, total = map(int, found.groups()) if found else (-1, -1)
    same = _validator(response) in (None, state.get("validator"))  # left out: If-Range has compared
    if not same or (start, total) != (offset, state.get("bytes")):
        part.unlink(missing_ok=True)
        raise _Broken("the rest on offer does not fit the part at hand, starting over")
    return start, total


def _receive(response: "requests.Response", file: Any, total: int | None, watch: Watch) -> None:
    """Append the body as it comes, undecoded; one that ends early is a broken connection."""
    import urllib3

    reason = "connection ended"
    mark, deadline = file.tell() + STEP, time.monotonic() + SLOWEST * watch.timeout[1]
    try:
        # One read of the socket at a time: a server that drips never fills a larger piece.
        while chunk := response.raw.read1(CHUNK, decode_content=False):
            file.write(chunk)
            watch.progress(file.tell(), total)
            if file.tell() >= mark:
                mark, deadline = file.tell() + STEP, time.monotonic() + SLOWEST * watch.timeout[1]
            elif time.monotonic() > deadline:
                raise _Broken(f"less than {_megabytes(STEP)} in {SLOWEST * watch.timeout[1]:g} s")
    except urllib3.exceptions.ReadTimeoutError:
        reason = f"no byte for {watch.timeout[1]:g} s"
    except urllib3.exceptions.HTTPError:
        reason = "connection broke"
    else:
        if total is None or file.tell() == total:
            return
    raise _Broken(f"{reason} at {_megabytes(file.tell())} of {_megabytes(total)}")


def _validator(response: "requests.Response") -> str | None:
    """What If-Range accepts: a strong ETag, else the date."""
    etag = response.headers.get("ETag", "W/")
    return response.headers.get("Last-Modified") if etag.startswith("W/") else etag


def _megabytes(size: int | None) -> str:
    return "an unknown size" if size is None else megabytes(size)


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _state_path(part: Path) -> Path:
    return part.with_suffix(".json")


def _read_state(part: Path) -> dict[str, Any]:
    """What `_continue` noted; nothing where that is damaged, so that the download starts over."""
    try:
        state = json.loads(_state_path(part).read_text(encoding="utf-8"))
        size, validator = state["bytes"], state["validator"]
    except (OSError, ValueError, LookupError, TypeError):
        return {}
    known = isinstance(size, int | None) and isinstance(validator, str | None)
    return {"bytes": size, "validator": validator} if known else {}
