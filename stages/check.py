"""params.yaml -> data/params.ok: a bad value stops everything before any stage trains."""

import os
from pathlib import Path

from segmodels import models, params
from segmodels.files import write_text
from segmodels.prediction import runtime
from segmodels.process import run

LEAST = 4e9  # bytes of memory; training the miniature's largest model takes 2.9
GROUPS, OWN = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")  # cgroups(7), version 1 and 2


def main() -> None:
    settings = params.load()
    for name, model in settings.every_model:
        models.check_arguments(name, model.arch, model.arguments)
    if settings.train[settings.dataset].precision == "auto" and not runtime.has_bf16():
        print("no bf16 on this machine: fp32 takes 1.6 times as long as the README says")
    if (memory := memory_bytes()) < LEAST:
        print(
            f"this machine has {memory / 1e9:.1f} GB of memory, {LEAST / 1e9:.0f} are needed: "
            "a training may be killed; lower batch_size in params.yaml"
        )
    write_text("data/params.ok", "ok\n")


def memory_bytes() -> float:
    """Memory of the machine, or what the control groups of this process leave of it."""
    limits = [float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))]
    lines = OWN.read_text(encoding="utf-8").splitlines() if OWN.exists() else []
    for _, kinds, path in (line.split(":", 2) for line in lines):
        if kinds and "memory" not in kinds.split(","):
            continue
        root = GROUPS / "memory" if kinds else GROUPS
        file = "memory.limit_in_bytes" if kinds else "memory.max"
        group = root / path.lstrip("/")
        found = [folder / file for folder in (group, *group.parents) if (folder / file).exists()]
        said = [limit.read_text(encoding="utf-8").strip() for limit in found]
        limits += [float(limit) for limit in said if limit != "max"]
    return min(limits)


if __name__ == "__main__":
    run(main)
