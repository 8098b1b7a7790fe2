import numpy as np
import pytest
import torch
from conftest import write_tree

from segmodels.data import voc
from segmodels.data.loading import Augmentation, training_batches, whole_images

AUGMENTATION = Augmentation(
    crop_size=40, base_size=None, scale=(0.8, 1.2), flip=True, ignore_index=255, fill=(1, 2, 3)
)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("voc")
    return root, write_tree(root, train=11, val=7, num_classes=4)


def epoch(tree, *, number=1, seed=0, workers=0):
    root, index = tree
    ids = index.loc[index["split"] == "train", "image_id"].tolist()
    return list(
        training_batches(
            root,
            ids,
            augmentation=AUGMENTATION,
            batch_size=4,
            seed=seed,
            epoch=number,
            workers=workers,
        )
    )


def same(first, second):
    return all(
        torch.equal(a, b)
        for x, y in zip(first, second, strict=True)
        for a, b in zip(x, y, strict=True)
    )


def test_batches_are_the_same_whatever_the_number_of_workers(tree):
    alone = epoch(tree)
    assert len(alone) == 11 // 4
    assert same(alone, epoch(tree, workers=1)) and same(alone, epoch(tree, workers=3))


def test_batches_change_with_epoch_and_seed(tree):
    assert not same(epoch(tree), epoch(tree, number=2))
    assert not same(epoch(tree), epoch(tree, seed=1))
    assert same(epoch(tree, number=2), epoch(tree, number=2))


def test_global_random_state_does_not_matter(tree):
    first = epoch(tree)
    torch.manual_seed(99), np.random.seed(99)
    assert same(first, epoch(tree))


def test_whole_images_are_each_picture_once_undistorted(tree):
    root, index = tree
    val = index[index["split"] == "val"]
    seen = {}
    for ids, image, size in whole_images(root, val, size=None, batch_size=2):
        assert len(ids) <= 2
        seen |= {i: (picture, size) for i, picture in zip(ids, image, strict=True)}
    assert sorted(seen) == sorted(val["image_id"])
    for image_id, (picture, size) in seen.items():
        expected = voc.read_image(voc.image_path(root, image_id))
        np.testing.assert_array_equal(picture.permute(1, 2, 0).numpy(), expected)
        assert size == expected.shape[:2]


def test_whole_images_are_resized_by_their_long_side_and_keep_the_original_size(tree):
    root, index = tree
    val = index[index["split"] == "val"]
    for ids, image, size in whole_images(root, val, size=32, batch_size=3):
        assert max(image.shape[-2:]) == 32
        assert image.shape[-2] / image.shape[-1] == pytest.approx(size[0] / size[1])
        original = voc.read_image(voc.image_path(root, ids[0]))
        mean = image[0].float().mean((1, 2)).numpy()  # averaging keeps the mean colour
        np.testing.assert_allclose(mean, original.mean((0, 1)), atol=1.5)
