"""What the user wrote, checked: files in, typed documents out."""
