"""How people and machines watch the running daemon and tell it things."""
