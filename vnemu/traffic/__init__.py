"""What runs in the hosts during an experiment: flows, probes, and how they are counted."""
