"""params.yaml -> data/params.ok: a bad value stops everything before any stage trains."""

from segmodels import models, params
from segmodels.files import write_text
from segmodels.prediction import runtime
from segmodels.process import run


def main() -> None:
    settings = params.load()
    for name, model in settings.every_model:
        models.check_arguments(name, model.arch, model.arguments)
    if settings.train[settings.dataset].precision == "auto" and not runtime.has_bf16():
        print("no bf16 on this machine: fp32 takes 1.6 times as long as the README says")
    write_text("data/params.ok", "ok\n")


if __name__ == "__main__":
    run(main)
