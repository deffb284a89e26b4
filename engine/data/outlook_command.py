"""``python -m engine dataset``: the outlook on a profile's data set with the lengths of its captions.

Only counting tokens loads a library of the training's, and only the tokenizers of the base.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

from engine.data.outlook import DataOutlook, outlook_of, scan_of
from engine.data.views import PlacedImage
from engine.demo import locate
from engine.errors import UserError
from engine.profile.load import load_profile
from engine.profile.schema import Profile


def print_dataset(arguments: argparse.Namespace) -> int:
    """Print the report on the data set of the profile in ``arguments.profile`` as one line of JSON."""
    profile = load_profile(arguments.profile, arguments.overrides).profile
    print(json.dumps(outlook(profile, count_tokens=arguments.tokens).to_json()))
    return 0


def outlook(profile: Profile, *, count_tokens: bool = True) -> DataOutlook:
    """The images looked at and reported on. Raises ``DatasetError`` where the training would.

    A base that cannot be opened leaves the lengths of captions open and is remarked on.
    """
    return outlook_of(profile, scan_of(profile), _lengths if count_tokens else None)


def _lengths(profile: Profile, items: Sequence[PlacedImage]) -> list[int]:
    """Tokens of every caption without chance. Raises a ``UserError`` if the base gives no tokenizer."""
    if not locate(profile.model.base).exists():  # a base on the hub is not fetched for this
        raise UserError("the base is not on this machine", where=profile.model.base)
    from engine.model.conditioning import TextRules, tokenize  # noqa: PLC0415 - torch, for tokens alone
    from engine.model.open_base import open_base  # noqa: PLC0415

    tokenizer, _ = open_base(profile.model.base).tokenizers()
    rules = TextRules(profile.captions.max_tokens, profile.captions.weights)
    lengths: dict[str, int] = {}
    for item in items:
        caption = item.plain_caption
        if caption not in lengths:
            lengths[caption] = len(tokenize(tokenizer, caption, rules).ids)
    return [lengths[item.plain_caption] for item in items]
