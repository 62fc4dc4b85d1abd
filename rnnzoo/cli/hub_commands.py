"""Commands that publish zoos on the Hub and fetch them from there: push, pull, remove."""
