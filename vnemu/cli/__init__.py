"""The command line: thin, over `vnemu.experiments`, `vnemu.lab` and `vnemu.results`."""
