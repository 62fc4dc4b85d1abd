"""Pre-training an encoder by imitating the networks (paper section 3)."""
