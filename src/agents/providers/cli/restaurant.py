"""The agent of a demo in which the language model can do something: it answers a restaurant's telephone."""

from __future__ import annotations

from livekit.agents import Agent, function_tool

__all__ = ["BOOKING_TOOL", "INSTRUCTIONS", "Restaurant"]

INSTRUCTIONS = "You answer the telephone of a restaurant."

BOOKING_TOOL = "book_table"

_FIRST_TABLE = 12


class Restaurant(Agent):
    """Takes bookings. What the tool answers stands in no rule of the embedded responder: who hears of a table's
    number knows that the tool was called.

    Attributes:
        bookings: day and number of guests of each.
    """

    def __init__(self) -> None:
        super().__init__(instructions=INSTRUCTIONS)
        self.bookings: list[tuple[str, int]] = []

    @function_tool
    async def book_table(self, day: str, guests: int) -> str:
        """Reserve a table.

        Args:
            day: Day of the week
            guests: Number of guests
        """
        number = _FIRST_TABLE + len(self.bookings)
        self.bookings.append((day, guests))
        return f"Table {number} is yours on {day}, for {guests} people."
