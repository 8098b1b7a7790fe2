"""A server on localhost that does to a download what servers and networks do."""

import gzip
import random
import socket
import struct
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CONTENT = random.Random(0).randbytes(2_500_000)
OTHER = random.Random(1).randbytes(len(CONTENT))


class Handler(BaseHTTPRequestHandler):
    """The first part of the path names the behaviour; `nth` counts its requests from 1."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        behaviour = self.path.split("/")[1]
        self.server.asked.append(behaviour)
        self.nth = self.server.asked.count(behaviour)
        self.close_connection = True
        getattr(self, behaviour)()

    def log_message(self, *_):
        pass

    def head(self, status=200, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def whole(self, content=CONTENT, until=None, etag='"1"', **headers):
        self.head(**{"Content_Length": len(content), "ETag": etag, **headers})
        self.wfile.write(content[:until])

    def rest(self, content=CONTENT, until=None, etag='"1"', start=None):
        """What a Range asks for; the whole where there is none or If-Range does not fit."""
        asked = self.headers.get("Range", "bytes=0-")
        offset = int(asked.removeprefix("bytes=").removesuffix("-"))
        if not offset or self.headers.get("If-Range", etag) != etag:
            return self.whole(content, until, etag)
        span = f"bytes {offset if start is None else start}-{len(content) - 1}/{len(content)}"
        self.head(206, Content_Length=len(content) - offset, Content_Range=span, ETag=etag)
        self.wfile.write(content[offset:until])

    def silence(self):
        self.wfile.flush()
        self.server.closing.wait(30)

    def good(self):
        self.rest()

    def truncates(self):
        self.rest(until=1_500_000)

    def truncates_once(self):
        self.rest(until=1_500_000 if self.nth == 1 else None)

    def stalls(self):
        self.rest(until=1_000_000)
        self.silence()

    def stalls_before_it_answers(self):
        self.silence()

    def stalls_amid_the_headers(self):
        self.wfile.write(b"HTTP/1.1 200 OK\r\nETag: ")
        self.silence()

    def resets(self):
        self.rest(until=1_500_000)
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def resets_once(self):
        self.resets() if self.nth == 1 else self.rest()

    def resets_before_it_answers(self):
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def redirects_in_a_loop(self):
        self.head(302, Location=self.path, Content_Length=0)

    def redirects_without_end(self):
        self.head(302, Location=f"/redirects_without_end/{self.nth}", Content_Length=0)

    def redirects_to_a_file(self):
        self.head(302, Location="file:///etc/hostname", Content_Length=0)

    def redirects_nowhere(self):
        self.head(302, Location="http://[::", Content_Length=0)

    def says_too_long(self):
        self.whole(Content_Length=len(CONTENT) + 1000)

    def says_too_short(self):
        self.whole(Content_Length=len(CONTENT) - 1000)

    def says_no_number(self):
        self.whole(Content_Length="many")

    def says_less_than_none(self):
        self.whole(Content_Length=-5)

    def says_a_number_without_end(self):
        self.whole(Content_Length="9" * 5000)

    def says_more_than_any_disk(self):
        self.whole(Content_Length=10**15)

    def says_two_lengths(self):
        self.send_response(200)
        for length in (5, len(CONTENT)):
            self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(CONTENT)

    def ignores_range(self):
        self.whole(until=1_500_000 if self.nth == 1 else None)

    def sends_a_page(self):
        self.whole(b"<html>moved</html>", Content_Type="text/html; charset=utf-8")

    def sends_a_page_unsaid(self):
        self.whole(b"<html>moved</html>")

    def sends_nothing(self):
        self.whole(b"")

    def sends_another_file(self):
        self.rest(OTHER)

    def changes(self):
        self.rest(until=1_500_000) if self.nth == 1 else self.rest(OTHER, etag='"2"')

    def changes_under_one_name(self):
        self.rest(until=1_500_000) if self.nth == 1 else self.rest(OTHER)

    def shifts_the_rest(self):
        self.rest(until=1_500_000) if self.nth == 1 else self.rest(start=0)

    def answers_a_part_unasked(self):
        self.head(206, Content_Length=100, Content_Range=f"bytes 9-108/{len(CONTENT)}")
        self.wfile.write(CONTENT[9:109])

    def answers_the_range_is_wrong(self):
        self.head(416, Content_Range="bytes */0", Content_Length=0)

    def answers_garbage(self):
        self.wfile.write(b"\x16\x03\x01 no HTTP\r\n\r\n")

    def answers_headers_without_end(self):
        self.wfile.write(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 10_000 + b"\r\n")

    def compresses(self):
        self.whole(gzip.compress(CONTENT, 1), Content_Encoding="gzip")

    def sends_chunks(self):
        self.head(Transfer_Encoding="chunked")
        for start in range(0, len(CONTENT), 400_000):
            part = CONTENT[start : start + 400_000]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
        self.wfile.write(b"0\r\n\r\n")

    def breaks_in_a_chunk(self):
        self.head(Transfer_Encoding="chunked")
        self.wfile.write(b"%x\r\n%s" % (len(CONTENT), CONTENT[:1_000_000]))

    def sends_chunks_of_nonsense(self):
        self.head(Transfer_Encoding="chunked")
        self.wfile.write(b"zz\r\n" + CONTENT[:1000])


GETS_THERE = ["good", "truncates_once", "resets_once", "ignores_range", "sends_chunks"]
GETS_THERE += ["says_no_number", "says_less_than_none", "says_a_number_without_end"]
FAILS = sorted(
    name
    for name, value in vars(Handler).items()
    if callable(value)
    and name not in (*GETS_THERE, "do_GET", "log_message", "head", "whole", "rest", "silence")
)


class Server(ThreadingHTTPServer):
    """A context; `url` is its address."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked, self.closing = [], threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, *_):
        """A client that goes away is what is expected."""

    def __enter__(self):
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.closing.set()
        self.shutdown()
        time.sleep(0.05)
        self.server_close()
