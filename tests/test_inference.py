import pytest
import torch
from segmodels.prediction.runtime import has_bf16, start
from torchvision.transforms import v2

from segmodels.models.network import label_map, normalize
from segmodels.sections import Normalize

NORMALIZE = Normalize(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


def test_normalize_equals_torchvision():
    image = torch.randint(0, 256, (2, 3, 9, 7), dtype=torch.uint8)
    theirs = v2.functional.normalize(image / 255, list(NORMALIZE.mean), list(NORMALIZE.std))
    torch.testing.assert_close(normalize(image, NORMALIZE), theirs, rtol=1e-5, atol=1e-6)


def test_label_map_is_argmax_and_the_first_of_equals():
    logits = torch.randn(21, 30, 40)
    assert torch.equal(label_map(logits), logits.argmax(0).to(torch.uint8))
    assert (label_map(torch.zeros(5, 2, 2)) == 0).all()


@pytest.mark.parametrize("precision", ["fp32", "bf16", "auto"])
def test_runtime_resolves_and_records(precision):
    before = torch.get_num_threads()
    runtime = start(precision, threads=1, deterministic=True, seed=5)
    try:
        record = runtime.record()
        assert torch.get_num_threads() == record["threads"] == 1
        assert torch.initial_seed() == 5
        resolved = {"auto": "bf16" if has_bf16() else "fp32"}.get(precision, precision)
        assert record["precision"] == resolved
        assert record["versions"]["torch"] == torch.__version__
    finally:
        torch.set_num_threads(before)
