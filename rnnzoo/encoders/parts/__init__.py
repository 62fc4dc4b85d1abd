"""What encoders are made of: layers, connections between neurons, the labels that the upper rail reads."""
