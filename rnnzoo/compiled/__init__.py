"""What is compiled for the CPU, for encoders and engines."""
