"""Chromium for tests that click, over its debugging pipe: no driver, no port and no package.

Messages of the DevTools protocol are JSON, each ended by a zero byte; Chromium reads them from
file descriptor 3 and writes to 4. Source: Chromium's --remote-debugging-pipe.
"""

import base64
import fcntl
import itertools
import json
import os
import select
import shutil
import subprocess
import time

NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]
PROGRAM = next(filter(None, map(shutil.which, NAMES)), None)
PATIENCE = 20  # seconds
KEYS = {"ArrowLeft": 37, "ArrowRight": 39, "Tab": 9, "Enter": 13, " ": 32}
OPTIONS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe"]


def _pipe():
    """Both ends of a pipe under numbers that do not collide with the 3 and 4 of Chromium."""
    ends = os.pipe()
    moved = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in ends]
    for end in ends:
        os.close(end)
    return moved


class Browser:
    """One Chromium with one page; a context manager that ends what it has started."""

    def __init__(self, profile):
        theirs_in, self._out = _pipe()
        self._in, theirs_out = _pipe()
        wired = f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}'
        self._process = subprocess.Popen(
            ["bash", "-c", wired, "-", PROGRAM, *OPTIONS, f"--user-data-dir={profile}"],
            pass_fds=(theirs_in, theirs_out),
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._ids, self._rest, self._session, self.events = itertools.count(), b"", None, []
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        attached = self.send("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.wait()
        os.close(self._in)
        os.close(self._out)

    def send(self, method, **params):
        """One command and its result; what happens meanwhile joins `events`."""
        number = next(self._ids)
        message = {"id": number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while (answer := self._receive()).get("id") != number:
            self.events.append(answer)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    def _receive(self):
        deadline = time.monotonic() + PATIENCE
        while b"\0" not in self._rest:
            if not select.select([self._in], [], [], max(0, deadline - time.monotonic()))[0]:
                raise TimeoutError("Chromium does not answer")
            self._rest += os.read(self._in, 1 << 20)
        message, _, self._rest = self._rest.partition(b"\0")
        return json.loads(message)

    def open(self, path, *, width=1280, height=900, dark=False):
        """Load a file, in a window of this size, for a reader who prefers light or dark."""
        self.events.clear()
        mobile = width < 600
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile}
        self.send("Emulation.setDeviceMetricsOverride", **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[scheme])
        self.send("Page.navigate", url=path.resolve().as_uri())
        self.until("document.readyState === 'complete'")

    def js(self, expression):
        """Value of an expression in the page."""
        result = self.send(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def until(self, expression):
        """Wait for an expression to become true."""
        deadline = time.monotonic() + PATIENCE
        while not self.js(expression):
            assert time.monotonic() < deadline, f"never true: {expression}"
            time.sleep(0.02)

    def point(self, selector, across=0.5, down=0.5):
        """Move the mouse onto an element, which must be what a reader would hit there."""
        where = f"""(() => {{
            const found = document.querySelector({json.dumps(selector)});
            found.scrollIntoView({{behavior: "instant", block: "center", inline: "center"}});
            const box = found.getBoundingClientRect();
            const x = box.x + box.width * {across}, y = box.y + box.height * {down};
            return [x, y, found.contains(document.elementFromPoint(x, y))];
        }})()"""
        x, y, on_top = self.js(where)
        assert on_top, f"{selector} is covered or outside the window"
        self.send("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        return {"x": x, "y": y}

    def click(self, selector):
        spot = {**self.point(selector), "button": "left", "clickCount": 1}
        self.send("Input.dispatchMouseEvent", type="mousePressed", **spot)
        self.send("Input.dispatchMouseEvent", type="mouseReleased", **spot)

    def key(self, name):
        """Press a key where the focus is."""
        text = {"Enter": "\r", " ": " "}.get(name)
        what = {"key": name, "code": name, "windowsVirtualKeyCode": KEYS[name]}
        down = {"type": "keyDown", "text": text} if text else {"type": "rawKeyDown"}
        self.send("Input.dispatchKeyEvent", **down, **what)
        self.send("Input.dispatchKeyEvent", type="keyUp", **what)

    def choose(self, selector, text):
        """Take the entry of a <select> that reads `text`."""
        self.js(
            f"""(() => {{
            const list = document.querySelector({json.dumps(selector)});
            const found = [...list.options].find((each) => each.text === {json.dumps(text)});
            list.value = found.value;
            for (const kind of ["input", "change"]) list.dispatchEvent(new Event(kind));
        }})()"""
        )

    def screenshot(self, path):
        content = self.send("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(content["data"]))

    def complaints(self):
        """Errors and warnings since `open`, and every request that is no file and no data URI."""
        self.js("0")  # what has happened is then in `events`
        methods = ("Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled")
        found = [event["params"] for event in self.events if event.get("method") in methods]
        asked = [
            event["params"]["request"]["url"]
            for event in self.events
            if event.get("method") == "Network.requestWillBeSent"
        ]
        return found + [url for url in asked if not url.startswith(("file:", "data:"))]
