"""Independent jobs on worker processes of this machine or of a cluster."""
