"""The Router OSs' own start-up configuration, made from the model; pure."""
