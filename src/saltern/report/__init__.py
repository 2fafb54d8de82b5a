"""The report: one page of results that needs no network, and the same in a few lines of text."""

from saltern.report.data import ReportData
from saltern.report.gather import gather
from saltern.report.page import build, render, summary

__all__ = ["ReportData", "build", "gather", "render", "summary"]
