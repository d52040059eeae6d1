"""What users import, under the paths of the specification, and what importing it costs."""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path

import pytest
from livekit.agents import stt

import agents.providers
from agents.providers.cli import main as command_line

PROFILE = Path(__file__).parents[1] / "examples" / "acme_vendor" / "acme.yaml"

PATHS = {
    "agents.providers": [
        "ConfigurationError",
        "CustomProviderFactory",
        "LLMConfig",
        "ProviderFactory",
        "ProviderType",
        "STTConfig",
        "TTSConfig",
        "__version__",
    ],
    "agents.providers.base": ["ConfigurationError", "LLMConfig", "ProviderType", "STTConfig", "TTSConfig"],
    "agents.providers.adapters": [
        "CachedSTTAdapter",
        "CustomHTTPLLMAdapter",
        "CustomHTTPSTTAdapter",
        "CustomHTTPTTSAdapter",
        "CustomWebSocketSTTAdapter",
        "CustomWebSocketTTSAdapter",
        "FailoverSTTAdapter",
        "MeteredSTTAdapter",
        "RetryableSTTAdapter",
        "STTAdapter",
        "WebSocketSpeechStream",
    ],
    "agents.providers.custom_provider": [
        "AWSProviderFactory",
        "AssemblyAIProviderFactory",
        "AzureProviderFactory",
        "CustomProviderFactory",
        "DeepgramProviderFactory",
        "GoogleCloudProviderFactory",
        "OpenAIProviderFactory",
    ],
    "agents.providers.native": ["AzureLLM", "AzureSTT", "AzureTTS", "OpenAILLM", "OpenAISTT", "OpenAITTS"],
    "agents.providers.factory": ["ProviderFactory", "Providers"],
    "agents.providers.config_files": ["Configs", "load_config"],
}


@pytest.mark.parametrize("path", PATHS)
def test_every_public_name_is_there_and_declared(path: str) -> None:
    module = importlib.import_module(path)
    for name in PATHS[path]:
        assert getattr(module, name) is not None
        assert name in module.__all__


def test_the_package_lists_what_it_has_before_it_is_loaded() -> None:
    assert set(agents.providers.__all__) <= set(dir(agents.providers))


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"module 'agents\.providers' has no attribute 'Nothing'"):
        agents.providers.Nothing  # noqa: B018


def test_the_version_is_that_of_the_distribution() -> None:
    assert agents.providers.__version__ == importlib.metadata.version("voxport")


def test_a_name_reached_by_two_paths_is_one_thing() -> None:
    from agents.providers import CustomProviderFactory, ProviderFactory, base, custom_provider, factory

    assert ProviderFactory is factory.ProviderFactory
    assert CustomProviderFactory is custom_provider.CustomProviderFactory
    assert agents.providers.ConfigurationError is base.ConfigurationError


def test_agents_is_a_namespace_that_others_may_share() -> None:
    import agents

    assert getattr(agents, "__file__", None) is None


def test_the_adapters_are_livekits_own_kind() -> None:
    from agents.providers.adapters import (
        CustomHTTPSTTAdapter,
        CustomWebSocketSTTAdapter,
        STTAdapter,
        WebSocketSpeechStream,
    )

    assert issubclass(STTAdapter, stt.STT)
    assert issubclass(CustomHTTPSTTAdapter, STTAdapter)
    assert issubclass(CustomWebSocketSTTAdapter, STTAdapter)
    assert issubclass(WebSocketSpeechStream, stt.SpeechStream)


def modules_after(statement: str) -> set[str]:
    """The modules a fresh interpreter has loaded after *statement*."""
    program = f"import json, sys\n{statement}\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    return set(json.loads(done.stdout))


def test_importing_the_package_loads_nothing_heavy() -> None:
    loaded = modules_after("import agents.providers; from agents.providers import STTConfig; STTConfig('openai')")
    heavy = {"livekit", "aiohttp", "yaml", "pydantic", "numpy", "jmespath", "typer", "rich", "pocketsphinx"}
    assert not loaded & heavy


def test_importing_the_factory_loads_no_plugin_and_no_recogniser() -> None:
    loaded = modules_after("from agents.providers import ProviderFactory, CustomProviderFactory")
    assert "livekit.agents" in loaded
    assert not {name for name in loaded if name.startswith("livekit.plugins.")}
    assert not loaded & {"pocketsphinx", "espeakng_loader", "agents.providers.local", "matplotlib"}


def modules_after_command(*arguments: str) -> set[str]:
    """The modules a command line has loaded when it is done."""
    return modules_after(
        "import contextlib, io\nfrom agents.providers.cli import main\n"
        f"sys.argv = {['voxport', *arguments]!r}\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n    main()"
    )


@pytest.mark.parametrize(
    ("arguments", "needless"),
    [
        (["--help"], {"agents.providers.protocol", "agents.providers.vendors", "agents.providers.transport"}),
        (["vendors"], {"agents.providers.adapters", "livekit", "aiohttp", "numpy"}),
        (["vendors", "lint", str(PROFILE)], {"livekit", "aiohttp", "numpy"}),
        (
            ["transcribe", "--url", "ws://127.0.0.1:1/", str(PROFILE)],
            {
                "agents.providers.llm",
                "agents.providers.tts",
                "agents.providers.wrappers",
                "agents.providers.testing",
            },
        ),
    ],
)
def test_a_command_loads_what_it_needs(arguments: list[str], needless: set[str]) -> None:
    assert not modules_after_command(*arguments) & needless


@pytest.mark.parametrize("command", [[sys.executable, "-m", "agents.providers"]])
def test_the_module_is_the_command_line(command: list[str]) -> None:
    from agents.providers import __main__

    assert __main__.main is command_line
    done = subprocess.run([*command, "--help"], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "voxport" in done.stdout
