"""What makes a capture publishable: pseudonyms that hold across files, and packets rewritten with them."""
