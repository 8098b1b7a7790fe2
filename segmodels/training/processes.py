"""Many processes that train one model: torchrun starts them, torch.distributed joins them.

How many comes from the environment and never from params.yaml, so that it is no part of a result's
identity: batches, losses and validation are those of one process.
"""

import logging
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

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
    else:
        with joined() as processes:
            work(processes)


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
        ValueError: one of them failed; the message is that of the first to fail.
    """
    from torch.distributed import run as torchrun  # slow to import, and one process needs it not
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // count)))
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    try:
        options = ["--standalone", "--nproc-per-node", str(count), "--module", module]
        torchrun.run(torchrun.parse_args([*options, *arguments]))
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        if failure.exitcode == -signal.SIGKILL:
            raise ValueError(
                f"process {rank} of {count} was killed: out of memory? "
                f"Try {VARIABLE}={max(1, count // 2)} or a smaller batch_size"
            ) from None
        raise ValueError(failure.message) from None


@contextmanager
def joined() -> Iterator[Processes]:
    """Meet the processes that torchrun has started, this one among them; alone without torchrun.

    Only the first prints.
    """
    if "RANK" not in os.environ:
        yield Processes()
        return
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if on_gpu else "gloo")
    group = Processes(dist.get_rank(), dist.get_world_size())
    with nullcontext() if group.first else redirect_stdout(None):
        yield group
    dist.destroy_process_group()
