"""params.yaml -> data/params.ok: a bad value stops everything before any stage trains."""

from segmodels import models, params
from segmodels.files import write_text
from segmodels.process import run


def main() -> None:
    settings = params.load()
    for name, model in settings.models.items():
        models.check_arguments(name, model.arch, model.arguments)
    write_text("data/params.ok", "ok\n")


if __name__ == "__main__":
    run(main)
