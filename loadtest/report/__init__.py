"""A result for people: the HTML report, a picture of it, and a CSV file."""

from loadtest.report.command import add_arguments, main
from loadtest.report.csv_export import write_csv
from loadtest.report.html import write_html, write_overview
from loadtest.report.png import write_png

__all__ = ["add_arguments", "main", "write_csv", "write_html", "write_overview", "write_png"]
