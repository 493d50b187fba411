"""What is measured of networks, and what theory says the measurement should be."""
