"""The command line on a made-up project, its figures counted again by PyTorch and scikit-learn."""

import hashlib
import json
import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from conftest import VOID, write_tree
from PIL import Image
from sklearn.metrics import accuracy_score, jaccard_score
from torchvision.transforms import v2

from segmodels import models
from segmodels.cli import main, parser
from segmodels.commands import variants
from segmodels.config import params
from segmodels.config.paths import Paths
from segmodels.config.schema import Dataset, Predict
from segmodels.core import machine, packed
from segmodels.data import images, layout
from segmodels.data.index import build
from segmodels.data.sources.miniature.generate import generate
from segmodels.inference import crf, export, int8
from segmodels.inference.predictor import PLAIN, SETTINGS
from segmodels.models import fcn
from segmodels.training.checkpoint import save_weights
from stages import predict as stage

ROOT = Path(__file__).parents[1]
IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
TINY = {"tiny": {"arch": "unet", "width": 2}, "tinier": {"arch": "segnet", "width": 2}}
NOTED = {"tiny": IMAGENET, "tinier": {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.2, 0.1]}}
RECIPE = {"threads": 1, "precision": "fp32", "crop_size": 32, "val_size": 48}
PHOTOGRAPHS = crf.PHOTOGRAPHS.model_dump()
FCN18 = {"arch": "fcn", "backbone": "resnet18", "output_stride": 32}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with params.yaml, two models that the miniature has trained, and untrained ones."""
    content = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    content |= {"models": {**TINY, "fcn18": FCN18, "none": {"arch": "unet"}}, "model": "tiny"}
    content |= {"comparisons": {}}
    content["predict"]["miniature"] |= {"precision": "fp32", "threads": 1}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    for name in TINY:
        save_weights(network(name).state_dict(), train_folder(tmp_path, name) / "weights.pt")
        record = {"arch": TINY[name]["arch"], "arguments": {"width": 2}, "normalize": NOTED[name]}
        record |= {"recipe": content["train"]["miniature"] | RECIPE, "seed": 3}
        (train_folder(tmp_path, name) / "provenance.json").write_text(json.dumps(record))
        train_folder(tmp_path, name).with_name("cost.json").write_text("{}")
    monkeypatch.setattr(packed, "FOLDER", tmp_path / "weights")  # none comes along
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    yield tmp_path
    torch.set_num_threads(threads)


def train_folder(root, name):
    return root / "data/runs/miniature" / name / "train"


def network(name):
    torch.manual_seed(len(name))
    return models.build(TINY[name]["arch"], num_classes=21, width=2)


def picture(path, *, height=64, width=80, seed=0):
    path.parent.mkdir(exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (height // 4, width // 4, 3), np.uint8)
    Image.fromarray(noise).resize((width, height)).save(path)
    return path


def witness(model, path, normalize=IMAGENET):
    """Labels of a picture by plain PyTorch."""
    image = v2.functional.pil_to_tensor(Image.open(path).convert("RGB"))
    normal = v2.functional.normalize(image / 255, **normalize)[None]
    with torch.inference_mode():
        return model.eval()(normal)["out"][0].argmax(0).numpy()


def status(arguments):
    """Exit status of the command."""
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    if isinstance(end.value.code, str):  # Python prints it and ends with 1
        print(end.value.code, file=sys.stderr)
        return 1
    return end.value.code


def test_predict_writes_the_masks_and_prints_their_shares(project, capsys):
    file = picture(project / "in/a b ü.png")
    main(["predict", str(file), "--model", "tiny", "--model", "tinier", "--out", "new/out"])
    out, err = capsys.readouterr()
    assert err == ""  # no larger than the drawings: no warning
    *lines, written = out.splitlines()
    begin = "new/out/a b ü_"
    files = [f"{begin}{name}_{kind}.png" for name in TINY for kind in ("mask", "overlay")]
    files.insert(2, f"{begin}comparison.png")
    assert written == f"  written: {', '.join(files)}"
    for line, name in zip(lines, TINY, strict=True):
        path = project / f"new/out/a b ü_{name}_mask.png"
        labels = images.read_target(path)
        assert (labels == witness(network(name), file, NOTED[name])).mean() > 0.999
        assert Image.open(path).getpalette() == images.palette().ravel().tolist()
        assert line.startswith(f"{file}, {name}: ")
        shares = {k: float(v) for k, v in re.findall(r"(\w+) ([\d.]+)%", line.partition(": ")[2])}
        counted = {voc_classes()[k]: 100 * (labels == k).mean() for k in np.unique(labels)}
        assert shares == pytest.approx(counted, abs=0.1)
        assert Image.open(project / f"new/out/a b ü_{name}_overlay.png").size == (80, 64)
    assert (project / "new/out/a b ü_comparison.png").exists()


def voc_classes():
    return yaml.safe_load(Path("params.yaml").read_text())["datasets"]["voc2012"]["classes"]


def test_models_lists_what_was_trained_here_and_in_studies(project, capsys):
    content = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    for name, text in (
        ("mine", yaml.safe_dump(content | {"root": "../..", "here": "studies/mine/"})),
        ("untrained", yaml.safe_dump(content | {"root": "../..", "here": "studies/untrained/"})),
        ("broken", "models: 3"),
    ):
        file = project / "studies" / name / "params.yaml"
        file.parent.mkdir(parents=True)
        file.write_text(text, encoding="utf-8")
    params.load("studies/mine/params.yaml").paths.train("tiny").mkdir(parents=True)
    main(["models"])
    out, err = capsys.readouterr()
    listed = re.findall(r"^  (?:\S*/)?tin(?:y|ier)\b", out, re.MULTILINE)
    assert sorted(listed) == ["  studies/mine/tiny", "  tinier", "  tiny"]
    assert "studies/untrained" not in out
    assert err.startswith("studies/broken: its runs are not listed: ")


def test_predict_goes_on_after_bad_files_and_names_each(project, capsys):
    folder = project / "in"
    whole = picture(folder / "large.png").read_bytes()
    sizes = {
        "a.png": (1, 1),
        "b.jpg": (90, 70),
        "b.webp": (33, 40),
        os.fsdecode(b"\xff.bmp"): (99, 8),
    }
    for name, size in sizes.items():
        Image.new("RGB", size, "teal").save(folder / name)
    bad = {"0.jpg": b"", "cut.png": whole[: len(whole) // 2], "text\n.jpg": b"text"}
    for name, content in bad.items():
        (folder / name).write_bytes(content)
    (folder / "folder.jpg").mkdir()
    assert status(["predict", folder, "missing.jpg", "--out", "out"]) == 1
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 2 * (1 + len(sizes))
    lines = [line for line in err.splitlines() if not line.startswith("warning: ")]
    starts = [
        "0.jpg: 0 bytes",
        "cut.png: ",
        "text?.jpg: not",
        "missing.jpg",
    ]
    for line, start in zip(lines, [*starts, "error: 4 not predicted, 9 images"], strict=True):
        assert start in line
    written = sorted(Image.open(f).size for f in (project / "out").glob("*_mask.png"))
    assert written == sorted([(80, 64), *sizes.values()])


def test_predict_warns_once_of_photographs(project, capsys):
    for seed in range(2):
        picture(project / f"in/{seed}.png", width=120, seed=seed)
    main(["predict", str(project / "in")])
    out, err = capsys.readouterr()
    assert err.count("warning: tiny was trained on generated images: masks of photographs") == 1
    assert len(out.splitlines()) == 4


def note_classes(project, classes):
    """Let the training of `tiny` have noted these names."""
    path = train_folder(project, "tiny") / "provenance.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"classes": classes}))


VARIANTS = ["--scales", "0.75,1,1.25", "--flip", "--crf"]
CRF = {
    "iterations": 3,
    "position_sigma": 1,
    "position_weight": 3,
    "bilateral_sigma_xy": 20,
    "bilateral_sigma_rgb": 5,
    "bilateral_weight": 12,
}
WINDOW = {"side": 48, "stride": 20}


@pytest.fixture
def miniature(project, monkeypatch):
    """Five images of the miniature, as the stage finds them; returns their files."""
    monkeypatch.setenv("DVC_ROOT", str(project))
    monkeypatch.setenv("SEGMODELS_WORKERS", "0")
    root = Paths(dataset="miniature").tree
    classes = voc_classes()
    generate(root, train=1, val=5, short_side=64, long_side=80, classes=classes, seed=3)
    index, _ = build(root, Dataset(classes=classes))
    index.to_csv("data/miniature/index.csv", index=False)
    return [layout.image_path(root, image_id) for image_id in layout.read_split(root, "val")]


def change_predict(**changes):
    """Change predict.miniature of params.yaml."""
    values = yaml.safe_load(Path("params.yaml").read_text())
    values["predict"]["miniature"] |= changes
    Path("params.yaml").write_text(yaml.safe_dump(values))


def masks_of_stage(monkeypatch, files, model):
    monkeypatch.setattr(sys, "argv", ["stage", model])
    stage.main()
    folder = Path("data/predictions/miniature") / model
    return [images.read_target(folder / f"{file.stem}.png") for file in files]


def masks_of_command(files, model, *options):
    main(["predict", *map(str, files), "--model", model, "--out", "out", *options])
    return [images.read_target(f"out/{file.stem}_{model}_mask.png") for file in files]


@pytest.mark.parametrize(
    ("model", "committed", "options", "meant"),
    [
        ("tiny", {}, [], {}),
        ("tinier", {}, [], {}),
        ("tiny", {"long_side": 56}, [], {}),
        ("tiny", {"scales": [0.75, 1, 1.25], "flip": True, "crf": CRF}, [], {}),
        ("tinier", {"crf": CRF}, VARIANTS, {"scales": [0.75, 1, 1.25], "flip": True}),
        ("tiny", {}, VARIANTS, {"scales": [0.75, 1, 1.25], "flip": True, "crf": PHOTOGRAPHS}),
        ("tiny", {"flip": True}, ["--window", "48:20"], {"window": WINDOW}),
        ("tiny", {"window": WINDOW, "crf": CRF, "flip": True}, ["--fast"], PLAIN),
    ],
)
def test_predict_gives_the_masks_of_the_stage(
    miniature, monkeypatch, model, committed, options, meant
):
    """One image at a time; the last bits of logits depend on how many there are."""
    change_predict(batch_size=1, **committed)
    found = masks_of_command(miniature, model, *options)
    change_predict(**meant)
    expected = masks_of_stage(monkeypatch, miniature, model)
    assert len(found) == 5
    for mine, theirs in zip(found, expected, strict=True):
        assert np.array_equal(mine, theirs)


def test_batches_of_the_stage_change_few_pixels(miniature, monkeypatch):
    change_predict(batch_size=8, scales=[0.75, 1, 1.25], flip=True)
    found = np.stack([mask.ravel() for mask in masks_of_command(miniature, "tiny")])
    expected = masks_of_stage(monkeypatch, miniature, "tiny")
    assert (found == np.stack([mask.ravel() for mask in expected])).mean() > 0.999


def test_every_key_of_predict_is_a_variant_with_an_option_or_a_setting():
    """A variant that PLAIN lacked would survive --fast."""
    assert {"scales", "flip", "window", "tile", "crf"} <= set(PLAIN)
    assert set(Predict.model_fields) == set(PLAIN) | SETTINGS
    options = vars(parser("predict").parse_args(["predict", "photo.jpg"]))
    missing = set(PLAIN) - (set(options) & set(variants.OPTIONS))
    assert not missing, (
        f"predict.<dataset>.{missing}: a variant needs its option in segmodels/commands/variants.py"
        ", and a key that is none belongs to SETTINGS of segmodels/inference/predictor.py"
    )


def test_variants_change_the_masks(miniature):
    """Or the test above would compare nothing."""
    seen = [masks_of_command(miniature, "tiny")]
    for options in (["--scales", "0.75"], ["--flip"], ["--window", "48:20"], ["--crf"]):
        seen.append(masks_of_command(miniature, "tiny", *options))
    stacked = [np.concatenate([mask.ravel() for mask in masks]) for masks in seen]
    assert len({labels.tobytes() for labels in stacked}) == len(stacked)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--scales", "a"], "'a': expected numbers above 0, e.g. 0.75,1,1.25"),
        (["--scales", "1,0"], "--scales: Input should be greater than 0, found 0"),
        (["--window", "480"], "'480': expected SIDE:STRIDE in pixels, e.g. 480:320"),
        (["--window", "48:64"], "--window: stride = 64: expected 1..48, the window's side"),
        (["--window", "48:20", "--tile", "36"], "window and tile are both given"),
        (["--tile", "0"], "--tile: Input should be greater than or equal to 1, found 0"),
    ],
)
def test_variants_that_make_no_sense_have_status_2(project, capsys, options, reason):
    picture(project / "in/a.png")
    assert status(["predict", "in", *options]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("segmodels predict: error: ") and reason in last


def test_tile_is_refused_for_a_model_that_pads(project):
    picture(project / "in/a.png")
    with pytest.raises(
        SystemExit, match="error: predict.tile = 36: expected null, since UNet pads"
    ):
        main(["predict", "in", "--model", "tiny", "--tile", "36"])


def test_models_of_other_classes_are_not_compared(project):
    picture(project / "in/a.png")
    note_classes(project, [f"class {k}" for k in range(21)])
    with pytest.raises(SystemExit, match="tinier: trained with other classes than tiny: predict"):
        main(["predict", "in", "--model", "tiny", "--model", "tinier"])


def test_networks_are_built_once_for_all_photographs(project, monkeypatch):
    for seed in range(3):
        picture(project / f"in/{seed}.png", seed=seed)
    built = []
    build_model = models.build
    monkeypatch.setattr(models, "build", lambda *a, **k: built.append(a) or build_model(*a, **k))
    main(["predict", "in", "--model", "tiny", "--model", "tinier"])
    assert built == [("unet",), ("segnet",)]


@pytest.mark.parametrize("now", ["reversed", "renamed", "fewer"])
def test_predict_and_export_call_classes_as_the_training_did(project, monkeypatch, capsys, now):
    """The names in params.yaml have changed since, or the data set has."""
    trained = [f"class {k}" for k in range(21)]
    note_classes(project, trained)
    others = {"reversed": trained[::-1], "renamed": [*trained[:20], "x"], "fewer": trained[:5]}
    values = yaml.safe_load(Path("params.yaml").read_text())
    values["datasets"]["miniature"] |= {"classes": others[now], "groups": {}}
    Path("params.yaml").write_text(yaml.safe_dump(values))
    file = picture(project / "in/a.png")
    main(["predict", str(file), "--model", "tiny", "--out", "out"])
    out, err = capsys.readouterr()
    labels = images.read_target("out/a_tiny_mask.png")
    assert out.split(": ")[1].startswith(trained[np.bincount(labels.ravel()).argmax()])
    assert err.startswith("tiny: classes are called as when it was trained; params.yaml has ")
    given = {}
    monkeypatch.setattr(export, "to_onnx", lambda *_, **keys: given.update(keys) or 0.0)
    main(["export", "tiny", "--onnx", "model.onnx"])
    assert given["classes"] == trained


def test_int8_of_a_run_takes_its_training_images_and_warns_of_generated_ones(
    project, monkeypatch, capsys
):
    pytest.importorskip("onnxruntime", reason="needs the extra: pip install -e '.[onnx]'")
    root = Paths(dataset="miniature").tree
    classes = voc_classes()
    generate(root, train=22, val=2, short_side=64, long_side=80, classes=classes, seed=3)
    index, _ = build(root, Dataset(classes=classes, holdout=2))
    index.to_csv("data/miniature/index.csv", index=False)
    taken = []
    monkeypatch.setattr(int8, "to_int8", lambda _, file, images, **keys: taken.append(images) or 1)
    main(["export", "tiny", "--onnx", "model.onnx", "--int8"])
    learnt = index.loc[index["split"] == "train", "image_id"]
    assert taken == [[layout.image_path(root, image_id) for image_id in learnt]]
    assert len(taken[0]) == 20
    out, err = capsys.readouterr()
    assert out.startswith("model.onnx: 100.0% of labels are PyTorch's")
    assert err == (
        "warning: tiny was trained on generated images: masks of photographs mean nothing; take a "
        "model of `segmodels models`\n"
    )
    taken[0][0].unlink()
    assert status(["export", "tiny", "--onnx", "model.onnx", "--int8"]) == 2
    assert "--int8: tiny has 19 training images here: expected" in capsys.readouterr().err


def test_names_that_are_none_are_refused(project):
    picture(project / "in/a.png")
    note_classes(project, "cat")
    with pytest.raises(SystemExit, match=r"provenance\.json: classes = 'cat': expected a list of"):
        main(["predict", "in", "--model", "tiny"])


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["predict", "in", "--model", "unknown"], "expected one of fcn18, none, tinier, tiny"),
        (["predict", "in", "--dataset", "unknown"], "expected one of miniature, voc2012"),
        (["predict", "in", "--out", "in/../in"], "expected another folder"),
        (["predict", "in", "--model", "torchvision/unet"], "torchvision publishes weights of"),
        (["predict", "in", "--classes", "cat,unicorn"], "--classes unicorn: tiny knows background"),
        (["predict", "in", "in/a.png", "--out", "-"], "expected one photograph and one model"),
        (["predict"], "required"),
        (["export", "unknown", "--onnx", "a.onnx"], "expected one of"),
        ([], "required"),
    ],
)
def test_wrong_command_lines_have_status_2(project, capsys, arguments, reason):
    picture(project / "in/a.png")
    assert status(arguments) == 2
    assert reason in capsys.readouterr().err


def test_weights_that_are_missing_damaged_or_of_another_model_are_refused(project):
    picture(project / "in/a.png")

    def refused(reason, name="tiny"):
        with pytest.raises(SystemExit, match=f"error: .*{reason}"):
            main(["predict", "in", "--model", name])

    refused("none/train/weights.pt: missing; `dvc repro dvc.yaml` makes it", name="none")
    save_weights(network("tinier").state_dict(), train_folder(project, "tiny") / "weights.pt")
    refused("weights.pt: of another model or other classes")
    (train_folder(project, "tiny") / "weights.pt").write_bytes(b"no weights")
    refused("weights.pt: refused, cut off")
    (train_folder(project, "tiny") / "provenance.json").write_text("{}")
    refused("provenance.json: expected the train stage's record")


@pytest.fixture
def published(project, monkeypatch):
    """Weights as torchvision publishes them, for a smaller model, in torch's cache."""
    torch.manual_seed(3)
    arguments = {key: value for key, value in FCN18.items() if key != "arch"}
    model = models.build("fcn", num_classes=21, **arguments)
    cache = project / "torch/hub/checkpoints"
    save_weights(model.state_dict(), cache / "new")
    digest = hashlib.sha256((cache / "new").read_bytes()).hexdigest()
    file = (cache / "new").rename(cache / f"fcn18-{digest[:8]}.pth")
    monkeypatch.setitem(fcn.COCO, "resnet18", f"http://127.0.0.1:9/{file.name}")
    monkeypatch.setitem(fcn.fcn.__kwdefaults__, "output_stride", 32)
    return model, file


def test_torchvisions_weights_predict_without_any_training(project, published, capsys, monkeypatch):
    monkeypatch.setattr(machine, "has_bf16", lambda: False)  # the witness computes in fp32
    file = picture(project / "in/a.png", width=120)
    main(["predict", str(file), "--model", "torchvision/fcn_resnet18", "--out", "out"])
    out, err = capsys.readouterr()
    assert err == ""  # photographs are what these weights know, and nothing is downloaded
    labels = images.read_target("out/a_fcn_resnet18_mask.png")
    assert (labels == witness(published[0], file)).mean() > 0.999
    assert voc_classes()[np.bincount(labels.ravel()).argmax()] == out.split(": ")[1].split()[0]


def test_torchvisions_weights_without_network_say_where_the_file_goes(project, published, capsys):
    picture(project / "in/a.png")
    published[1].unlink()
    with pytest.raises(SystemExit) as end:
        main(["predict", "in", "--model", "torchvision/fcn_resnet18"])
    assert f"put it at {published[1]}" in end.value.code and "\n" not in end.value.code
    notice = capsys.readouterr().err
    assert notice.startswith("torchvision/fcn_resnet18: downloading weights from http://127.0.0.1")


def test_export_hands_over_the_trained_model_and_says_why_it_is_refused(
    project, monkeypatch, capsys
):
    given = {}

    def to_onnx(model, path, **settings):
        if path.name == "bad":
            raise ValueError("ONNX fails")
        given.update(settings, state=model.state_dict(), path=path)
        return 0.25

    monkeypatch.setattr(export, "to_onnx", to_onnx)
    main(["export", "tiny", "--onnx", "model.onnx"])
    assert capsys.readouterr().out.startswith("model.onnx: at 32 x 47, ")
    assert (
        given["classes"] == voc_classes() and list(given["normalization"].mean) == IMAGENET["mean"]
    )
    torch.testing.assert_close(given["state"], network("tiny").state_dict(), rtol=0, atol=0)
    with pytest.raises(SystemExit, match="^error: tiny: ONNX fails$"):
        main(["export", "tiny", "--onnx", "bad"])


@pytest.fixture
def scored(project):
    """A VOC tree and predictions of it, of which some pixels are wrong."""
    index = write_tree(project / "voc", train=1, val=4, num_classes=4)
    ids = index.loc[index["split"] == "val", "image_id"].tolist()
    rng = np.random.default_rng(0)
    truths, guesses = [], []
    for image_id in ids:
        target = images.read_target(layout.target_path(project / "voc", image_id))
        wrong = rng.random(target.shape) < 0.2
        guess = np.where(wrong, rng.integers(0, 6, target.shape), target % VOID).astype(np.uint8)
        images.write_target(project / f"masks/{image_id}.png", guess, images.palette())
        truths.append(target[target != VOID])
        guesses.append(guess[target != VOID])
    return project / "masks", np.concatenate(truths), np.concatenate(guesses)


@pytest.mark.parametrize("plain", [False, True])
def test_evaluate_prints_scikit_learns_scores(project, scored, plain, capsys):
    masks, truth, guess = scored
    for file in masks.iterdir() if plain else []:
        Image.fromarray(images.read_target(file)).save(file)
    main(["evaluate", "--predictions", "masks", "--voc", "voc"])
    out = capsys.readouterr().out
    scores = jaccard_score(truth, guess, average=None, labels=range(6))
    classes = voc_classes()
    for label in range(6):
        assert re.search(rf"^{classes[label]} +{scores[label]:.2%} ", out, re.MULTILINE)
    assert re.search(r"^tvmonitor +- +- +0$", out, re.MULTILINE)
    assert f"mIoU over the 6 classes in truth or prediction: {scores.mean():.4%}" in out
    assert f"mIoU over the 4 classes in the truth: {scores[:4].mean():.4%}" in out
    weighted = jaccard_score(truth, guess, average="weighted", labels=range(6))
    assert f"frequency-weighted IoU: {weighted:.4%}" in out
    assert f"pixel accuracy: {accuracy_score(truth, guess):.4%}" in out
    assert "4 of 4 images of val" in out


def test_evaluate_names_each_missing_or_malformed_mask(project, scored, capsys):
    masks = sorted(scored[0].iterdir())
    masks[0].unlink()
    masks[1].write_bytes(b"text")
    Image.new("L", (3, 3)).save(masks[2])
    assert status(["evaluate", "--predictions", "masks", "--voc", "voc", "--split", "val"]) == 1
    out, err = capsys.readouterr()
    assert "1 of 4 images of val" in out
    lines = [line for line in err.splitlines() if "masks/" in line]
    for line, mask in zip(lines, masks, strict=False):
        assert mask.name in line
    assert len(lines) == 3


def test_evaluate_without_a_list_or_masks_is_one_line(project, scored, capsys):
    with pytest.raises(SystemExit, match=r"ImageSets.*test\.txt"):
        main(["evaluate", "--predictions", "masks", "--voc", "voc", "--split", "test"])
    assert status(["evaluate", "--predictions", "elsewhere", "--voc", "voc"]) == 1
    assert "0 of 4 images of val" in capsys.readouterr().out
