"""Pure views: records in; text, HTML and JSON out."""
