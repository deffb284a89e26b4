"""Settings of sd-scripts and our profiles, in both directions: configs, command lines and the metadata of LoRA files."""
