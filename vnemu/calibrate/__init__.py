"""Calibration: what labs on this machine deliver, beside what they were asked for."""
