"""What every adapter does on the wire: HTTP exchanges, sessions, failures, and checks of what is configured."""
