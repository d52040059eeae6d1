"""Wrappers around any ``livekit.agents.stt.STT``, native plugins included. They nest in any order."""
