"""A server under load."""

from sections.markdown import blocks, paragraph, table
from sections.results import load, measured_on


def serving_table(results: dict[str, dict[str, dict[str, float]]]) -> str:
    """Return the table of serve.py: requests a second, and the waits of the clients."""
    rows = [
        [
            clients,
            name,
            f"{one['requests/s']:,.0f}",
            f"{one['slowest']:,.0f} to {one['fastest']:,.0f}",
            f"{one['p50']:,.1f}",
            f"{one['p99']:,.1f}",
        ]
        for clients, contenders in results.items()
        for name, one in contenders.items()
    ]
    return table(["clients", "server", "requests/s", "of the rounds", "p50, ms", "p99, ms"], rows, texts=2)


def serve() -> str:
    """Return the table of the load test."""
    found = load("serve")
    what = (
        f"Medians of several rounds with {found['requests']:,} requests of one sentence each, the servers in turn."
    )
    return blocks(serving_table(found["results"]), paragraph(what, measured_on(found)))
