"""What audio is: from a ``Content-Type``, or the first bytes, to a :class:`~.synthesis.SynthesisForm`."""

from __future__ import annotations

from dataclasses import replace

from .synthesis import SynthesisForm

__all__ = ["BARE", "file_type", "form_of", "has_sound_parameters", "is_audio", "is_page"]

_SAME = {
    "audio/raw": "audio/pcm",
    "audio/x-raw": "audio/pcm",
    "audio/x-pcm": "audio/pcm",
    "audio/l16": "audio/pcm",  # RFC 2586 means big-endian; speech services send it little-endian (jambonz, Azure)
    "audio/x-l16": "audio/pcm",
    "audio/mulaw": "audio/basic",
    "audio/x-mulaw": "audio/basic",
    "audio/ulaw": "audio/basic",
    "audio/pcmu": "audio/basic",
    "audio/wave": "audio/wav",
    "audio/x-wav": "audio/wav",
    "audio/vnd.wave": "audio/wav",
    "audio/mp3": "audio/mpeg",
    "audio/x-mpeg": "audio/mpeg",
    "audio/x-mp3": "audio/mpeg",
    "audio/opus": "audio/ogg",
    "application/ogg": "audio/ogg",
    "audio/x-flac": "audio/flac",
    "audio/x-aac": "audio/aac",
    "audio/aacp": "audio/aac",
    "audio/x-m4a": "audio/mp4",
}
_KNOWN = frozenset(
    {
        "audio/pcm",
        "audio/basic",
        "audio/wav",
        "audio/mpeg",
        "audio/ogg",
        "audio/flac",
        "audio/aac",
        "audio/mp4",
        "audio/webm",
    }
)
BARE = frozenset({"audio/pcm", "audio/basic"})
"""Samples without a header: signed 16-bit little-endian PCM, and ITU-T G.711 µ-law."""

_SAYS_NOTHING = frozenset({"", "application/octet-stream", "binary/octet-stream", "audio/*", "audio"})
_RANGES = {"rate": (1000, 384000), "channels": (1, 8)}
_MULAW_RATE = 8000  # of audio/basic, RFC 2046 section 4.3


def form_of(content_type: str, declared: SynthesisForm) -> SynthesisForm:
    """What audio of this *content_type* is.

    Args:
        content_type: the header, with its parameters; ``rate`` and ``channels`` count.
        declared: what it is where the header says nothing, and the rate and channels where it says too little.

    Raises:
        ValueError: it is no audio, or audio nobody here can read; the message says what it is instead.
    """
    kind, _, rest = content_type.partition(";")
    kind = kind.strip().lower()
    if kind in _SAYS_NOTHING:
        return declared
    name = _SAME.get(kind, kind)
    if name not in _KNOWN:
        raise ValueError(f"expected audio, got {_described(kind)}")
    given = _parameters(rest)
    rate, channels = declared.sample_rate, declared.channels
    if name == "audio/basic" and declared.mime_type != name:
        rate, channels = _MULAW_RATE, 1
    rate = _in_range(given.get("rate", ""), *_RANGES["rate"]) or rate
    channels = _in_range(given.get("channels", ""), *_RANGES["channels"]) or channels
    return replace(declared, mime_type=name, sample_rate=rate, channels=channels)


_SIGNATURES = ((b"OggS\0", "audio/ogg"), (b"fLaC\0", "audio/flac"), (b"\x1a\x45\xdf\xa3", "audio/webm"))

# Layer III, ISO/IEC 11172-3 section 2.4.2.3 and 13818-3: kbit/s by index, Hz by version and index
_MPEG1_KBITS = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_MPEG2_KBITS = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_MPEG_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}


def file_type(beginning: bytes) -> str | None:
    """The media type of the file that begins so; ``None`` for what may be bare samples.

    MP3 and AAC without a tag are known by their second frame, if that is in *beginning*.
    """
    if beginning[:4] == b"RIFF" and beginning[8:12] == b"WAVE":
        return "audio/wav"
    if beginning[:3] == b"ID3" and beginning[3:4] in (b"\2", b"\3", b"\4"):
        return "audio/mpeg"
    for signature, name in _SIGNATURES:
        if beginning.startswith(signature):
            return name
    if len(beginning) < 8 or beginning[0] != 0xFF:
        return None
    layer3, adts = beginning[1] & 0xE6 == 0xE2, beginning[1] & 0xF6 == 0xF0
    size = _mp3_frame(beginning) if layer3 else _adts_frame(beginning) if adts else 0
    if size < 8 or beginning[size : size + 2] != beginning[:2]:
        return None
    return "audio/mpeg" if layer3 else "audio/aac"


def _mp3_frame(head: bytes) -> int:
    """Bytes of the frame that begins with *head*; 0 where it cannot be one."""
    version, bits, rate = head[1] >> 3 & 3, head[2] >> 4, head[2] >> 2 & 3
    if version not in _MPEG_RATES or bits in (0, 15) or rate == 3:
        return 0
    kbits, half = (_MPEG1_KBITS, 1) if version == 3 else (_MPEG2_KBITS, 2)
    return 144_000 // half * kbits[bits] // _MPEG_RATES[version][rate] + (head[2] >> 1 & 1)


def _adts_frame(head: bytes) -> int:
    """Bytes of the frame that begins with *head* (ISO/IEC 13818-7 section 6.2)."""
    return (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5


def is_audio(media_type: str) -> bool:
    """Whether *media_type* names audio that can be read."""
    kind = media_type.partition(";")[0].strip().lower()
    return _SAME.get(kind, kind) in _KNOWN


def has_sound_parameters(media_type: str) -> bool:
    """Whether ``rate`` and ``channels`` of *media_type* are numbers that can be, where it has them."""
    given = _parameters(media_type.partition(";")[2])
    return all(_in_range(given[name], *_RANGES[name]) is not None for name in _RANGES if name in given)


def is_page(media_type: str) -> bool:
    """Whether *media_type* names what errors come as: an HTML page, or JSON."""
    kind = media_type.partition(";")[0].strip().lower()
    return kind in ("text/html", "application/xhtml+xml", "application/json") or kind.endswith("+json")


def _parameters(text: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in text.split(";"))
    return {name.strip().lower(): value.strip().strip('"') for name, _, value in pairs}


def _in_range(text: str, low: int, high: int) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 7 and low <= int(text) <= high else None


def _described(kind: str) -> str:
    if kind == "text/html":
        return "an HTML page (is the URL that of a web site, or of a proxy?)"
    if kind == "application/json" or kind.endswith("+json"):
        return "JSON"
    return kind[:60]
