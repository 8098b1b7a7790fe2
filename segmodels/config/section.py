"""What a section of params.yaml is made of: strict keys, and the values that several have."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator

Positive = Annotated[float, Field(gt=0)]
Factor = Annotated[float, Field(gt=0, le=10)]  # of an image's size
NotNegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(gt=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Whole = Annotated[int, Field(ge=0)]
Side = Annotated[int, Field(ge=32)]  # of an image, pixels
Label = Annotated[int, Field(ge=0, le=255)]
Value = Annotated[int, Field(ge=0, le=65535)]  # in a mask
MD5 = Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
RGB = tuple[Label, Label, Label]
Triple = tuple[float, float, float]


def _thread_count(value: int | str) -> int | str:
    if value != "auto" and (isinstance(value, str) or value < 1):
        raise ValueError("expected auto or a number from 1")
    return value


Threads = Annotated[
    int | str,
    AfterValidator(_thread_count),
    Field(description="auto: one for each core; another number gives other bits"),
]
Precision = Annotated[
    Literal["auto", "fp32", "bf16", "fp16"],
    Field(description="auto: bf16 where the processor computes with it, else fp16 (GPU), fp32"),
]


class Section(BaseModel):
    """Keys of params.yaml; another key than these, or true for a number, is refused."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, validate_default=True
    )

    @field_validator("*", mode="before")
    @classmethod
    def _plain(cls, value: Any, field: ValidationInfo) -> Any:
        """Refuse true for a number, which pydantic takes for 1, and texts that no file has."""
        wants = cls.model_fields[str(field.field_name)].annotation
        for member in value if isinstance(value, list) else [value]:
            if isinstance(member, bool) and wants is not bool:
                raise ValueError("expected no true or false")
            if isinstance(member, str) and "\0" in member:
                raise ValueError("expected no null character")
        return value
