"""An app that takes a file and makes one."""
