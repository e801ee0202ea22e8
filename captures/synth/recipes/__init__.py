"""The recipes, one module per theme; importing them fills the list of cases."""

from captures.synth.recipes import dtls_keys, dtls_stages, names, seeds, tcp_keys, tcp_path, tcp_stages

MODULES = (tcp_keys, tcp_stages, tcp_path, names, seeds, dtls_keys, dtls_stages)
