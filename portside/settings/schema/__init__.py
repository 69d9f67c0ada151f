"""The shape of the settings file: every key of distribution's `config.yml`, 2.0 to 3.1, and `gateway:`, which is ours.

A file per section. Names follow distribution's habit: lower case, no `_` and no `-`, since `_` separates the levels of
an environment variable (CONFIG_SCHEMA section 0). What each key means stands in docs/settings.md. That a key is here
does not say that it is supported: `unsupported.py` lists those that are not.

An empty scalar means "not set" everywhere, as in distribution, so that a section may list all of its keys and fill in
some (`tls: {certificate: , key: }`).

A section that few files have is `lazy`: its module is imported when a file has it, and until then it is None.
"""
