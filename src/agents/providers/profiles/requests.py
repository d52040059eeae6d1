"""URLs, queries, headers and messages as a profile describes them, for given settings."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

import orjson
from pydantic import BaseModel

from ..base import ConfigurationError
from ..protocol import HttpRequest, HttpResponse, Settings, WireMessage
from .hosts import is_host_of
from .options import SPEAKING_SERVICES, Service, options_of, put_into_body, query_pairs, resolve_options
from .parts import Auth, Message
from .paths import compile_path
from .schema import HttpStep, Profile
from .templates import Scope, Template, compile_template, references

__all__ = [
    "MessageWriter",
    "Query",
    "StepRunner",
    "auth_headers",
    "body_options",
    "check_key",
    "headers_of",
    "is_asked_at",
    "make_scope",
    "place_of",
    "url_with_path",
    "with_options",
]


def make_scope(profile: Profile, service: Service, settings: Settings, **values: Any) -> Scope:
    """What templates see for *settings*."""
    options, undeclared = resolve_options(profile, service, settings.options)
    speaks = service in SPEAKING_SERVICES
    defaults: Mapping[str, str] = dict(profile.speech.defaults if speaks else profile.defaults)  # type: ignore[arg-type]
    return Scope(
        settings,
        options,
        undeclared,
        settings.language or defaults.get("language"),
        settings.model or defaults.get("model"),
        settings.voice or defaults.get("voice"),
        **values,
    )


def url_with_path(url: str, default: str | None) -> str:
    """*url*; when it names only a host, with the path the vendor's own URL has."""
    parts = urlsplit(url)
    if default is None or parts.path not in ("", "/"):
        return url
    return urlunsplit(parts._replace(path=urlsplit(default).path))


def is_asked_at(addresses: Sequence[str], rest: Any) -> bool:
    """Whether a service is asked at the user's URL itself, and no other address is made from that.

    Args:
        addresses: the templates of the addresses it is asked at.
        rest: the templates of all else that is sent to it.
    """
    others = [address for address in addresses if address != "${url}"]
    return len(others) < len(addresses) and not any(name == "url" for name, _ in references([others, rest]))


def place_of(url: str, default: str | None, path: Template | None, scope: Scope) -> str:
    """Where a vendor that speaks is: *url*, with the vendor's own path where it names only a host, and with what
    *path* adds where it ends like the vendor's own. A URL with another path is used as it is."""
    url = url_with_path(url, default)
    filled = path(scope) if path is not None else None
    parts = urlsplit(url)
    here = parts.path.rstrip("/")
    if filled is None or (default is not None and not here.endswith(urlsplit(default).path.rstrip("/"))):
        return url
    return urlunsplit(parts._replace(path=here + quote(str(filled))))


def check_key(profile: Profile, service: Service, auth: Auth | None, settings: Settings) -> None:
    """Refuse a call without a key to the vendor's own hosts, where they want one.

    A handshake or request without the header of an `auth` is answered by a status that says so. What is answered
    to a message without its token nobody knows, so the default URL counts as the vendor's own there.

    Raises:
        ConfigurationError: with where keys go.
    """
    if settings.key:
        return
    own = is_host_of(settings.url, profile.hosts)
    if auth is None:
        section = getattr(profile, service)
        own = own or (section.url is not None and _server(section.url) == _server(settings.url))
        if not (profile.key_required and profile.key_variables and _sends_key(section)):
            return
    elif not auth.required:
        return
    if own:
        where = f" or set {' or '.join(profile.key_variables)}" if profile.key_variables else ""
        raise ConfigurationError(f"{profile.title} needs an API key: pass api_key{where}")


def _server(url: str) -> str:
    """The host and port of *url*."""
    return urlsplit(url).netloc.lower()


def _sends_key(section: BaseModel) -> bool:
    """Whether a service is sent ``${key}``, whatever the user chooses among its steps and bodies."""
    dumped = section.model_dump(mode="json", by_alias=True)
    always = [step for step in dumped.pop("prepare", ()) if step["only_if"] is None]
    for step in dumped.pop("steps", ()):
        bodies = step.pop("bodies")
        always += [step, *([list(bodies.values())] if all(map(_refers_to_key, bodies.values())) else ())]
    return _refers_to_key([dumped, always])


def _refers_to_key(value: Any) -> bool:
    return any(name == "key" for name, _ in references(value))


class Query:
    """The query of a URL: the profile's templates, the options, and what the user's URL already has.

    A parameter in the user's URL replaces a default of the profile, but neither an option the user set nor what
    must be true of the audio (its rate, channels, encoding).
    """

    def __init__(
        self, templates: Mapping[str, Any], profile: Profile, service: Service, auth: Auth | None, *, options: bool
    ) -> None:
        self._parts = [(name, compile_template(value), _is_fact(value)) for name, value in templates.items()]
        self._auth = (auth.query, compile_template(auth.value)) if auth is not None and auth.query else None
        self._options = [
            (name, option.name or name, option.encode)
            for name, option in options_of(profile, service).items()
            if options and option.goes == "query"
        ]

    def apply(self, url: str, scope: Scope) -> str:
        """*url* with the query for *scope*."""
        parts = urlsplit(url)
        pairs = parse_qsl(parts.query, keep_blank_values=True)
        given = {name for name, _ in pairs}
        for name, template, is_fact in self._parts:
            if name == "*":  # a mapping whose entries are parameters of their own
                for key, value in (template(scope) or {}).items():
                    pairs = _merged(pairs, key, query_pairs(key, value), wins=True)
                continue
            pairs = _merged(pairs, name, query_pairs(name, template(scope)), wins=is_fact or name not in given)
        for option, name, encode in self._options:
            wins = option in scope.settings.options or name not in given
            new = query_pairs(name, scope.options.get(option), encode)
            # an option may share its name with a template, such as keyterms: both are sent
            shared = any(part[0] == name for part in self._parts) and name not in given
            pairs = (
                [*pairs, *(p for p in new if p not in pairs)] if shared else _merged(pairs, name, new, wins=wins)
            )
        if self._auth is not None:
            name, template = self._auth
            pairs = _merged(pairs, name, query_pairs(name, template(scope)), wins=True)
        return urlunsplit(parts._replace(query=urlencode(pairs, quote_via=quote)))


def _merged(
    pairs: list[tuple[str, str]], name: str, new: list[tuple[str, str]], *, wins: bool
) -> list[tuple[str, str]]:
    if not wins or not new:
        return pairs
    return [*(pair for pair in pairs if pair[0] != name), *new]


def _is_fact(template: Any) -> bool:
    """Whether a parameter says what the audio is: it is fixed, or the rate or channels of the wire."""
    names = {name for name, _ in references(template)}
    return names <= {"sample_rate", "channels", "interim_results"}


def auth_headers(auth: Auth | None, scope: Scope) -> dict[str, str]:
    """The header with the credential, if there is one and it goes into a header."""
    if auth is None or auth.header is None:
        return {}
    value = compile_template(auth.value)(scope)
    return {auth.header: value} if value is not None else {}


def headers_of(
    templates: Mapping[str, Template], profile: Profile, service: Service, scope: Scope
) -> dict[str, str]:
    """The profile's headers, then the options that are headers. The user's own come later, and win."""
    filled = {name: _plain(value) for name, get in templates.items() if (value := get(scope)) is not None}
    for name, option in options_of(profile, service).items():
        if option.goes == "header":
            value = scope.options.get(name)
            if value is not None:
                filled[option.name or name] = _plain(value)
    return filled


def _plain(value: Any) -> str:
    return query_pairs("", value, "comma")[0][1]


class MessageWriter:
    """Messages of a profile, ready to be filled in. Those without references are made once."""

    def __init__(self, messages: Sequence[Message], body_options: Sequence[tuple[str, str]] = ()) -> None:
        """
        Args:
            messages: from the profile.
            body_options: option and dotted name, for options that go into the first JSON message.
        """
        self._writers: list[Callable[[Scope], WireMessage]] = []
        for message in messages:
            takes_options = bool(body_options) and message.json_ is not None
            self._writers.append(_compile_message(message, body_options if takes_options else ()))
            if takes_options:
                body_options = ()

    def __bool__(self) -> bool:
        return bool(self._writers)

    def write(self, scope: Scope) -> list[WireMessage]:
        """The messages for *scope*."""
        return [write(scope) for write in self._writers]


def _compile_message(message: Message, body_options: Sequence[tuple[str, str]]) -> Callable[[Scope], WireMessage]:
    if message.binary is not None:
        data = message.binary.encode()
        return lambda scope: data
    if message.text is not None:
        fill_text = compile_template(message.text)
        return lambda scope: fill_text(scope) or ""
    if not body_options and not any(True for _ in references(message.json_)):
        text = orjson.dumps(message.json_).decode()
        return lambda scope: text
    fill = compile_template(message.json_)

    def write(scope: Scope) -> WireMessage:
        return orjson.dumps(with_options(fill(scope), body_options, scope)).decode()

    return write


def with_options(body: Any, body_options: Sequence[tuple[str, str]], scope: Scope) -> Any:
    """*body* with the options that belong into it; a mapping where nothing else is left of it."""
    if not body_options:
        return {} if body is None else body
    filled = dict(body) if isinstance(body, dict) else {}
    for option, name in body_options:
        value = scope.options.get(option)
        if value is not None:
            put_into_body(filled, name, value)
    return filled


def body_options(profile: Profile, service: Service) -> list[tuple[str, str]]:
    """Options that go into a body, with their dotted names there."""
    return [
        (name, option.name or name)
        for name, option in options_of(profile, service).items()
        if option.goes == "body"
    ]


class StepRunner:
    """One HTTP request before a WebSocket."""

    def __init__(self, step: HttpStep, profile: Profile, auth: Auth | None) -> None:
        self._step = step
        self._profile = profile
        self._auth = auth
        self._url = compile_template(step.url)
        self._query = Query(step.query, profile, "streaming", auth, options=False)
        self._headers = {name: compile_template(value) for name, value in step.headers.items()}
        self._body = compile_template(step.body)
        self._body_options = body_options(profile, "streaming") if step.with_options else []
        self._save = Saving(step.save)

    def run(self, scope: Scope) -> Generator[HttpRequest, HttpResponse, None]:
        """Ask, and keep in *scope* what the answer brings.

        Raises:
            ValueError: the answer lacks something that is to be kept.
        """
        if self._step.only_if is not None and not scope.options.get(self._step.only_if):
            return
        headers = {
            **auth_headers(self._auth, scope),
            **headers_of(self._headers, self._profile, "streaming", scope),
        }
        body = None
        if self._step.body is not None or self._body_options:
            body = orjson.dumps(with_options(self._body(scope), self._body_options, scope))
            headers["Content-Type"] = "application/json"
        url = self._query.apply(str(self._url(scope)), scope)
        response = yield HttpRequest(self._step.method, url, headers, body)
        self._save(response, scope)


class Saving:
    """Keeps for later requests what a reply brings. A reply that is plain text is the value itself."""

    def __init__(self, wanted: Mapping[str, str]) -> None:
        self._wanted = [(name, path, compile_path(path)) for name, path in wanted.items()]

    def __call__(self, response: HttpResponse, scope: Scope) -> None:
        """Put into *scope* what *response* brings.

        Raises:
            ValueError: something wanted is not there.
        """
        if not self._wanted:
            return
        reply = response.text().strip() if response.content_type == "text/plain" else response.json()
        for name, path, get in self._wanted:
            value = get(reply)
            if value is None:
                raise ValueError(f"the reply has nothing at {path}, which is to be saved as {name}")
            scope.saved[name] = value
