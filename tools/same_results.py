"""After `dvc repro` in a clean checkout: is the working tree as it was committed?

On the kind of CPU (and precision, threads, versions) that the committed results were made with,
every result must have the same bits; only what holds times may differ (TIMED), and with it its
hash in dvc.lock. On another kind every result may differ, but nothing else may.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

import yaml

from segmodels.data.doctor.finding import plural

TIMED = re.compile("data/(runs/.*/cost.json|costs/.*|page)")
MACHINE = ("device", "precision", "threads", "cpu", "gpu", "versions")


def git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], check=True, capture_output=True, text=True).stdout


def lock_without_costs(text: str) -> dict:
    lock = yaml.safe_load(text)
    for stage in lock["stages"].values():
        for part in ("deps", "outs"):
            files = stage.get(part, [])
            stage[part] = [file for file in files if not TIMED.fullmatch(file["path"])]
    return lock


def main() -> None:
    provenances = git("ls-files", "reports/models/*/provenance.json").split()
    if not provenances:
        sys.exit("no committed results to compare with")
    same_machine = True
    for path in provenances:
        then, now = json.loads(git("show", f"HEAD:{path}")), json.loads(Path(path).read_text())
        same_machine &= all(then[key] == now[key] for key in MACHINE)

    changed = [line[3:] for line in git("status", "--porcelain", "-z").split("\0") if line]
    results = [path for path in changed if path == "dvc.lock" or path.startswith("reports/")]
    others = [path for path in changed if path not in results]
    if others:
        sys.exit(f"changed, but no result: {others}")
    if not same_machine:
        print(f"another kind of machine than the committed results: {len(results)} results differ")
        return
    before = lock_without_costs(git("show", "HEAD:dvc.lock"))
    after = lock_without_costs(Path("dvc.lock").read_text(encoding="utf-8"))
    different = [path for path in results if path != "dvc.lock"]
    different += [
        name for name in after["stages"] if before["stages"].get(name) != after["stages"][name]
    ]
    if different:
        sys.exit(f"same kind of machine, other results: {different}")
    print(f"same kind of machine, same bits: {plural(len(provenances), 'model')}")


if __name__ == "__main__":
    main()
