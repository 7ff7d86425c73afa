"""What gates are made of: how they are read, where they point, how a value is judged."""
