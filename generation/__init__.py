"""The producers: everything that trains networks and writes zoos. Installed as `rnnzoo.generation`."""
