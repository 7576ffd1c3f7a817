"""The kernel objects that a topology needs, and the actions from one plan to the next."""
