"""The training profile: every section and field with its type, range, default, help and effect at resume.

This is the single source for all of them, one module per section. Values here are what a profile may say, not what a run
makes of it: paths are kept as written and resolved by ``load.py``.
"""

from engine.profile.optimizer_kinds import OptimizerKind
from engine.profile.schema.captions import Captions
from engine.profile.schema.checkpoints import Checkpoints
from engine.profile.schema.dataset import Dataset
from engine.profile.schema.ema import Ema
from engine.profile.schema.launch import Launch
from engine.profile.schema.logging import Logging
from engine.profile.schema.loss import Loss
from engine.profile.schema.model import Model
from engine.profile.schema.network import GROUP_OF, Network, NetworkKind, Part
from engine.profile.schema.optimizer import Optimizer
from engine.profile.schema.precision import Precision
from engine.profile.schema.profile import SCHEMA_VERSION, Profile, plain
from engine.profile.schema.samples import Samples
from engine.profile.schema.schedule import Schedule
from engine.profile.schema.section import Section
from engine.profile.schema.source import Source
from engine.profile.schema.stage import Stage
from engine.profile.schema.training import Training
from engine.profile.schema.validation import Validation

__all__ = [
    "GROUP_OF",
    "SCHEMA_VERSION",
    "Captions",
    "Checkpoints",
    "Dataset",
    "Ema",
    "Launch",
    "Logging",
    "Loss",
    "Model",
    "Network",
    "NetworkKind",
    "Optimizer",
    "OptimizerKind",
    "Part",
    "Precision",
    "Profile",
    "Samples",
    "Schedule",
    "Section",
    "Source",
    "Stage",
    "Training",
    "Validation",
    "plain",
]
