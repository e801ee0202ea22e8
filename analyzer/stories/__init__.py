"""All attempts of one device as one story: in one capture, or across many."""

from analyzer.stories.telling import stories_across, tell

__all__ = ["stories_across", "tell"]
