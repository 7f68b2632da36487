"""Rules for torch's functions, by kind. Importing this room fills the rule table."""

from hodsim.derivatives.operations import (  # noqa: F401  (imported for what they register)
    arithmetic,
    layers,
    losses,
    normalisation,
    pooling,
    shapes,
)
from hodsim.derivatives.operations.pointwise import register_activation

__all__ = ["register_activation"]
