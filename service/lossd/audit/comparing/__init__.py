"""What a comparison of two audits is made of."""
