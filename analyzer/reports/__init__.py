"""Reports in every format, behind one interface: a ``Report`` in, text chunks out."""
