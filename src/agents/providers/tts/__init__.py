"""Text to speech: LiveKit's ``tts.TTS`` over the vendors' wire formats."""
