"""What a client does to its delta before it leaves."""
