"""What can be done to a running lab, as data: the same verbs for Lab, timeline and shell."""
