"""What the vendor says: requests, answers and one method per endpoint."""
