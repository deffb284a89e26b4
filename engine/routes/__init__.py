"""The ways on from a checkpoint, worked out before anything is done: profile, learning rates, what becomes of each setting.

Pure: no disk, no clock, no torch. Making a child run is left to the manager, training it to the engine.
"""
