"""Where the files of a data set come from: sections of `Dataset`, see schema.py."""

from typing import Literal, Self

from pydantic import Field, model_validator

from segmodels.config.section import MD5, Count, Section, Side


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
