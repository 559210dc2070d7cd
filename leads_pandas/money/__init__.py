"""What is bought: prices, caps, starts, and what became of a start. Nothing else spends."""
