"""What people see while a command runs."""
