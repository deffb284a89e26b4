"""The queue of this machine: which runs wait, what for, and who starts them. One file and a lock; no daemon.

Whoever ends starts the next: a run's keeper, when its engine is gone, becomes ``sdxl-tui queue go-on``. So does every
command that changes the queue, and the app while it is open.
"""
