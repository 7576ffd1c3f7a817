"""Where everything of a lab runs, and with which everything of it ends."""

from vnemu.capsule.native import enter, inside, kind

__all__ = ["enter", "inside", "kind"]
