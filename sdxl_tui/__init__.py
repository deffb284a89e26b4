"""The manager: a Textual app and a command line over run directories."""
