"""Running labs: other processes find them by name, look at them and change them (docs/cli.md)."""
