"""`analyze schema`."""

from __future__ import annotations

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command("schema")
    def schema() -> None:
        """Print the JSON Schema of the report (handshake-report/1)."""
        import json

        from analyzer.reports.schema import report_schema

        print(json.dumps(report_schema(), indent=1))
