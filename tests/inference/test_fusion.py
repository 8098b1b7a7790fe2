"""Passes of any size as one label map, with F.interpolate of whole images as a witness."""

import pytest
import torch
import torch.nn.functional as F

from segmodels.inference import fusion


def passes(*sizes, classes=5, count=2):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(count, classes, *size, generator=generator) for size in sizes]


def whole(logits, size):
    return F.interpolate(logits, size=size, mode="bilinear", align_corners=False)


def probabilities(each, size):
    """Mean over the passes, written out."""
    total = sum(
        whole(logits, size).exp() / whole(logits, size).exp().sum(1, True) for logits in each
    )
    return total / len(each)


def test_one_pass_of_the_images_size_is_untouched():
    [logits] = passes((8, 13))
    assert fusion.fused([logits], (8, 13)) is logits


def test_one_pass_of_another_size_is_resized_alone():
    [logits] = passes((8, 13))
    assert torch.equal(fusion.fused([logits], (20, 30)), whole(logits, (20, 30)))


def test_several_passes_have_the_softmax_of_their_mean():
    each = passes((8, 13), (20, 30), (5, 9))
    found = fusion.fused(iter(each), (20, 30)).softmax(1)
    torch.testing.assert_close(found, probabilities(each, (20, 30)), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("size", [(61, 90), (8, 13), (1, 1), (5, 40), (64, 7)])
def test_bands_of_rows_equal_the_whole_interpolation(size):
    [logits] = passes((8, 13))
    bands = [
        fusion.resized_rows(logits, top, min(top + 3, size[0]), size)
        for top in range(0, size[0], 3)
    ]
    torch.testing.assert_close(torch.cat(bands, 2), whole(logits, size), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("sizes", [[(8, 13)], [(8, 13), (20, 31)]])
def test_label_maps_of_large_images_are_those_of_the_whole(monkeypatch, sizes):
    each = passes(*sizes)
    expected = probabilities(each, (61, 90)).argmax(1)
    assert torch.equal(fusion.labels(each, (61, 90)).long(), expected)
    monkeypatch.setattr(fusion, "LARGE", 100)
    monkeypatch.setattr(fusion, "BAND", 2 * 5 * 3 * 90)  # three rows at a time
    found = fusion.labels(iter(each), (61, 90))
    assert found.dtype == torch.uint8 and torch.equal(found.long(), expected)


def test_bands_of_a_pass_of_the_images_size_keep_every_bit(monkeypatch):
    [logits] = passes((40, 30))
    logits = logits.round()  # with many equals
    monkeypatch.setattr(fusion, "LARGE", 100)
    monkeypatch.setattr(fusion, "BAND", 2 * 5 * 7 * 30)
    assert torch.equal(torch.cat([fusion.resized_rows(logits, 3, 9, (40, 30))]), logits[:, :, 3:9])
    assert torch.equal(fusion.labels([logits], (40, 30)), fusion.label_map(logits))


def test_no_band_of_logits_is_larger_than_its_limit(monkeypatch):
    sizes = []
    label_map = fusion.label_map
    monkeypatch.setattr(fusion, "LARGE", 1)
    monkeypatch.setattr(fusion, "BAND", 10_000)
    monkeypatch.setattr(fusion, "label_map", lambda x: sizes.append(x.numel()) or label_map(x))
    labels = fusion.labels([torch.zeros(1, 21, 3, 4)] * 2, (400, 300))
    assert labels.shape == (1, 400, 300)
    assert max(sizes) <= 10_000 and sum(sizes) == 21 * 400 * 300
