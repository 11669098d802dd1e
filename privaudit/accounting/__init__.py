"""What a mechanism promises: ε and δ of Gaussian noise, and what no attack on it can exceed."""
