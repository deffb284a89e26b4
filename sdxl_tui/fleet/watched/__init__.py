"""Runs of other trainers, watched by the TensorBoard event files they write. Nothing of theirs is ever changed."""
