import os
import shutil
import signal

import numpy as np
import pytest
import torch
from conftest import write_tree

from segmodels.data import images, layout
from segmodels.data.augment import RandomCrop
from segmodels.data.loading import (
    Loader,
    epoch_batches,
    training_batches,
    whole_images,
)

RANDOM_CROP = RandomCrop(
    size=40, base_size=None, scale=(0.8, 1.2), flip=True, ignore_index=255, fill=(1, 2, 3)
)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("voc")
    return root, write_tree(root, train=11, val=7, num_classes=4)


def epoch(tree, *, number=1, seed=0, workers=0, start=0, decoded=None, root=None):
    index = tree[1]
    ids = index.loc[index["split"] == "train", "image_id"].tolist()
    return list(
        training_batches(
            root or tree[0],
            ids,
            epoch_batches(len(ids), batch_size=4, seed=seed, epoch=number)[start:],
            crop=RANDOM_CROP,
            seed=seed,
            epoch=number,
            workers=workers,
            decoded=decoded,
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


def test_an_epoch_goes_on_where_it_stopped(tree):
    assert same(epoch(tree)[1:], epoch(tree, start=1))


def test_epoch_batches_are_full_and_take_no_picture_twice():
    batches = epoch_batches(11, batch_size=4, seed=3, epoch=2)
    assert [len(batch) for batch in batches] == [4, 4]
    order = np.random.default_rng([3, 2]).permutation(11)
    assert sum(batches, []) == order[:8].tolist()
    assert epoch_batches(3, batch_size=4, seed=3, epoch=2) == []
    assert len(epoch_batches(8, batch_size=4, seed=3, epoch=2)) == 2


def test_global_random_state_neither_matters_nor_changes(tree):
    first = epoch(tree)
    torch.manual_seed(99), np.random.seed(99)
    before = torch.get_rng_state()
    assert same(first, epoch(tree))
    assert torch.equal(before, torch.get_rng_state())


def test_decoded_pictures_change_no_bit_and_are_used(tree, tmp_path):
    root = tmp_path / "voc"
    shutil.copytree(tree[0], root)
    plain = epoch(tree)
    assert same(plain, epoch(tree, root=root, decoded=tmp_path / "decoded", workers=2))
    shutil.rmtree(root / "JPEGImages"), shutil.rmtree(root / "SegmentationClass")
    assert same(plain, epoch(tree, root=root, decoded=tmp_path / "decoded"))
    assert not list((tmp_path / "decoded").rglob(".*"))  # temporary files


@pytest.mark.parametrize("damage", [b"", b"not numpy", "cut"])
def test_damaged_decoded_picture_is_made_again(tree, tmp_path, damage):
    plain = epoch(tree, decoded=tmp_path)
    for path in (files := sorted(tmp_path.rglob("*.npy"))):
        path.write_bytes(path.read_bytes()[:-1] if damage == "cut" else damage)
    assert same(plain, epoch(tree, decoded=tmp_path))
    for path in files:
        read, folder = (
            (images.read_image, layout.image_path)
            if path.parent.name == "JPEGImages"
            else (images.read_target, layout.target_path)
        )
        np.testing.assert_array_equal(np.load(path), read(folder(tree[0], path.stem)))


def cut_off(path):
    path.write_bytes(path.read_bytes()[:-200])


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("spoil", [cut_off, lambda path: path.write_bytes(b""), os.remove])
@pytest.mark.parametrize("of", [layout.image_path, layout.target_path])
def test_unreadable_picture_is_one_line_that_names_it(tree, tmp_path, workers, spoil, of):
    shutil.copytree(tree[0], tmp_path / "voc")
    spoil(path := of(tmp_path / "voc", "train_005"))
    with pytest.raises((OSError, ValueError)) as raised:
        for number in (1, 2, 3):  # an epoch leaves three of the eleven out
            epoch(tree, root=tmp_path / "voc", workers=workers, number=number)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value) and "Traceback" not in str(raised.value)


class Killed:
    """A data set whose worker is killed, as the kernel does when memory is short."""

    def __len__(self):
        return 4

    def __getitem__(self, k):
        os.kill(os.getpid(), signal.SIGKILL)


def test_killed_worker_is_one_line_with_advice():
    handler = signal.getsignal(signal.SIGCHLD)
    with pytest.raises(OSError, match="exited unexpectedly.*memory.*SEGMODELS_WORKERS") as raised:
        list(Loader(Killed(), batch_size=None, num_workers=1))
    assert "\n" not in str(raised.value)
    assert signal.getsignal(signal.SIGCHLD) == handler


def test_whole_images_are_each_picture_once_undistorted(tree):
    root, index = tree
    val = index[index["split"] == "val"]
    seen = {}
    for ids, image, _, size in whole_images(root, val, size=None, batch_size=2):
        assert len(ids) <= 2
        seen |= {i: (picture, size) for i, picture in zip(ids, image, strict=True)}
    assert sorted(seen) == sorted(val["image_id"])
    for image_id, (picture, size) in seen.items():
        expected = images.read_image(layout.image_path(root, image_id))
        np.testing.assert_array_equal(picture.permute(1, 2, 0).numpy(), expected)
        assert size == expected.shape[:2]


def test_whole_images_are_resized_by_their_long_side_and_keep_the_original_size(tree):
    root, index = tree
    val = index[index["split"] == "val"]
    for ids, image, _, size in whole_images(root, val, size=44, batch_size=3):
        assert max(image.shape[-2:]) == 44
        assert image.shape[-2] / image.shape[-1] == pytest.approx(size[0] / size[1])
        original = images.read_image(layout.image_path(root, ids[0]))
        mean = image[0].float().mean((1, 2)).numpy()  # averaging keeps the mean colour
        np.testing.assert_allclose(mean, original.mean((0, 1)), atol=1.5)


@pytest.mark.parametrize("workers", [0, 2])
def test_whole_images_bring_targets_of_the_original_size(tree, workers):
    root, index = tree
    seen = []
    for ids, _, target, size in whole_images(
        root, index, size=32, batch_size=3, targets=True, workers=workers
    ):
        for image_id, labels in zip(ids, target, strict=True):
            expected = images.read_target(layout.target_path(root, image_id))
            np.testing.assert_array_equal(labels.numpy(), expected)
            assert labels.shape == size
        seen += ids
    assert sorted(seen) == sorted(index["image_id"])


@pytest.mark.parametrize("count", [2, 3, 40])
def test_shares_are_the_batches_of_one_process(tree, count):
    root, index = tree
    whole = [ids for ids, *_ in whole_images(root, index, size=None, batch_size=2)]
    shares = [
        [ids for ids, *_ in whole_images(root, index, size=None, batch_size=2, share=(k, count))]
        for k in range(count)
    ]
    assert [shares[k % count][k // count] for k in range(len(whole))] == whole
    assert sum(map(len, shares)) == len(whole)
