"""The recipes of captures/keys-zoo/: each module fills some of its folders. See captures/make_keys_zoo.py."""
