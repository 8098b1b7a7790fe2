"""What a model computes on: device, precision and threads, resolved once and recorded.

Bits depend on all three and on the CPU's instruction set, so a result names them. bf16 is only
chosen where the hardware multiplies in it: emulated, it is slower than fp32.
"""

import ctypes
import os
import platform
import resource
import sys
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # mallopt(3)


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
        versions = {module.__name__: module.__version__ for module in (torch, np)}
        versions["torchvision"] = version("torchvision")
        return {**asdict(self), "versions": versions}


def start(precision: str, threads: str | int, deterministic: bool, seed: int) -> Runtime:
    """Resolve `auto` and set the number of threads, the seed, and which kernels may be used.

    Args:
        precision: auto, fp32, bf16 or fp16.
        threads: auto (this process's share of the cores) or a number.
        deterministic: forbid kernels whose bits vary from run to run.
    """
    count = max(1, _cores() // _processes()) if threads == "auto" else int(threads)
    torch.set_num_threads(count)
    reuse_memory()
    torch.manual_seed(seed)
    torch.backends.cudnn.benchmark = not deterministic
    forbid_nondeterminism(deterministic)
    # It takes time and decides nothing where no program reads what it has not written.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    if deterministic:  # cuBLAS reads it when it starts
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    if precision == "auto":
        precision = "bf16" if has_bf16() else "fp16" if gpu else "fp32"
    return Runtime("cuda" if gpu else "cpu", precision, count, _cpu(), gpu)


def on_cpu(runtime: Runtime, precision: str) -> Runtime:
    """The same on the CPU, where `auto` may be another precision."""
    if precision == "auto":
        precision = "bf16" if _cpu_has_bf16() else "fp32"
    return replace(runtime, device="cpu", precision=precision, gpu=None)


def forbid_nondeterminism(wanted: bool) -> None:
    """As torch.use_deterministic_algorithms, but the compiler is told only if it is ever imported.

    torch imports it to tell it, and that takes nearly as long as `import torch`.
    """
    os.environ["TORCHINDUCTOR_DETERMINISTIC"] = str(int(wanted))  # read where it is imported
    if "torch._inductor" in sys.modules:
        torch.use_deterministic_algorithms(wanted)
    else:
        torch.set_deterministic_debug_mode("error" if wanted else "default")


def reuse_memory() -> None:
    """Let the C library keep freed memory for the next tensors.

    It gives large blocks back to the kernel, which clears their pages when the next step asks for
    them: a tenth of a training step's time on a CPU. Decides no value. Elsewhere than glibc
    nothing happens.
    """
    if platform.libc_ver()[0] == "glibc":
        c_library = ctypes.CDLL(None)
        c_library.mallopt(M_MMAP_MAX, 0)
        c_library.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def loader_workers() -> int:
    """Processes that load pictures: SEGMODELS_WORKERS, or else a share of the cores for a GPU.

    A CPU that trains is busy on all cores, so that there the training process loads by itself.
    """
    value = os.environ.get("SEGMODELS_WORKERS")
    if value is None:
        return min(8, _cores() // _processes()) if torch.cuda.is_available() else 0
    if not value.isdecimal():
        raise ValueError(f"SEGMODELS_WORKERS = {value!r}: expected a number of processes from 0")
    return int(value)


def has_bf16() -> bool:
    """Whether the device that will be used multiplies in bfloat16."""
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return _cpu_has_bf16()


def _cpu_has_bf16() -> bool:
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16"))


def _cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _processes() -> int:
    """Processes that train on this machine together; torchrun says so."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


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
