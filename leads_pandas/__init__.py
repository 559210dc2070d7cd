"""One line of pandas that buys each lead's email once: importing this registers ``df.leads``."""
