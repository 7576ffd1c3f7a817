"""Where the virtual goes on the real: VR -> RM, VL -> path, shares of physical links."""
