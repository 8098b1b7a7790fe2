"""After `dvc repro` in a clean checkout: is the working tree as it was committed?

On the kind of CPU (and precision, threads, versions) that the committed results were made with,
every result must have the same bits, but for what holds times (TIMED). Of dvc.lock only what Git
does not keep is compared: reports/ is compared as committed, and digests of code are no results. So
an edit that changes no training, and figures drawn anew, are committed without another dvc.lock. On
another kind every result may differ, but nothing else may.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

import yaml

from segmodels.data.doctor.finding import plural

TIMED = re.compile("data/(runs/.*/cost.json|costs/.*|page)")
ELSEWHERE = re.compile("data/(code|facts)|reports/.*")
MACHINE = ("device", "precision", "threads", "cpu", "gpu", "versions")


def git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], check=True, capture_output=True, text=True).stdout


def outputs(lock: str) -> dict[str, dict[str, str]]:
    """{stage: {path: hash}} of what the stages of a dvc.lock made and DVC alone keeps."""
    made = {}
    for name, stage in yaml.safe_load(lock)["stages"].items():
        files = {file["path"]: file["md5"] for file in stage.get("outs", [])}
        made[name] = {
            path: content
            for path, content in files.items()
            if not TIMED.fullmatch(path) and not ELSEWHERE.fullmatch(path)
        }
    return made


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
    committed = git("show", "HEAD:dvc.lock")
    before, after = outputs(committed), outputs(Path("dvc.lock").read_text(encoding="utf-8"))
    different = [path for path in results if path != "dvc.lock"]
    different += [name for name in after if before.get(name) != after[name]]
    if different:
        sys.exit(f"same kind of machine, other results: {different}")
    print(f"same kind of machine, same bits: {plural(len(provenances), 'model')}")


if __name__ == "__main__":
    main()
