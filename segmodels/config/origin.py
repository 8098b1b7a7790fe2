"""Where the files of a data set come from: sections of `Dataset`, see schema.py."""

from pydantic import Field

from segmodels.config.section import MD5, Count, Section, Side


class Download(Section):
    """A file with a known checksum at any of several addresses."""

    urls: list[str] = Field(min_length=1, description="addresses, tried in turn")
    md5: list[MD5] = Field(min_length=1, description="checksums, of which the file has one")


class Archive(Download):
    """A VOC archive, or a part of one."""

    only: str | None = Field(None, description="file of the image ids that the splits keep")


class Generate(Section):
    """Size of the generated data set."""

    train: Count = Field(description="number of training images")
    val: Count = Field(description="number of validation images")
    short_side: Side = Field(description="pixels")
    long_side: Side = Field(description="pixels")
