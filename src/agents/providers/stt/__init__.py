"""Speech to text: LiveKit's base classes over the protocols."""
