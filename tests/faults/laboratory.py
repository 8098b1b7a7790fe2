"""A copy of the project that computes everything within seconds, and what the attacks share."""

import contextlib
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import yaml
from helpers.projects import ROOT, copy_project, hashes

MODEL = {"arch": "unet", "width": 4}
STAGES = {
    **{"download": "download", "index": "index", "train": "train@small"},
    **{"predict": "predict@small", "evaluate": "evaluate@small", "compare": "compare"},
}
OUTS = {
    "download": ["data/tiny/VOCdevkit"],
    "index": ["data/tiny/index.csv", "data/tiny/test.csv", "data/tiny/statistics.json"],
    "train": ["data/runs/tiny/small/train", "data/runs/tiny/small/cost.json"],
    "predict": [
        "data/predictions/tiny/small",
        "data/runs/tiny/small/gflops.json",
        "data/costs/tiny/small.json",
    ],
    "evaluate": ["reports/models/small"],
    "compare": ["reports/comparison"],
}
NAMED = {"train", "predict", "evaluate"}  # stages of one model
_SPEC = importlib.util.spec_from_file_location("repair", ROOT / "tools/repair.py")
repair = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(repair)
PART, PAUSE = 1 << 16, 0.02  # bytes and seconds: a slow line
SECONDS = 400  # after which something hangs, on a machine that is busy with other things


def settle(folder, dataset, **recipe):
    """Make a copy of the project whose only data set is `dataset` and whose only model is small."""
    copy_project(folder)
    values = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    small = {"epochs": 2, "batch_size": 2, "crop_size": 64, "warmup_epochs": 0, "threads": 1}
    values |= {"dataset": "tiny", "model": "small", "models": {"small": MODEL}}
    values |= {"comparisons": {"one": ["small"]}, "checkpoint_minutes": 0.0002}
    classes = dataset.get("classes", values["datasets"]["miniature"]["classes"])
    tiny = {"classes": classes, "allow_absent": classes[1:]}  # six images do not show them all
    values["datasets"] = {"tiny": {**tiny, **dataset}}
    values["train"] = {"tiny": {**values["train"]["miniature"], **small, **recipe}}
    values["predict"] = {"tiny": {**values["predict"]["miniature"], "threads": 1}}
    (folder / "params.yaml").write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    return folder


DRAWN = {"generate": {"train": 6, "val": 3, "short_side": 64, "long_side": 64}}


def environment(**changes):
    """What a program is started with; None takes a variable away."""
    values = {**os.environ, "OMP_NUM_THREADS": "1", "NO_COLOR": "1", "SHELL": "/bin/sh", **changes}
    values["PYTHONDONTWRITEBYTECODE"] = None  # or each of hundreds of processes compiles anew
    values["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{values['PATH']}"
    return {name: value for name, value in values.items() if value is not None}


def start(folder, *arguments, log=None, **changes):
    """Start Python in a process group of its own, as a terminal does."""
    with open(log or folder.parent / "log", "w") as output:
        return subprocess.Popen(
            [sys.executable, *arguments],
            cwd=folder,
            env=environment(DVC_ROOT=str(folder), **changes),
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def told(folder):
    return (folder.parent / "log").read_text(encoding="utf-8", errors="replace")


def stage(folder, name, *arguments, **changes):
    """Run a stage without DVC; its status and what it wrote to stderr."""
    done = subprocess.run(
        [sys.executable, "-m", f"stages.{name}", *arguments],
        cwd=folder,
        env=environment(DVC_ROOT=str(folder), **changes),
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    return done.returncode, done.stderr


def repro(folder, *arguments, **changes):
    """`dvc repro`; its status and all that it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "dvc", "repro", *arguments],
        cwd=folder,
        env=environment(**changes),
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    return done.returncode, done.stdout + done.stderr


def results(folder):
    """SHA-256 of every result, the data set among them."""
    found = hashes(folder)
    for path in sorted((folder / "data/tiny").rglob("*")):
        if path.is_file():
            found[path.relative_to(folder).as_posix()] = path.read_bytes()
    return found


def make(folder, **changes):
    """`make repro` without the installation; its status and all that it printed."""
    done = subprocess.run(
        ["make", "-o", "setup", "repro", f"PY={sys.executable}"],
        cwd=folder,
        env=environment(**changes),
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    return done.returncode, done.stdout + done.stderr


def check(folder, expected):
    """`make repro` ends well and with the results of an undisturbed run; returns its output."""
    status, output = make(folder)
    assert status == 0, output
    found = results(folder)
    differing = [name for name in {*found, *expected} if found.get(name) != expected.get(name)]
    assert not differing, f"{differing}\n{output}"
    return output


def mend(folder):
    """What `make repro` does before DVC starts, if DVC would not; True if it would not."""
    lock, paths = folder / "dvc.lock", folder / ".dvc/tmp/rwlock"
    with contextlib.suppress(ValueError, FileNotFoundError):
        json.loads(paths.read_bytes())
        if lock.exists() and repair.whole(lock.read_bytes()):
            return False
    subprocess.run([sys.executable, "tools/repair.py"], cwd=folder, check=True, capture_output=True)
    return True


def at_work(folder):
    """Processes whose working directory is the folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if Path(os.readlink(process / "cwd")) == folder:
                state = (process / "stat").read_text().rpartition(")")[2].split()[0]
                found += [int(process.name)] * (state != "Z")
        except OSError:  # it has ended
            continue
    return found


def wait_for_silence(folder, seconds=5.0):
    """Nothing works in the folder any more."""
    deadline = time.monotonic() + seconds
    while left := at_work(folder):
        if time.monotonic() > deadline:
            names = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in left]
            for pid in left:
                os.kill(pid, signal.SIGKILL)
            raise AssertionError(f"still at work: {names}")
        time.sleep(0.02)


def importing(folder):
    """Number of a stage's process, once it is busy importing what takes long."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        for number in at_work(folder):
            process = Path("/proc", str(number))
            try:
                words = (process / "cmdline").read_bytes().split(b"\0")
                if any(w.startswith(b"stages.") for w in words) and (
                    b"multiarray" in (process / "maps").read_bytes()
                ):
                    return number
            except OSError:  # it has ended
                continue
    raise AssertionError("no stage ever started")


class SlowServer(ThreadingHTTPServer):
    """Serves one file on localhost at a slow line's speed; knows Range."""

    daemon_threads = True
    allow_reuse_port = True  # for those of several processes, which serve the same

    def __init__(self, content, port=0):
        super().__init__(("127.0.0.1", port), _Handler)
        self.content = content

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_port}/voc.tar"


class _Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        content, asked = self.server.content, self.headers.get("Range", "bytes=0-")
        offset = int(asked.removeprefix("bytes=").removesuffix("-"))
        self.send_response(206 if offset else 200)
        self.send_header("Content-Length", str(len(content) - offset))
        self.send_header("ETag", '"1"')
        if offset:
            self.send_header("Content-Range", f"bytes {offset}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        try:
            for k in range(offset, len(content), PART):
                self.wfile.write(content[k : k + PART])
                time.sleep(PAUSE)
        except OSError:  # the reader is gone
            self.close_connection = True


@contextlib.contextmanager
def serving(content, port=0):
    """A slow server while the body runs."""
    with SlowServer(content, port) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()


def without(folder, *names):
    """Remove results, as DVC does before a stage runs."""
    for name in names:
        shutil.rmtree(folder / name, ignore_errors=True)
        (folder / name).unlink(missing_ok=True)


@contextlib.contextmanager
def without_run_cache(folder):
    """What DVC remembers of earlier runs is put aside, and joined by later ones."""
    cache, aside = folder / ".dvc/cache/runs", folder / ".dvc/cache/aside"
    cache.rename(aside)
    try:
        yield
    finally:
        shutil.copytree(aside, cache, dirs_exist_ok=True)
        shutil.rmtree(aside)
