"""Who may use the server of the vendor tests as Google's: a service account, and the login of a person."""

from __future__ import annotations

from typing import Any

from conformance import Server
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

PRIVATE_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
"""Of the account."""

PUBLIC_PEM = (
    PRIVATE_KEY.public_key()
    .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    .decode()
)
"""By which the server knows it."""

REFRESH_TOKEN = "1//03refresh-me"
"""Of the login."""


def account(server: Server, key: rsa.RSAPrivateKey = PRIVATE_KEY, **changes: Any) -> dict[str, Any]:
    """The credentials file of a service account."""
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return {
        "type": "service_account",
        "project_id": "voxport",
        "private_key_id": "k1",
        "private_key": pem.decode(),
        "client_email": "voice@voxport.iam.gserviceaccount.com",
        "token_uri": f"{server.url}/token",
        **changes,
    }
