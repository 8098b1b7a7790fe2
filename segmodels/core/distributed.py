"""Many processes that train one model: torchrun starts them, torch.distributed joins them.

How many comes from the environment and never from params.yaml, so that it is no part of a result's
identity: batches, losses and validation are those of one process.
"""

import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist
from torch import Tensor

from segmodels.core import supervise

if TYPE_CHECKING:
    from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

VARIABLE = "SEGMODELS_NPROC"


@dataclass(frozen=True)
class Processes:
    """This process among those that train together."""

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the one that writes and prints."""
        return self.rank == 0

    def total(self, value: Tensor) -> Tensor:
        """Sum of a tensor over all processes, the same bits in each of them."""
        if self.count > 1:
            value = value.clone()
            dist.all_reduce(value)
        return value

    def wait(self) -> None:
        """Until all processes are here."""
        if self.count > 1:
            dist.barrier()

    def share(self, batch: list[int]) -> list[int]:
        """This process's part of a batch whose length is a multiple of `count`."""
        size = len(batch) // self.count
        return batch[self.rank * size : (self.rank + 1) * size]


def run(module: str, arguments: Sequence[str], work: Callable[[Processes], None]) -> None:
    """Do work(processes) here, or in as many processes as SEGMODELS_NPROC asks for.

    Args:
        module: as it was started, `python -m <module> <arguments>`; it calls this again in each.
    """
    if (count := requested()) > 1:
        launch(module, *arguments, count=count)
    elif "RANK" in os.environ:
        _work_in_one_of_many(work)
    else:
        work(Processes())


def _work_in_one_of_many(work: Callable[[Processes], None]) -> None:
    """Do this process's part; `launch` shows the error of one process in place of all of them."""
    from torch.distributed.elastic.multiprocessing.errors import get_error_handler

    try:
        with joined() as processes:
            work(processes)
    except Exception as error:
        line = supervise.one_line(error)
        get_error_handler().record_exception(ValueError(line) if line else error)
        sys.stdout.flush()
        os._exit(1)  # or threads that wait for other processes would end with messages of C++


def requested() -> int:
    """Number of processes that SEGMODELS_NPROC asks for; 1 in a process that torchrun started."""
    value = "1" if "RANK" in os.environ else os.environ.get(VARIABLE, "1")
    if not value.isdecimal() or int(value) < 1:
        raise ValueError(f"{VARIABLE} = {value!r}: expected a number of processes from 1")
    if torch.cuda.is_available() and int(value) > torch.cuda.device_count():
        raise ValueError(f"{VARIABLE} = {value}: there are {torch.cuda.device_count()} GPUs")
    return int(value)


def launch(module: str, *arguments: str, count: int) -> None:
    """Run a module in `count` processes of this machine and wait for them.

    Raises:
        ValueError: one of them failed, see `_reason`.
    """
    from torch.distributed import run as torchrun  # slow, and of no use to a single process
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // count)))
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    with TemporaryDirectory() as logs:  # torchrun would leave one of its own behind
        options = ["--standalone", "--nproc-per-node", str(count), "--log-dir", logs]
        try:
            torchrun.run(torchrun.parse_args([*options, "--module", module, *arguments]))
        except ChildFailedError as error:
            raise ValueError(_reason(error.failures, count)) from None


def _reason(failures: "dict[int, ProcessFailure]", count: int) -> str:
    """Why processes failed: a process that was killed, bad input, or else the first traceback.

    A process that has lost another one fails too: what it says comes last.

    Args:
        failures: of each rank that failed, as torchrun has them.
    """
    defects = []
    for rank, failure in sorted(failures.items(), key=lambda item: _moment(item[1])):
        if failure.exitcode == -signal.SIGKILL:
            return (
                f"process {rank} of {count} was killed: out of memory? "
                f"Try {VARIABLE}={count // 2} or a smaller batch_size"
            )
        if isinstance(failure.message, str):  # of torchrun: the process has left none
            defects.append(failure.message)
            continue
        kind, _, message = failure.message["message"].partition(": ")
        if kind == "ValueError":
            return message
        defects.append(failure.message["extraInfo"]["py_callstack"])
    return defects[0]


def _moment(failure: "ProcessFailure") -> float:
    """When a process failed; torchrun notes whole seconds, in which all of them fail."""
    try:
        return os.stat(failure.error_file).st_mtime
    except FileNotFoundError:  # it was killed
        return failure.timestamp


@contextmanager
def joined() -> Iterator[Processes]:
    """Meet the other processes that torchrun has started; only the first prints."""
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if on_gpu else "gloo")
    group = Processes(dist.get_rank(), dist.get_world_size())
    with nullcontext() if group.first else redirect_stdout(None):
        yield group
    dist.destroy_process_group()
