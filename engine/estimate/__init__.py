"""What a run will take, reckoned before it starts from files and settings alone: memory, disk and, from earlier runs, time."""
