"""`segmodels demo` over HTTP: who is answered, and with what; how the command begins and ends."""

import contextlib
import http.client
import json
import socket
import time
from urllib.parse import urlsplit

import pytest
from helpers import demo
from helpers.packing import CARD, pack
from PIL import Image

import segmodels
from segmodels.cli import main
from segmodels.commands.demo import server
from segmodels.commands.demo.labelling import Labelling
from segmodels.core import packed


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return demo.write(tmp_path_factory.mktemp("demo"))


@pytest.fixture(scope="module")
def address(folder):
    with demo.running(folder) as url:
        yield urlsplit(url).netloc


@pytest.fixture
def ask(address):
    """ask(method, path, body, headers): status, headers and content."""

    def ask(method, path, body=None, **headers):
        connection = http.client.HTTPConnection(address, timeout=60)
        connection.request(method, path, body, {k.replace("_", "-"): v for k, v in headers.items()})
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, answer.headers, content

    return ask


def refused(answer, status):
    assert answer[0] == status
    assert "Access-Control-Allow-Origin" not in answer[1]
    return json.loads(answer[2])["error"]


@pytest.mark.parametrize("path", ["/", "/page.css", "/demo.css", "/demo.js", "/view.js"])
def test_the_page_may_load_from_nowhere_else(ask, path):
    status, headers, _ = ask("GET", path)
    assert status == 200 and "default-src 'none'" in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "Access-Control-Allow-Origin" not in headers


def test_only_loopback_names_and_the_page_itself_are_answered(ask, address):
    """DNS rebinding: a site's name that suddenly means 127.0.0.1."""
    line = refused(ask("GET", "/models", Host="evil.example:8765"), 403)
    assert line == "Host 'evil.example:8765': expected localhost or 127.0.0.1"
    refused(ask("GET", "/", Host="127.0.0.1.evil.example"), 403)
    refused(ask("GET", "/", Host=""), 403)
    refused(ask("POST", "/picture", b"x", Origin="https://evil.example"), 403)
    refused(ask("POST", "/picture", b"x", Origin="null"), 403)
    port = address.rpartition(":")[2]
    for host in (f"localhost:{port}", "localhost:99", "[::1]:99", address):  # as through a tunnel
        assert ask("GET", "/models", Host=host, Origin=f"http://{host}")[0] == 200


def test_models_are_offered_with_what_they_are(ask):
    found = json.loads(ask("GET", "/models")[2])
    assert found["models"] == [{"name": name, "about": CARD.summary} for name in demo.MODELS]
    assert found["chosen"] == ["animals"]


def test_labels_are_those_of_python(ask, folder):
    photo = (folder / "chelsea.png").read_bytes()
    status, _, content = ask("POST", "/labels?model=street", photo)
    answer = json.loads(content)
    weights = folder / "weights/street.safetensors"
    result = segmodels.load(weights, device="cpu").predict(folder / "chelsea.png")
    assert status == 200 and answer["shares"] == result.shares
    assert answer["classes"] == demo.STREET and answer["background"] is False


def test_a_model_with_test_time_variants_makes_one_plain_pass(folder):
    photo = folder / "chelsea.png"
    model = segmodels.load(folder / "weights/street.safetensors", device="cpu")
    model.choices = model.chosen({"scales": [0.5, 1.0, 2.0], "flip": True})
    plain, varied = model.predict(photo, fast=True), model.predict(photo)
    assert plain.shares != varied.shares
    assert Labelling({"street": model}, None).labels(photo, "street")["shares"] == plain.shares


def test_what_cannot_be_answered_is_a_line(ask, folder):
    photo = (folder / "chelsea.png").read_bytes()
    assert refused(ask("POST", "/picture", b""), 422) == "0 bytes, expected an image"
    line = refused(ask("POST", "/labels?model=animals", photo[:5000]), 422)
    assert "truncated" in line and "/" not in line  # no path of this machine
    line = refused(ask("POST", "/labels?model=unicorn", photo), 404)
    assert line == "model unicorn: expected one of animals, street"
    for path in ("/labels", "/nothing", "/models"):
        refused(ask("POST", path, photo), 404)
    for path in ("/demo.py", "/../server.py", "/web/demo.html"):
        refused(ask("GET", path), 404)
    for opacity in ("2", "-1", "nan", "", "x"):
        refused(ask("POST", f"/overlay?model=animals&photo=1&opacity={opacity}", photo), 400)
    small = folder / "small.png"
    Image.new("P", (4, 3)).save(small)
    asked = f"/overlay?model=animals&opacity=1&photo={len(photo)}"
    line = refused(ask("POST", asked, photo + small.read_bytes()), 422)
    assert line == "mask: (3, 4), expected the photograph's (300, 451)"
    assert refused(ask("POST", asked, photo), 422).startswith("mask: ")


def test_what_is_too_long_is_refused_before_it_is_read(ask, address):
    most = json.loads(ask("GET", "/models")[2])["most_bytes"]
    with socket.create_connection(tuple(address.split(":")), timeout=60) as connection:
        head = f"POST /picture HTTP/1.1\r\nHost: {address}\r\nContent-Length: {most + 1}\r\n\r\n"
        connection.sendall(head.encode())
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert answer.status == 413 and f"expected at most {most:,}" in answer.read().decode()
    with socket.create_connection(tuple(address.split(":")), timeout=60) as connection:
        head = f"POST /picture HTTP/1.1\r\nHost: {address}\r\nTransfer-Encoding: chunked\r\n\r\n"
        connection.sendall(head.encode())
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert answer.status == 411


def test_a_sender_who_goes_away_leaves_nothing(ask, address, folder):
    with socket.create_connection(tuple(address.split(":")), timeout=60) as connection:
        head = f"POST /picture HTTP/1.1\r\nHost: {address}\r\nContent-Length: 1000\r\n\r\n"
        connection.sendall(head.encode() + b"half")
    assert ask("GET", "/models")[0] == 200
    photo = (folder / "chelsea.png").read_bytes()
    assert ask("POST", "/picture", photo)[0] == 200
    assert len(list((folder / "tmp").glob("segmodels-demo-*"))) == 1
    assert list((folder / "tmp").glob("segmodels-demo-*/*")) == []


def test_ctrl_c_waits_for_no_photograph_and_leaves_none(folder):
    process = demo.start(folder, "--port", "0")
    address = urlsplit(demo.url(process)).netloc
    photo = (folder / "large.jpg").read_bytes()
    connection = http.client.HTTPConnection(address, timeout=60)
    connection.request("POST", "/labels?model=animals", photo, {"Host": address})
    deadline = time.monotonic() + 60
    while not list((folder / "tmp").glob("segmodels-demo-*/*/photograph")):
        assert time.monotonic() < deadline
    status, _, err = demo.stop(process)
    assert (status, err) == (0, "")
    with contextlib.suppress(ConnectionError):  # unless the model was faster than the signal
        assert connection.getresponse().status == 200


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A folder where no model comes along."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(packed, "FOLDER", tmp_path / "weights")
    return tmp_path


def test_a_port_that_is_taken_and_a_host_that_is_not_there_are_lines(elsewhere, address):
    pack(elsewhere / "weights/animals.safetensors")
    port = address.rpartition(":")[2]
    with pytest.raises(SystemExit, match=f"error: --port {port}: taken by another program; name"):
        main(["demo", "--port", port])
    with pytest.raises(SystemExit, match="error: --host 192.0.2.1: .*; expected an address of"):
        main(["demo", "--host", "192.0.2.1", "--port", "0"])


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "no model: expected one that comes along, a run of params.yaml that has been trained"),
        (["--model", "unicorn"], "model unicorn: expected one that comes along"),
        (["--port", "70000"], "argument --port: '70000': expected a port, 0 to 65535"),
    ],
)
def test_wrong_command_lines_have_status_2(elsewhere, capsys, arguments, reason):
    with pytest.raises(SystemExit) as end:
        main(["demo", *arguments])
    assert end.value.code == 2 and reason in capsys.readouterr().err


def test_named_models_come_first_and_everyone_is_warned_of(folder):
    process = demo.start(
        folder,
        "--model",
        "street",
        "--model",
        "weights/animals.safetensors",
        "--host",
        "0.0.0.0",
        "--port",
        "0",
    )
    port = urlsplit(demo.url(process)).port
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/models", headers={"Host": "photos.example"})
    found = json.loads(connection.getresponse().read())
    assert found["chosen"] == ["street", "weights/animals.safetensors"]
    assert [model["name"] for model in found["models"]] == [*found["chosen"], "animals"]
    status, _, err = demo.stop(process)
    assert status == 0
    assert err == "everyone who reaches this machine's port can use the page\n"


def test_another_programs_params_yaml_is_in_nobodys_way(folder):
    (folder / "params.yaml").write_text("lr: 0.1\n")
    process = demo.start(folder, "--port", "0")
    assert demo.url(process).startswith("http://127.0.0.1:")
    (folder / "params.yaml").unlink()
    status, _, err = demo.stop(process)
    assert status == 0 and err.startswith("its runs are not offered: params.yaml")


def test_limit_of_bytes_follows_that_of_pixels(monkeypatch):
    monkeypatch.setenv("SEGMODELS_MAX_PIXELS", "1000")
    assert server._most_bytes() == 4000
