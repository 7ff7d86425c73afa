"""What robust losses of a difference share."""

from typing import Annotated

from pydantic import Field

Scale = Annotated[
    float,
    Field(ge=1e-6, le=1e6, description="Size of an ordinary difference, in units of the target."),
]
