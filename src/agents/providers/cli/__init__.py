"""The `voxport` command line."""
