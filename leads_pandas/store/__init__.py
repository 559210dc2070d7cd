"""What is known for sure: the journal of money and the results, in one SQLite file."""
