"""Experiments: a timeline and traffic on a lab, recorded in one run folder."""
