"""The trainer. Its torch-free half (profile, schedule, run, checkpoint reading, continuation) is shared with the manager."""

__version__ = "0.1.0"
