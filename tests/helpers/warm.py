"""`python -m MODULE` without the seconds that importing torch, pandas and DVC takes.

A server imports the libraries once. For each call it forks a process that goes on as Python does
behind `-m`: the project's own modules are imported anew, from the folder in which it starts. DVC
that runs so lets the server start its stages too, in place of `sh tools/python`. What a test shows
of processes themselves, of their start or of their end by signals, it shows with `subprocess`.
"""

import functools
import importlib
import json
import os
import runpy
import shlex
import socket
import socketserver
import subprocess
import sys
import tempfile
from pathlib import Path

from helpers import projects

LIBRARIES = ["torch", "torch._dynamo", "torch.utils.flop_counter", "scipy.optimize", "requests"]
LIBRARIES += ["pandas", "matplotlib.figure", "matplotlib.backends.backend_agg", "jinja2"]
LIBRARIES += ["PIL.Image", "pydantic", "ruamel.yaml", "tqdm", "filelock"]
LIBRARIES += ["dvc.cli.parser", "dvc.repo", "dvc.repo.reproduce", "dvc.stage.run", "dvc.scm"]
STAGE = ["exec", "sh", "tools/python", "-m"]  # begins the command of a stage


def run(folder, module, *words, **changes):
    """Run `python -m module words` in a folder, with changes to the environment.

    Returns:
        a CompletedProcess with stdout and stderr as text; a negative status is a signal.
    """
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        outputs = [stdout.fileno(), stderr.fileno()]
        status = ask(server(), module, words, str(folder), projects.variables(changes), outputs)
        for output in (stdout, stderr):
            output.seek(0)
        texts = [output.read().decode() for output in (stdout, stderr)]
    return subprocess.CompletedProcess([module, *words], status, *texts)


def python(folder, module, *words, status=0, **changes):
    """As `run`, with the status that is expected; returns all that it printed."""
    done = run(folder, module, *words, **changes)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


def dvc(folder, *arguments, **options):
    return python(folder, "dvc", *arguments, **options)


@functools.cache
def server():
    """Start the server of this process, with which it ends; returns its address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "helpers.warm"],
        cwd=Path(__file__).parents[1],
        env=projects.variables({}),
        stdout=subprocess.PIPE,
        text=True,
    )
    return process.stdout.readline().rstrip("\n")


def ask(address, module, words, folder, environment, outputs):
    """Let the server run a module with these descriptors as stdout and stderr; its status."""
    call = {"module": module, "words": words, "folder": folder, "environment": environment}
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        connection.connect(address)
        socket.send_fds(connection, [json.dumps(call).encode()], outputs)
        answer = connection.recv(99)
    assert answer, f"the server has ended: {module} {words}"
    return int(answer)


class Server(socketserver.ForkingMixIn, socketserver.UnixStreamServer):
    """Forks a process for each call, which forks the one that runs the module."""

    socket_type = socket.SOCK_SEQPACKET
    max_children = 99
    parent = os.getppid()

    def service_actions(self):  # twice a second
        super().service_actions()
        if os.getppid() != self.parent:
            sys.exit()


class Call(socketserver.BaseRequestHandler):
    """One module to run; the answer is its status."""

    def handle(self):
        message, outputs, *_ = socket.recv_fds(self.request, 1 << 20, 2)
        child = os.fork()
        if child == 0:
            for number, output in enumerate(outputs, 1):
                os.dup2(output, number)
            os._exit(go_on(**json.loads(message)))
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        self.request.sendall(str(status).encode())


def go_on(module, words, folder, environment):
    """As `python -m module`; returns the status to end with."""
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.path[:1] = [folder, *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))]
    sys.argv = ["-m", *words]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        status = 0
    except SystemExit as end:
        status = end.code or 0
        if isinstance(status, str):
            print(status, file=sys.stderr)
            status = 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return status


def serve():
    """Import the libraries, print the address of a socket, and answer calls."""
    for library in LIBRARIES:
        importlib.import_module(library)
    start_cold = importlib.import_module("dvc.stage.run")._run
    failed = importlib.import_module("dvc.stage.exceptions").StageCmdFailedError

    def start(executable, command, *, cwd, env, **options):
        """In place of the function by which DVC starts the command of a stage."""
        words = shlex.split(command)
        if words[: len(STAGE)] != STAGE:
            return start_cold(executable, command, cwd=cwd, env=env, **options)
        module, *words = words[len(STAGE) :]
        if status := ask(address, module, words, cwd, env, [1, 2]):
            raise failed(command, status)

    importlib.import_module("dvc.stage.run")._run = start
    with tempfile.TemporaryDirectory() as place:
        address = f"{place}/socket"
        with Server(address, Call) as server:
            print(address, flush=True)
            server.serve_forever()


if __name__ == "__main__":
    serve()
