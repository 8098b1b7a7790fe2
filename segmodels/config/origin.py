"""Where the files of a data set come from, and what their names say: sections of `Dataset`."""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from segmodels.config.section import MD5, Count, Section, Side, Whole


class Download(Section):
    """A file with a known checksum at any of several addresses."""

    urls: list[str] = Field(min_length=1, description="addresses, tried in turn")
    md5: list[MD5] = Field(min_length=1, description="checksums, of which the file has one")


class Archive(Download):
    """An archive in VOC's layout, or a part of one; or one in CamVid's.

    CamVid's is that of a Git repository, which may be packed anew with another checksum: the
    manifest in `splits` says what is in it, and `md5` may be left out.
    """

    md5: list[MD5] = Field([], description="checksums, of which the file has one")
    layout: Literal["voc", "camvid"] = Field("voc", description="how the files lie in it")
    only: str | None = Field(None, description="VOC: file of the image ids that the splits keep")
    splits: str | None = Field(None, description="CamVid: folder with pixels.sha256 and lists")

    @model_validator(mode="after")
    def _verifiable(self) -> Self:
        if self.layout == "voc" and not self.md5:
            raise ValueError("md5 is missing: expected the checksum of the archive")
        if self.layout == "voc" and self.splits is not None:
            raise ValueError("`splits` is of `layout: camvid`; lists of a VOC archive are in it")
        if self.layout == "camvid" and self.splits is None:
            raise ValueError(
                "`layout: camvid` needs `splits`, the folder with pixels.sha256, which the "
                "archive's content is verified by, as data/splits/camvid"
            )
        if self.layout == "camvid" and self.only is not None:
            raise ValueError("`only` is of `layout: voc`; for CamVid add a list to `splits`")
        return self


class Generate(Section):
    """Size of the generated data set."""

    train: Count = Field(description="number of training images")
    val: Count = Field(description="number of validation images")
    short_side: Side = Field(description="pixels")
    long_side: Side = Field(description="pixels")


class Source(Section):
    """A labelled data set in data/own, in a form of `segmodels import`; a text stands for `path`.

    The keys are the options of that command.
    """

    path: str | None = Field(None, description="in data/own; null: data/own/<name>")
    format: str = Field("auto", description="auto: what is recognised")
    map: dict[str, str] = Field({}, description="a name, value or colour -> a class, or void")
    table: str | None = Field(None, description="file in data/own with the values or colours")
    images: str | None = Field(None, description="folder of the images, in path")
    masks: str | None = Field(None, description="folder of the masks, in path")
    mask_suffix: str | None = Field(None, description="what masks are called more than images")
    crowd: Literal["void", "class"] = Field("void", description="what COCO's crowd regions become")
    val: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None, description="share of images that validate"
    )
    val_list: str | None = Field(None, description="file in data/own with ids that validate")
    group: str | None = Field(None, description="expression; what it finds equal stays together")
    seed: Whole = Field(0, description="of the split")
    skip: bool = Field(False, description="leave out images that have a problem")

    @model_validator(mode="before")
    @classmethod
    def _path_alone(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"path": value}
        if isinstance(value, dict) and isinstance(value.get("map"), dict):
            keys = {str(key) if type(key) is int else key: of for key, of in value["map"].items()}
            return value | {"map": keys}
        return value


class Sequence(Section):
    """How image ids name the frames of videos, for intervals over stretches of video."""

    pattern: str = Field(description="of a whole image id; two groups: video, number of the frame")
    length: Count = Field(description="of a stretch, in numbers of frames")

    @model_validator(mode="after")
    def _two_groups(self) -> Self:
        try:
            groups = re.compile(self.pattern).groups
        except re.error as error:
            raise ValueError(
                f"pattern = {self.pattern!r}: no regular expression: {error}"
            ) from None
        if groups != 2:
            raise ValueError(
                f"pattern = {self.pattern!r} has {groups} groups: expected two, the video and the "
                "number of the frame, as in (.+_f?)([0-9]+)"
            )
        return self
