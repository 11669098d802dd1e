"""What is done to deltas on their way into the average, to protect who sent them."""
