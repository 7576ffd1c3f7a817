"""What the files mean: frozen values with all defaults, names and addresses settled."""
