"""Language models: LiveKit's base class over the protocols of :mod:`..protocol.chat`."""
