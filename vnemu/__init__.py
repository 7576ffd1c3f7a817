"""vnemu: virtual networks on a shared underlay, emulated on one machine."""

__version__ = "0.1.0"
