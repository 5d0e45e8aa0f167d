"""The common form of everything that is written as JSON: what is read back is what was written."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Document(BaseModel):
    """A document or a part of one: immutable, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class OpenDocument(BaseModel):
    """One that later versions may have written too: unknown keys are kept as they are."""

    model_config = ConfigDict(extra="allow", frozen=True)
