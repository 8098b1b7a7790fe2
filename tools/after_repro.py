"""What `make repro` says at its end: where the results are, what Git shows and why, what next."""

import json
import subprocess
from pathlib import Path

PAGE = Path("data/page/index.html")
PROVENANCES = "reports/models/*/provenance.json"


def main() -> None:
    print(f"\nresults: open {PAGE} in a browser; tables and figures are in reports/comparison/")
    if Path(".git").exists():
        print(f"git: {changes()}")
    print(
        "next: a question of your own, step 2 of docs/start/quickstart.md; "
        "masks of your photo, `segmodels predict photo.jpg` "
        "(first: source .venv/bin/activate)"
    )


def changes() -> str:
    """How the results differ from the committed ones, and why."""
    count = len(git("status", "--porcelain", "--", "reports").splitlines())
    if not count:
        text = "the results are the committed ones, bit for bit"
        if git("status", "--porcelain", "--", "dvc.lock"):
            text += "; dvc.lock differs, since it has the hashes of measured times too"
        return text
    here, there = machines()
    text = f"{count} file{'s' if count > 1 else ''} of reports/ differ{'' if count > 1 else 's'}"
    text += " from the commit"
    if there and here != there:
        return (
            f"{text}, as expected: it was made on {there}, this is {here}, which rounds "
            "differently; on main do not commit reports/ and dvc.lock: pages quote the others"
        )
    return f"{text}; parameters, code or data changed since"


def machines() -> tuple[str, str]:
    """CPU or GPU and precision of the results here, and of the committed ones; "" if unknown."""
    paths = git("ls-files", PROVENANCES).splitlines()
    known = [path for path in paths if Path(path).exists()]
    if not known:
        return "", ""
    here = Path(known[0]).read_text(encoding="utf-8")
    there = git("show", f"HEAD:{known[0]}")
    return machine(here), machine(there)


def machine(provenance: str) -> str:
    facts = json.loads(provenance)
    return f"{facts['gpu'] or facts['cpu']} in {facts['precision']}"


def git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], check=True, capture_output=True, encoding="utf-8")
    return done.stdout


if __name__ == "__main__":
    main()
