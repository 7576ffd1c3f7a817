"""The interactive shell of a running lab: a client of its protocol (docs/shell.md)."""
