"""Where a column comes from: lead IDs out of a frame, the five columns back in, and Parquet."""
