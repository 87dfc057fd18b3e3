"""One file a command or noun; what they share is in `cli.command` and `cli.session`.

Modules are named as their commands (`import` is `import_`) and import only what the help needs;
everything else is imported where it is used.
"""
