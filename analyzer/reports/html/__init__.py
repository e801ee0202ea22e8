"""The HTML report: one offline page with a strict Content-Security-Policy."""

from analyzer.reports.html.page import format_html

__all__ = ["format_html"]
