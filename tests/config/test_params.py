import copy
import functools
import operator
import re
from pathlib import Path

import pytest
import yaml
from dvc.stage.cache import _get_cache_hash
from helpers import warm

from segmodels.config import document, params

COMMITTED = Path(__file__).parents[2] / "params.yaml"


def load_changed(tmp_path, *changes):
    """params.yaml with the values at dotted keys replaced; a key with value None is removed."""
    values = yaml.safe_load(COMMITTED.read_text(encoding="utf-8"))
    for key, value in changes:
        *parents, last = key.split(".")
        section = values
        for parent in parents:
            section = section[parent]
        if value is None:
            del section[last]
        else:
            section[last] = value
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(values, allow_unicode=True), encoding="utf-8")
    return params.load(path)


def test_committed_params_are_valid_and_frozen():
    settings = params.load(COMMITTED)
    assert settings.data.classes[15] == "person"
    with pytest.raises(ValueError, match="frozen"):
        settings.seed = 1


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("train.miniature.lr", -1, r"train.miniature.lr = -1: input should be greater than 0"),
        ("train.miniature.epochs", "ten", r"train.miniature.epochs = 'ten': .*integer"),
        ("train.miniature.epochs", 0, r"train.miniature.epochs = 0: .*greater than or equal to 1"),
        ("train.miniature.lr", float("nan"), r"train.miniature.lr = nan: .*finite"),
        ("train.miniature.epoch", 3, r"train.miniature.epoch: unknown key"),
        ("train.miniature.epochs", None, r"train.miniature.epochs: this key is missing"),
        ("train.miniature.optimizer", "adam", r"optimizer = 'adam': .*'sgd' or 'adamw'"),
        ("train.miniature.scale", [2, 1], r"train.miniature: scale = \[2.0, 1.0\]"),
        ("train.miniature.warmup_epochs", 12, r"warmup_epochs = 12.0: expected less than epochs"),
        ("models.unet.size", 7, r"models.unet.size: DVC does not see keys of this name: take anot"),
        ("train.miniature.threads", 0, r"train.miniature.threads = 0: expected auto"),
        ("model", "unett", r"model = 'unett': expected a key of `models` \(it has "),
        ("dataset", "voc", r"dataset = 'voc': expected a key of `datasets` \(it has miniature"),
        ("models", {}, r"models = {}: .*at least 1 item"),
        ("models.unet.arch", "../evil", r"models.unet.arch = '../evil'"),
        ("models.unet.train", {"lr": -2}, r"models.unet.train.lr = -2"),
        ("variants.on", {"weights_of": "unett"}, r"weights_of = 'unett': expected a key of `mod"),
        ("variants.unet", {"weights_of": "fcn8s"}, r"variants.unet: a model has that name"),
        ("variants.on", {"weights_of": "unet", "rate": 1}, r"variants.on.rate: unknown key"),
        (
            "variants.on",
            {"weights_of": "unet", "predict": {"scales": []}},
            r"variants.on.predict.scales = \[\]",
        ),
        ("models.unet.predict", {"flips": True}, r"models.unet.predict.flips: unknown key"),
        (
            "comparisons.pets",
            {"runs": ["unet", "fcn8s"], "score_classes": ["cat", "hamster"]},
            r"comparisons.pets.score_classes names \['hamster'\]",
        ),
        ("here", "studies/mine/", r"here = 'studies/mine/': expected the way to the project's"),
        ("root", None, r"root: this key is missing"),
        ("models.unet.train", {"loss": {"dice": 1}}, r"train.loss.cross_entropy: this key is miss"),
        ("train.miniature.loss.dice", -1, r"train.miniature.loss.dice = -1"),
        ("train.miniature.loss.dise", 1, r"train.miniature.loss.dise: unknown key"),
        ("train.miniature.loss.cross_entropy", 0, r"train.miniature.loss: .* all 0: expected one"),
        ("train.miniature.class_weights", "some", r"class_weights = 'some': .*'median_frequency'"),
        ("datasets.miniature.void", 20, r"void = 20 is also the label of class 20"),
        ("datasets.miniature.groups", {"pets": ["hamster"]}, r"groups name \['hamster'\]"),
        ("datasets.voc_sample.archive.md5", ["x"], r"datasets.voc_sample.archive.md5.0 = 'x'"),
        (
            "predict.miniature.split",
            "holdout",
            r"split = 'holdout': datasets.miniature.holdout is 0",
        ),
        ("predict.miniature.split", "train", r"predict.miniature.split = 'train': .*'holdout'"),
        ("predict.miniature.split", "test", r"split = 'test': datasets.miniature.test is null"),
        ("datasets.voc_sample.archive", {"urls": ["u"]}, r"voc_sample.archive: md5 is missing"),
        (
            "datasets.voc_sample.archive.splits",
            "data/splits/camvid",
            r"voc_sample.archive: `splits` is of `layout: camvid`",
        ),
        (
            "datasets.voc_sample.archive",
            {"urls": ["u"], "layout": "camvid"},
            r"voc_sample.archive: `layout: camvid` needs `splits`",
        ),
        (
            "datasets.voc_sample.archive",
            {"urls": ["u"], "layout": "camvid", "splits": "s", "only": "list.txt"},
            r"voc_sample.archive: `only` is of `layout: voc`",
        ),
        (
            "datasets.voc2012_aug.archive",
            {"urls": ["u"], "layout": "camvid", "splits": "s"},
            r"voc2012_aug: sbd extends a whole VOC archive",
        ),
        ("colour", "red", r"colour: unknown key"),
        ("train.miniature.epochs", True, r"train.miniature.epochs = True: expected no true or f"),
        ("train.miniature.init", "a\0b", r"train.miniature.init = 'a\\x00b': expected no null"),
        (
            "datasets.own",
            {"classes": ["a", "b"], "source": {"path": "data/own/own", "table": "\0"}},
            r"datasets.own.source.table = '\\x00': expected no null character",
        ),
        (
            "datasets.own",
            {"classes": ["a", "b"], "source": "\0"},
            r"datasets.own.source = '\\x00': expected no null character",
        ),
    ],
)
def test_bad_value_is_one_line_with_key_and_value(tmp_path, key, value, message):
    with pytest.raises(ValueError, match=message) as caught:
        load_changed(tmp_path, (key, value))
    assert len(str(caught.value).splitlines()) == 1


def test_a_missing_section_comes_first_and_the_rest_is_short(tmp_path):
    """Without the line `models:` its entries fall under `predict:`, 19 unknown keys."""
    text = COMMITTED.read_text(encoding="utf-8")
    path = tmp_path / "params.yaml"
    path.write_text(re.sub("(?m)^models:.*\n", "", text), encoding="utf-8")
    with pytest.raises(ValueError) as caught:
        params.load(path)
    first, *others, last = str(caught.value).splitlines()
    assert first == f"{path}: models: this key is missing"
    assert others[0] == f"{path}: predict.fcn_resnet50.arch: unknown key, check its spelling"
    told = [line for line in others if re.search(r": predict\.\w+\.\w+: unknown key", line)]
    assert others == told and len(told) == 4
    assert last == "and 15 more"


@pytest.mark.parametrize("name", ["runs", "own", "page/x", "../x", "/abs", "v1.0", "a@b", ""])
def test_data_set_name_that_is_no_folder_of_its_own_is_refused(name):
    with pytest.raises(ValueError, match="expected a relative path|is taken"):
        params.Params.model_validate(renamed(name))


def renamed(name):
    values = yaml.safe_load(COMMITTED.read_text(encoding="utf-8"))
    values["datasets"][name] = values["datasets"]["miniature"]
    return values


def test_own_data_set_needs_only_classes():
    values = renamed("my data/日本")
    values["datasets"]["my data/日本"] = {"classes": ["空", "道", "車"]}
    settings = params.Params.model_validate(values)
    own = settings.datasets["my data/日本"]
    assert (own.train, own.val, own.void, own.archive) == ("train", "val", 255, None)


def test_recipe_of_a_model_is_the_common_one_with_its_overrides(tmp_path):
    settings = load_changed(tmp_path, ("models.unet.train", {"lr": 0.5}))
    assert settings.recipe("unet").lr == 0.5
    assert settings.recipe("unet").epochs == settings.recipe("fcn8s").epochs
    assert settings.recipe("fcn8s").lr == settings.train["miniature"].lr


def test_a_loss_of_one_model_replaces_the_common_one(tmp_path):
    both = {"cross_entropy": 0.5, "dice": 2}
    settings = load_changed(tmp_path, ("models.unet.train", {"loss": both}))
    assert settings.recipe("unet").loss.learned == both
    assert settings.recipe("fcn8s").loss.learned == {"cross_entropy": 1}


def test_a_model_that_is_removed_leaves_its_comparisons_by_itself(tmp_path):
    settings = load_changed(tmp_path, ("models.fcn16s", None))
    assert settings.comparisons["skips"].runs == ["fcn32s", "fcn8s"]
    assert set(settings.comparisons) == {"backbones", "models", "skips"}
    (line,) = settings.left_out
    assert line == (
        "comparisons.skips: no model is called fcn16s (removed from `models`, or misspelt): "
        "drawn with fcn32s, fcn8s"
    )


def test_a_comparison_of_which_one_model_is_left_is_not_drawn(tmp_path):
    settings = load_changed(tmp_path, ("models.fcn16s", None), ("models.fcn8s", None))
    assert set(settings.comparisons) == {"backbones", "models"}
    (line,) = settings.left_out
    assert "no model is called fcn16s, fcn8s " in line and line.endswith(": not drawn")


def test_a_misspelt_model_of_a_comparison_is_named(tmp_path):
    small = {"arch": "unet", "width": 2}  # so that check measures no speed
    settings = load_changed(
        tmp_path,
        ("models", {"fcn32s": small, "fcn8s": small}),
        ("model", "fcn8s"),
        ("comparisons", {"skips": ["fcn32s", "fnc16s", "fcn8s"]}),
    )
    (line,) = settings.left_out
    assert line.startswith("comparisons.skips: no model is called fnc16s (")
    assert line in check_stderr(tmp_path)


def test_nothing_is_said_of_comparisons_whose_models_are_defined(tmp_path):
    assert params.load(COMMITTED).left_out == ()


def test_a_comparison_may_have_one_model_and_be_a_list_alone(tmp_path):
    settings = load_changed(tmp_path, ("comparisons.alone", ["unet"]))
    assert settings.comparisons["alone"].runs == ["unet"]
    assert settings.comparisons["alone"].score_classes is None


def test_a_variant_without_a_recipe_shares_weights_and_is_predicted_otherwise(tmp_path):
    entry = {"weights_of": "unet", "predict": {"scales": [0.5, 1], "flip": True}}
    settings = load_changed(
        tmp_path, ("variants.twice", entry), ("models.unet.predict", {"batch_size": 1})
    )
    assert settings.shared_weights("twice") == "unet"
    assert settings.shared_weights("unet") is None
    assert settings.runs["twice"].arguments == settings.models["unet"].arguments
    expected = settings.predict["miniature"].model_dump()
    expected |= {"scales": [0.5, 1], "flip": True, "batch_size": 1}
    assert settings.prediction("twice").model_dump() == expected
    assert not settings.prediction("unet").flip


def test_a_variant_with_a_recipe_trains_on_from_the_last_weights_of_its_model(tmp_path):
    entry = {"weights_of": "unet", "train": {"lr": 0.25}, "seed": 3}
    settings = load_changed(
        tmp_path, ("variants.on", entry), ("models.unet.train", {"lr": 0.5, "bn": "frozen"})
    )
    assert settings.shared_weights("on") is None
    start = (tmp_path / "data/runs/miniature/unet/train/weights.pt").as_posix()
    expected = settings.recipe("unet").model_dump() | {"lr": 0.25, "init": start}
    assert settings.recipe("on").model_dump() == expected
    assert (settings.model_seed("on"), settings.model_seed("unet")) == (3, 0)


def check_stderr(folder):
    """What the stage `check` says beside its own output."""
    done = warm.run(folder, "stages.check", PYTHONPATH=str(COMMITTED.parent))
    assert done.returncode == 0
    return done.stderr


def test_a_model_may_train_otherwise_in_all_that_the_data_set_says(tmp_path):
    common = params.load(COMMITTED).train["miniature"].model_dump()
    otherwise = {"epochs": 3, "batch_size": 4, "crop_size": 32, "init": "imagenet", "bn": "frozen"}
    settings = load_changed(tmp_path, ("models.unet.train", otherwise))
    assert settings.recipe("unet").model_dump() == common | otherwise


def test_a_model_may_have_a_seed_of_its_own(tmp_path):
    settings = load_changed(tmp_path, ("models.unet.seed", 0), ("seed", 7))
    assert (settings.model_seed("unet"), settings.model_seed("fcn8s")) == (0, 7)
    assert "seed" not in settings.models["unet"].arguments


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            {"warmup_epochs": 50},
            "models.unet.train: warmup_epochs = 50.0: expected less",
        ),
        ({"speed": 1}, "models.unet.train.speed: unknown key"),
    ],
)
def test_overrides_that_do_not_fit_the_recipe_are_refused(tmp_path, overrides, message):
    with pytest.raises(ValueError, match=message):
        load_changed(tmp_path, ("models.unet.train", overrides))


@pytest.mark.parametrize(
    ("content", "message"),
    [("- a\n", "expected keys and values, found list"), ("a: [1\n", "not valid YAML")],
)
def test_file_that_is_no_mapping_is_one_line(tmp_path, content, message):
    path = tmp_path / "params.yaml"
    path.write_text(content)
    with pytest.raises(ValueError, match=message) as caught:
        params.load(path)
    assert len(str(caught.value).splitlines()) == 1


def leaves(values, *place):
    """Where every value that is no mapping stands."""
    for key, value in values.items():
        yield from leaves(value, *place, key) if isinstance(value, dict) else [(*place, key)]


def test_dvc_tells_runs_apart_by_every_value():
    """Found: `predict.<dataset>.size` was none of these, and another size's masks came back."""
    values = yaml.safe_load(COMMITTED.read_text(encoding="utf-8"))
    known = _get_cache_hash({"params": values})
    for *parents, last in leaves(values):
        changed = copy.deepcopy(values)
        section = functools.reduce(operator.getitem, parents, changed)
        section[last] = "another"
        assert _get_cache_hash({"params": changed}) != known, (*parents, last)
    for name in document.UNSEEN:  # or the refusal of these names could go
        assert _get_cache_hash({"params": {name: 1}}) == _get_cache_hash({"params": {name: 2}})


def test_anchors_that_grow_without_end_are_refused_at_once(tmp_path):
    """Found: the search for keys that DVC does not see went through all 2 ** 40 of them."""
    lines = ["bomb0: &b0 {a: 1}"]
    lines += [f"bomb{k}: &b{k} {{a: *b{k - 1}, b: *b{k - 1}}}" for k in range(1, 40)]
    path = tmp_path / "params.yaml"
    text = COMMITTED.read_text(encoding="utf-8") + "\n".join(lines)
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match="bomb0: unknown key"):
        params.load(path)
    path.write_text(text.replace("{a: 1}", "{size: 1}"), encoding="utf-8")
    with pytest.raises(ValueError, match="size: DVC does not see keys"):
        params.load(path)
