"""What all sections of the profile have in common."""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel, ConfigDict

from engine.profile.setting import AtResume

APPLIED: Final = AtResume.APPLIED
RESTORED: Final = AtResume.RESTORED
FIXED: Final = AtResume.FIXED


class Section(BaseModel):
    """A table of the profile. Unknown keys are errors; numbers are not made from text or booleans."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
