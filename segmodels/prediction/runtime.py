"""What a model computes on: device, precision and threads, resolved once and recorded.

Bits depend on all three and on the CPU's instruction set, so a result names them. bf16 is only
chosen where the hardware multiplies in it: emulated, it is slower than fp32.
"""

import os
import platform
import resource
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torchvision


@dataclass(frozen=True)
class Runtime:
    """Resolved choices; `cpu` and `gpu` say which kind of machine the bits belong to."""

    device: str
    precision: str
    threads: int
    cpu: str
    gpu: str | None

    def record(self) -> dict[str, object]:
        """The choices and the versions of the numerical packages, for provenance.json."""
        versions = {m.__name__: m.__version__ for m in (torch, torchvision, np)}
        return {**asdict(self), "versions": versions}


def start(*, precision: str, threads: str | int, seed: int) -> Runtime:
    """Resolve `auto`, set the number of threads and the seed, and forbid kernels that vary.

    Args:
        precision: auto, fp32 or bf16.
        threads: auto (the cores this process may use) or a number.
    """
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    count = count or 1 if threads == "auto" else int(threads)
    torch.set_num_threads(count)
    torch.manual_seed(seed)
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    if precision == "auto":
        precision = "bf16" if has_bf16() else "fp32"
    return Runtime("cuda" if gpu else "cpu", precision, count, _cpu(), gpu)


def has_bf16() -> bool:
    """Whether the device that will be used multiplies in bfloat16."""
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16"))


def _cpu() -> str:
    """Kind of CPU, e.g. "AMD EPYC, family 25, model 17, AVX512"."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    fields = {k.strip(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
    name = fields.get("model name") or platform.processor() or platform.machine()
    numbers = [f"{k.split()[-1]} {fields[k]}" for k in ("cpu family", "model") if k in fields]
    return ", ".join([name, *numbers, torch.backends.cpu.get_cpu_capability()])


def peak_memory_bytes() -> int:
    """Largest memory in use so far: the GPU's if there is one, else this process's."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
