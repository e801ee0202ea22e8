"""From what was seen and what the keys say to one verdict: rules, their precedence, and what follows from them."""
