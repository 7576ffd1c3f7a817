"""What a link does to frames beside limiting their rate: delay, jitter, loss."""

from __future__ import annotations

from dataclasses import dataclass

from vnemu.units import Duration, Share


@dataclass(frozen=True)
class Impairment:
    """Delay, jitter and loss of a link, in each direction.

    Parameters:
        delay: one-way delay.
        jitter: each frame's delay lies between `delay` less and plus this, all values
            being equally likely; frames stay in their order.
        loss: the part of the frames that is lost, at random.
    """

    delay: Duration = Duration(0)
    jitter: Duration = Duration(0)
    loss: Share = Share(0)

    def __bool__(self) -> bool:
        return bool(self.delay.amount or self.jitter.amount or self.loss.amount)

    @property
    def is_lossy(self) -> bool:
        """Whether some frames are lost, so that each must be seen by itself."""
        return bool(self.loss.amount)

    @property
    def longest(self) -> Duration:
        """The longest delay that a frame meets."""
        return Duration(self.delay.amount + self.jitter.amount)

    def __str__(self) -> str:
        named = {"delay": self.delay, "jitter": self.jitter, "loss": self.loss}
        return ", ".join(f"{name} {value}" for name, value in named.items() if value.amount)
