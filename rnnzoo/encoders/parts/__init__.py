"""What encoders are made of: layers, connections between neurons, the truth that the upper rail reads."""
