"""Speech to text: LiveKit's base classes over the protocols. The only room that owns sockets."""
