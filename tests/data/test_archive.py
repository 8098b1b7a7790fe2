"""Unpacking: hostile and broken tar files, the choice of members, and a real archive."""

import gzip
import io
import subprocess
import tarfile
from pathlib import Path

import pytest

from segmodels.data import layout
from segmodels.data.sources import archive, download, own

TOP = "VOCdevkit/VOC2012"
LISTED = {
    f"{TOP}/ImageSets/Segmentation/train.txt": b"b\na\n",
    f"{TOP}/ImageSets/Segmentation/val.txt": b"c\n",
    **{f"{TOP}/JPEGImages/{i}.jpg": b"jpg " + i.encode() for i in "abc"},
    **{f"{TOP}/SegmentationClass/{i}.png": b"png " + i.encode() for i in "abc"},
}
OPTIONAL = {
    f"{TOP}/SegmentationObject/a.png": b"object",
    f"{TOP}/Annotations/a.xml": b"<annotation/>",
}
UNNEEDED = {
    f"{TOP}/JPEGImages/unlisted.jpg": b"",
    f"{TOP}/JPEGImages/a.png": b"",
    f"{TOP}/JPEGImages/a.jpg.jpg": b"",
    f"{TOP}/ImageSets/Main/train.txt": b"z\n",
    f"{TOP}/ImageSets/Segmentation/a.jpg": b"",
    "VOCdevkit/VOC2007/JPEGImages/a.jpg": b"",
    "a.jpg": b"",
}


def write_tar(path, members, mode="w"):
    """members: (name, content) pairs, or a TarInfo in place of the pair."""
    with tarfile.open(path, mode) as tar:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
                continue
            info = tarfile.TarInfo(member[0])
            info.size = len(member[1])
            tar.addfile(info, io.BytesIO(member[1]))
    return path


def special(name, kind, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def files(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def expected(members):
    return {name.removeprefix(f"{TOP}/"): content for name, content in members.items()}


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(("suffix", "mode"), [("tar", "w"), ("tgz", "w:gz")])
def test_only_what_segmentation_needs_is_unpacked(tmp_path, reverse, suffix, mode):
    members = list({**LISTED, **OPTIONAL, **UNNEEDED}.items())
    path = write_tar(tmp_path / f"voc.{suffix}", members[::-1] if reverse else members, mode)
    archive.unpack(path, tmp_path / "root")
    assert files(tmp_path / "root") == expected({**LISTED, **OPTIONAL})


def test_members_with_a_leading_dot_are_found(tmp_path):
    path = write_tar(tmp_path / "voc.tar", [(f"./{name}", c) for name, c in LISTED.items()])
    archive.unpack(path, tmp_path / "root")
    assert files(tmp_path / "root") == expected(LISTED)


@pytest.mark.parametrize(
    "name",
    [
        f"{TOP}/JPEGImages/../../../../escaped.jpg",
        "/escaped.jpg",
        f"/{TOP}/JPEGImages/a.jpg",
        f"../{TOP}/JPEGImages/escaped.jpg",
        f"{TOP}/JPEGImages/..jpg",
        f"{TOP}/JPEGImages/a.jpg\n",
    ],
)
def test_member_that_would_leave_the_folder_is_left_out(tmp_path, name):
    path = write_tar(tmp_path / "voc.tar", [(name, b"evil"), *LISTED.items()])
    archive.unpack(path, tmp_path / "in" / "root")
    assert files(tmp_path) == {
        "voc.tar": path.read_bytes(),
        **{f"in/root/{name}": content for name, content in expected(LISTED).items()},
    }


def test_split_list_that_names_a_path_is_refused(tmp_path):
    members = {**LISTED, f"{TOP}/ImageSets/Segmentation/val.txt": b"../../escaped\n"}
    path = write_tar(tmp_path / "voc.tar", members.items())
    with pytest.raises(ValueError, match=r"lacks 2 of 6 files .*JPEGImages/../../escaped.jpg"):
        archive.unpack(path, tmp_path / "root")


@pytest.mark.parametrize(
    ("kind", "target"),
    [
        (tarfile.SYMTYPE, "/etc/passwd"),
        (tarfile.LNKTYPE, f"{TOP}/JPEGImages/b.jpg"),
        (tarfile.CHRTYPE, ""),
        (tarfile.BLKTYPE, ""),
        (tarfile.FIFOTYPE, ""),
        (tarfile.DIRTYPE, ""),
    ],
)
def test_member_that_is_no_regular_file_is_refused(tmp_path, kind, target):
    name = f"{TOP}/JPEGImages/a.jpg"
    members = [item for item in LISTED.items() if item[0] != name]
    path = write_tar(tmp_path / "voc.tar", [*members, special(name, kind, target)])
    with pytest.raises(ValueError, match=f"^{path}: {name} is no regular file$"):
        archive.unpack(path, tmp_path / "root")


def test_link_for_a_folder_does_not_redirect_what_follows(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    link = special(f"{TOP}/JPEGImages", tarfile.SYMTYPE, str(tmp_path / "elsewhere"))
    archive.unpack(write_tar(tmp_path / "voc.tar", [link, *LISTED.items()]), tmp_path / "root")
    assert files(tmp_path / "root") == expected(LISTED)
    assert not files(tmp_path / "elsewhere")


@pytest.mark.parametrize("prefix", ["", "./"])
def test_member_that_occurs_twice_is_refused(tmp_path, prefix):
    again = (f"{prefix}{TOP}/SegmentationClass/a.png", b"other")
    path = write_tar(tmp_path / "voc.tar", [*LISTED.items(), again])
    with pytest.raises(ValueError, match=r"SegmentationClass/a.png occurs twice"):
        archive.unpack(path, tmp_path / "root")


def test_member_too_large_is_refused_unread(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "LARGEST_MEMBER", 100)
    large = (f"{TOP}/Annotations/a.xml", bytes(101))
    path = write_tar(tmp_path / "voc.tar", [*LISTED.items(), large])
    with pytest.raises(ValueError, match=r"a.xml has 101 bytes, expected at most 100"):
        archive.unpack(path, tmp_path / "root")


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_truncated_archive_is_one_line_wherever_it_ends(tmp_path, compress):
    whole = write_tar(tmp_path / "voc.tar", [(n, c * 400) for n, c in LISTED.items()]).read_bytes()
    end = whole.rindex(b"png c") + 5  # all content ends here, zeros follow
    content = compress(whole)
    cuts = range(0, end if compress is bytes else len(content), 97)
    for cut in cuts:
        path = tmp_path / "cut.tar"
        path.write_bytes(content[:cut])
        error = pytest.raises(ValueError, archive.unpack, path, tmp_path / "root").value
        assert str(error).startswith(f"{path}: ") and "\n" not in str(error)


def test_archive_without_split_lists_is_refused(tmp_path):
    path = write_tar(tmp_path / "other.tar", [("readme.txt", b"")])
    with pytest.raises(ValueError, match=r"no VOCdevkit/VOC2012/ImageSets/Segmentation/\*.txt"):
        archive.unpack(path, tmp_path / "root")


def test_picture_without_mask_is_named(tmp_path):
    members = [item for item in LISTED.items() if "SegmentationClass/c" not in item[0]]
    path = write_tar(tmp_path / "voc.tar", members)
    with pytest.raises(ValueError, match=r"lacks 1 of 6 files .* SegmentationClass/c.png first"):
        archive.unpack(path, tmp_path / "root")


def test_only_restricts_lists_and_pictures_in_their_order(tmp_path):
    members = {**LISTED, f"{TOP}/ImageSets/Segmentation/train.txt": b"d\nb\na\n"}  # d: no picture
    path = write_tar(tmp_path / "voc.tar", members.items())
    (tmp_path / "only.txt").write_text("a\nb\n")
    archive.unpack(path, tmp_path / "root", tmp_path / "only.txt")
    assert files(tmp_path / "root") == {
        "ImageSets/Segmentation/train.txt": b"b\na\n",
        "ImageSets/Segmentation/val.txt": b"",
        **{k: v for k, v in expected(LISTED).items() if k[-5] in "ab"},
    }


@pytest.mark.parametrize(
    ("ids", "reason"),
    [("a\nx\ny\n", "2 of 3 ids, x first, are in no list of"), ("\n", "names no image")],
)
def test_only_that_the_archive_cannot_satisfy_is_refused(tmp_path, ids, reason):
    path = write_tar(tmp_path / "voc.tar", LISTED.items())
    (tmp_path / "only.txt").write_text(ids)
    with pytest.raises(ValueError, match=f"only.txt: {reason}"):
        archive.unpack(path, tmp_path / "root", tmp_path / "only.txt")


def test_real_archive_equals_what_tar_unpacks(voc_archive, tmp_path):
    only = Path(__file__).parents[2] / "data" / "splits" / "voc_sample.txt"
    archive.unpack(voc_archive, tmp_path / "root", only)
    ids = {
        split: layout.read_ids(layout.split_path(tmp_path / "root", split))
        for split in ("train", "val")
    }
    assert (len(ids["train"]), len(ids["val"])) == (440, 200)
    assert sorted(ids["train"] + ids["val"]) == sorted(layout.read_ids(only))
    wanted = [f"{TOP}/{name}" for name in files(tmp_path / "root") if "ImageSets" not in name]
    (tmp_path / "wanted").write_text("\n".join(wanted))
    subprocess.run(
        ["tar", "-xf", voc_archive, "-C", tmp_path, "-T", tmp_path / "wanted"], check=True
    )
    pictures = {k: v for k, v in files(tmp_path / "root").items() if "ImageSets" not in k}
    assert pictures == files(tmp_path / TOP)


def test_archive_at_hand_is_verified_with_both_checksums(tmp_path):
    path = tmp_path / "archive.tar"
    wrong, right = "0" * 32, "5d41402abc4b2a76b9719d911017c592"  # md5sum of "hello"
    with pytest.raises(ValueError, match="archive.tar: no such file"):
        download.verify(path, [right])
    path.write_bytes(b"hello")
    assert download.verify(path, [wrong, right]) == path
    with pytest.raises(ValueError, match=f"^{path}: md5 is {right}, expected {wrong}$"):
        download.verify(path, [wrong])


def test_own_data_set_is_copied_writable_without_hidden_files(tmp_path):
    source = tmp_path / "own" / "my data" / "日本"
    for name, content in expected({**LISTED, **OPTIONAL}).items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(content)
        (source / name).chmod(0o444)  # as DVC's links are
    (source / "JPEGImages" / ".thumbnails").write_bytes(b"")
    (source / "notes.txt").write_text("not part of the layout")
    own.copy(source, tmp_path / "root")
    assert files(tmp_path / "root") == expected({**LISTED, **OPTIONAL})
    assert (tmp_path / "root" / "JPEGImages" / "a.jpg").stat().st_mode & 0o200


def test_own_data_set_with_a_missing_part_says_what_is_expected(tmp_path):
    (tmp_path / "mine" / "JPEGImages").mkdir(parents=True)
    expected = "missing: ImageSets/Segmentation, SegmentationClass. .* dvc add '.*mine'$"
    with pytest.raises(ValueError, match=expected):
        own.copy(tmp_path / "mine", tmp_path / "root")
