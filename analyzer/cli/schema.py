"""`analyze schema`."""

from __future__ import annotations

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command("schema", short_help="The JSON Schema of the report.")
    def schema() -> None:
        """Print the JSON Schema of the report (handshake-report/1).

        \b
          analyze schema > handshake-report.schema.json
        """
        import json

        from analyzer.reports.schema import report_schema

        print(json.dumps(report_schema(), indent=1))
