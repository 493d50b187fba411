"""The package's store beside two in an SQLite database: speed, room, and what is promised."""
