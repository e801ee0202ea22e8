"""Tickets as they are handed over: a folder or an archive with captures, keys, logs and notes, sorted by what each is."""

from analyzer.tickets.archive import ArchiveLimits, is_archive
from analyzer.tickets.files import TicketFile
from analyzer.tickets.finding import gather, roots
from analyzer.tickets.ticket import Capture, Ticket

__all__ = ["ArchiveLimits", "Capture", "Ticket", "TicketFile", "gather", "is_archive", "roots"]
