"""What a website says: pages fetched with care, and the addresses that stand on them."""
