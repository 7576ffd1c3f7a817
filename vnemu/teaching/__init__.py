"""Teaching labs: a topology, a page, and checks against the running network (docs/labs.md)."""
