"""Apps for shops that are built with a framework: they listen to its signals."""
