"""Reading what other trainers wrote: training states and LoRA files. Torch-free, and never by running what is in a file."""
