"""What looks around now and then, and tells from memory what it saw."""
