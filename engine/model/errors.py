"""What can go wrong with a base model and with the adapter that is trained beside it."""

from __future__ import annotations

from engine.errors import UserError


class ModelError(UserError):
    """The base model's folder cannot be used: something is missing, damaged, or not SDXL."""


class AdapterError(UserError):
    """LoRA weights do not fit the adapter, or a LoRA file is not one of this kind."""
