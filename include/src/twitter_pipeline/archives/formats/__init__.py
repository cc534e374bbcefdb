"""The formats of archive records, one module each, and other tools' formats, which are refused by name."""
