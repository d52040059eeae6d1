"""``voxport vendors``: whom Voxport can talk to, and what each one wants."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from ..base import ConfigurationError
from ..vendors import Vendor, find_vendor, vendor_names

__all__ = ["print_vendor", "print_vendors"]


def print_vendors() -> None:
    """Print a table of all vendors."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for title in ("name", "", "modes", "key in"):
        table.add_column(title, overflow="fold")
    for name in vendor_names():
        try:
            vendor = find_vendor(name)
        except ConfigurationError as error:  # a broken package: the others are still there
            table.add_row(name, str(error), "", "")
            continue
        table.add_row(name, vendor.title, _modes(vendor), vendor.key_environment or "")
    Console(highlight=False).print(table)


def print_vendor(name: str) -> None:
    """Print what there is to know about one vendor.

    Raises:
        ConfigurationError: there is no such vendor; the message names the nearest.
    """
    vendor = find_vendor(name)
    console = Console(highlight=False)
    console.print(f"[bold]{vendor.title}[/] ({vendor.name}): {_modes(vendor)}")
    facts = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    for label, value in (
        ("WebSocket", vendor.streaming_url),
        ("HTTP", vendor.batch_url),
        ("key in", vendor.key_environment),
        ("model", vendor.default_model),
        ("recognised by", ", ".join(vendor.hosts)),
    ):
        if value:
            facts.add_row(label, value)
    console.print(facts)
    if vendor.profile is not None and vendor.profile.options:
        console.print("\n[bold]options[/] (--option NAME=VALUE)")
        options = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
        for option, details in vendor.profile.options.items():
            options.add_row(option, getattr(details, "description", None) or "")
        console.print(options)


def _modes(vendor: Vendor) -> str:
    modes = (("ws", vendor.streaming), ("http", vendor.batch))
    return ", ".join(mode for mode, protocol in modes if protocol is not None)
