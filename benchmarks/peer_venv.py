"""A virtual environment of pinned versions for a peer whose packages this project does not need.

PyTorch is not installed a second time: a .pth file leads to the packages of the Python that runs
this. So both sides compute with the same build of PyTorch, and their times differ by their own
work alone; NumPy, timm and Pillow are the same too. What is installed here comes before those.
"""

import subprocess
import sys
import sysconfig
import venv
from importlib.metadata import version
from pathlib import Path

SMP = "segmentation-models-pytorch==0.6.0"
# The next two bring what SMP's example needs; OpenCV 5 is newer than this albumentations.
AUGMENTATION = ["albumentations==2.0.8", "opencv-python-headless==4.13.0.92"]
SHARED = ("torch", "torchvision", "timm", "huggingface-hub", "safetensors", "tqdm", "pillow")
NOTE = "peers.txt"  # in the environment, once it is whole: what it was made of
LINK = "of_the_outer_environment.pth"


def python(folder: Path) -> Path:
    """The Python of an environment that has the pinned versions; made, if it is not there yet.

    Raises:
        ValueError: a package that is shared is missing, or one cannot be installed.
    """
    executable = folder / "bin/python"
    wanted = contents()
    note = folder / NOTE
    if note.is_file() and note.read_text(encoding="utf-8") == wanted:
        return executable
    print(f"installing {SMP} and {', '.join(AUGMENTATION)} into {folder}", file=sys.stderr)
    venv.create(folder, clear=True, with_pip=True)
    packages = sysconfig.get_path("purelib", vars={"base": str(folder)})
    (Path(packages) / LINK).write_text("\n".join(outer_packages()) + "\n", encoding="utf-8")
    install(executable, ["--no-deps", SMP])  # it needs nothing but SHARED and NumPy
    install(executable, AUGMENTATION)
    note.write_text(wanted, encoding="utf-8")
    return executable


def contents() -> str:
    """What an environment is made of, a line for each: another one is made where this changes.

    Raises:
        ValueError: a package that is shared is missing.
    """
    lines = [sys.executable, SMP, *AUGMENTATION]
    for name in SHARED:
        try:
            lines.append(f"{name}=={version(name)}")
        except ModuleNotFoundError:
            raise ValueError(f"{name}: not installed: pip install -e '.[dev]'") from None
    return "\n".join(lines) + "\n"


def outer_packages() -> list[str]:
    """The folders in which this Python's packages are."""
    paths = sysconfig.get_paths()
    return list(dict.fromkeys([paths["purelib"], paths["platlib"]]))


def install(executable: Path, words: list[str]) -> None:
    """Run pip in an environment; what it says is shown only if it fails."""
    command = [str(executable), "-m", "pip", "install", "--disable-pip-version-check", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = done.stderr.strip().splitlines()[-1:]
        raise ValueError(
            f"pip install {' '.join(words)}: {' '.join(reason)}; it needs a package index, "
            "a network or a mirror"
        )
