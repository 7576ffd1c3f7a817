"""The kernel side: what tells Linux what to do, and observes what it did."""
