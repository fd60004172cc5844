"""What every part of the configuration is made of."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


def _path_unless_remote(value: Any) -> Any:
    return Path(value) if isinstance(value, str) and "://" not in value else value


Location = Annotated[Path | str, BeforeValidator(_path_unless_remote)]
"""A file here, or an address: `hf://datasets/OWNER/NAME@REVISION/FILE` or `https://…#sha256=…`."""

Share = Annotated[float, Field(gt=0, lt=1)]


class Section(BaseModel):
    """Part of a configuration: strict about names, frozen once read, documented by the strings under its fields."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
