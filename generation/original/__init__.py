"""The original authors' release: read, checked, imported and exported."""
